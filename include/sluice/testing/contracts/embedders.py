"""Contract tests of the port Embedder."""

from __future__ import annotations

import numpy as np
import pytest

from sluice.ports.content import Embedder

TEXTS = [
    "The boundary layer grows along the wing.",
    "Air flowing over an aerofoil forms a thin viscous layer. " * 12,
    "Zwei Eier und ein Löffel Zucker; 東京",
    "word " * 900,
    "",
    "\udcff broken",
]


class EmbedderContract:
    """The same text always has the same unit vector, in the caller's order."""

    @pytest.fixture
    def embedder(self) -> Embedder:
        """The adapter under test."""
        raise NotImplementedError

    def test_vectors_are_unit_vectors(self, embedder: Embedder) -> None:
        vectors = embedder.embed(TEXTS)
        assert vectors.shape == (len(TEXTS), embedder.dim) and vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)

    def test_no_texts_have_no_rows(self, embedder: Embedder) -> None:
        assert embedder.embed([]).shape == (0, embedder.dim)
        assert embedder.metered([])[1] == 0

    def test_a_vector_does_not_depend_on_the_texts_beside_it(self, embedder: Embedder) -> None:
        """The cache relies on it."""
        together = embedder.embed(TEXTS)
        alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
        np.testing.assert_allclose(together, alone, atol=1e-6)
        order = np.random.default_rng(3).permutation(len(TEXTS))
        np.testing.assert_allclose(embedder.embed([TEXTS[each] for each in order]), together[order], atol=1e-6)

    def test_tokens_are_estimated_before_as_they_are_counted_after(self, embedder: Embedder) -> None:
        tokens = embedder.tokens(TEXTS)
        assert len(tokens) == len(TEXTS) and embedder.metered(TEXTS)[1] <= sum(tokens)
        assert embedder.at_once >= 1
