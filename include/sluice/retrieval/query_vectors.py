"""A cache of the dense vectors of questions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import cast

from sluice.model.chunk import Vector
from sluice.model.grants import Principal
from sluice.ports.content import Embedder


class QueryVectors:
    """A cache of the dense vectors of the last `size` questions, so that paging or a repeated question is not embedded
    again.

    Each caller has separate entries: response times must not reveal the questions of other callers.
    """

    def __init__(self, embedder: Callable[[str], Embedder], size: int = 512) -> None:
        self._embedder = embedder
        self._size = size
        self._vectors: OrderedDict[tuple[str, str, str, str], Vector] = OrderedDict()
        self._lock = Lock()

    def __call__(self, embedder: str, question: str, principal: Principal) -> Vector:
        """Returns (dim,), float32, L2-normalised. Raises Transient."""
        key = (principal.tenant, principal.name, embedder, question)
        with self._lock:
            if key in self._vectors:
                self._vectors.move_to_end(key)
                return self._vectors[key]
        vector = cast(Vector, self._embedder(embedder).embed([question])[0])
        with self._lock:
            self._vectors[key] = vector
            while len(self._vectors) > self._size:
                self._vectors.popitem(last=False)
        return vector
