"""A cache of the dense vectors of questions."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import cast

import numpy as np

from sluice.errors import Terminal, Unavailable
from sluice.model.chunk import Vector
from sluice.model.generation import Profile
from sluice.model.grants import Principal
from sluice.ports.content import Embedder
from sluice.retrieval.encrypted_cache import EncryptedCache

log = logging.getLogger(__name__)

_STORED = np.dtype("<f4")
_OTHERWISE = "Searches by words still serve (legs: sparse). The operator must check the embedder."


class QueryVectors:
    """A cache of the dense vectors of the last `size` questions, so that paging or a repeated question is not embedded
    again; with `shared`, also of those that other servers have embedded within `ttl_s`.

    Each caller has separate entries: response times must not reveal the questions of other callers.
    """

    def __init__(
        self,
        embedder: Callable[[str], Embedder],
        size: int = 512,
        *,
        shared: EncryptedCache | None = None,
        ttl_s: float = 0.0,
    ) -> None:
        self._embedder = embedder
        self._size = size
        self._shared, self._ttl_s = shared, ttl_s
        self._vectors: OrderedDict[tuple[str, str, str, str], Vector] = OrderedDict()
        self._lock = Lock()

    def __call__(self, profile: Profile, question: str, principal: Principal) -> Vector:
        """Returns (dim,), float32, L2-normalised. Raises Transient, also where the embedder rejects the question or
        returns something else than a vector of `profile.dim`: nothing of it is cached."""
        key = (principal.tenant, principal.name, profile.embedder, question)
        with self._lock:
            if key in self._vectors:
                self._vectors.move_to_end(key)
                return self._vectors[key]
        if self._shared is None:
            vector = self._computed(key, profile.dim)
        else:
            vector = self._read(self._shared, key, profile.dim)
        with self._lock:
            self._vectors[key] = vector
            while len(self._vectors) > self._size:
                self._vectors.popitem(last=False)
        return vector

    def _computed(self, key: tuple[str, str, str, str], dim: int) -> Vector:
        *_, embedder, question = key
        try:
            vector = cast(Vector, self._embedder(embedder).embed([question])[0])
        except Terminal as error:  # for a search, it is one more dependency that does not serve
            raise Unavailable(f"The embedder {embedder}", str(error), _OTHERWISE) from error
        if not _usable(vector, dim):
            what = f"it returned no vector of {dim} finite components for the question"
            raise Unavailable(f"The embedder {embedder}", what, _OTHERWISE)
        return vector

    def _read(self, shared: EncryptedCache, key: tuple[str, str, str, str], dim: int) -> Vector:
        tenant, caller, embedder, question = key
        entry = shared.key("vector", tenant=tenant, caller=caller, embedder=embedder, question=question)
        try:
            content = shared.get(entry)
        except Unavailable as error:
            log.debug("question embedded without the shared cache: %s", error)  # its guard logs the change
            return self._computed(key, dim)
        if content and _usable(stored := np.frombuffer(content, _STORED).astype(np.float32), dim):
            return stored
        vector = self._computed(key, dim)
        try:
            shared.put(entry, vector.astype(_STORED).tobytes(), self._ttl_s)
        except Unavailable as error:
            log.debug("vector of a question not shared: %s", error)
        return vector


def _usable(vector: Vector, dim: int) -> bool:
    return vector.shape == (dim,) and bool(np.isfinite(vector).all())
