"""Contract tests of the port VectorCache."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest

from sluice.ports.vector_cache import VectorCache


class VectorCacheContract:
    """The first vector of a text stays, until it is forgotten."""

    @pytest.fixture
    def cache(self) -> VectorCache:
        """The adapter under test. It may hold data of other tests: ids and names are new in each test."""
        raise NotImplementedError

    def test_vectors_come_back_as_they_were(self, cache: VectorCache) -> None:
        embedder = uuid4().hex
        hashes = [bytes([i]) * 20 for i in range(50)]
        vectors = np.random.default_rng(7).standard_normal((50, 8)).astype(np.float32)
        cache.store(embedder, hashes, vectors)
        cached = cache.cached(embedder, [*hashes, b"\xff" * 20, hashes[0]])
        assert set(cached) == set(hashes)
        for i, each in enumerate(hashes):
            assert cached[each].dtype == np.float32
            assert np.array_equal(cached[each], vectors[i])
        assert cache.cached(uuid4().hex, hashes) == {}
        assert cache.cached(embedder, []) == {}

    def test_the_first_vector_of_a_text_stays(self, cache: VectorCache) -> None:
        embedder, text_hash = uuid4().hex, b"x" * 20
        first, second = np.full((1, 4), 0.5, np.float32), np.full((2, 4), 0.25, np.float32)
        cache.store(embedder, [text_hash], first)
        cache.store(embedder, [text_hash, b"y" * 20], second)
        assert np.array_equal(cache.cached(embedder, [text_hash])[text_hash], first[0])
        cache.store(embedder, [b"z" * 20, b"z" * 20], second)
        assert len(cache.cached(embedder, [b"y" * 20, b"z" * 20])) == 2

    def test_vectors_must_fit_their_hashes(self, cache: VectorCache) -> None:
        with pytest.raises(ValueError, match="do not fit"):
            cache.store(uuid4().hex, [b"x" * 20], np.zeros((2, 4), np.float32))
        cache.store(uuid4().hex, [], np.zeros((0, 4), np.float32))

    def test_a_forgotten_vector_is_gone(self, cache: VectorCache) -> None:
        embedder, hashes = uuid4().hex, [b"x" * 20, b"y" * 20]
        cache.store(embedder, hashes, np.full((2, 4), 0.5, np.float32))
        for _ in range(2):
            cache.forget(embedder, hashes[:1])
            assert set(cache.cached(embedder, hashes)) == {hashes[1]}
