"""A cache of the dense vectors of questions."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import cast

import numpy as np

from sluice.errors import Unavailable
from sluice.model.chunk import Vector
from sluice.model.grants import Principal
from sluice.ports.content import Embedder
from sluice.retrieval.encrypted_cache import EncryptedCache

log = logging.getLogger(__name__)

_STORED = np.dtype("<f4")


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

    def __call__(self, embedder: str, question: str, principal: Principal) -> Vector:
        """Returns (dim,), float32, L2-normalised. Raises Transient."""
        key = (principal.tenant, principal.name, embedder, question)
        with self._lock:
            if key in self._vectors:
                self._vectors.move_to_end(key)
                return self._vectors[key]
        vector = self._computed(key) if self._shared is None else self._read(self._shared, key)
        with self._lock:
            self._vectors[key] = vector
            while len(self._vectors) > self._size:
                self._vectors.popitem(last=False)
        return vector

    def _computed(self, key: tuple[str, str, str, str]) -> Vector:
        *_, embedder, question = key
        return cast(Vector, self._embedder(embedder).embed([question])[0])

    def _read(self, shared: EncryptedCache, key: tuple[str, str, str, str]) -> Vector:
        tenant, caller, embedder, question = key
        entry = shared.key("vector", tenant=tenant, caller=caller, embedder=embedder, question=question)
        try:
            if content := shared.get(entry):
                return np.frombuffer(content, _STORED).astype(np.float32)
        except Unavailable as error:
            log.debug("question embedded without the shared cache: %s", error)  # its guard logs the change
            return self._computed(key)
        vector = self._computed(key)
        try:
            shared.put(entry, vector.astype(_STORED).tobytes(), self._ttl_s)
        except Unavailable as error:
            log.debug("vector of a question not shared: %s", error)
        return vector
