"""Qdrant, whose client is imported only when a call needs it."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING
from uuid import UUID

from sluice.adapters.qdrant.rest import QdrantRest
from sluice.model.generation import Generation
from sluice.model.points import Point, StoredPoint
from sluice.model.search import Candidate, VectorQuery

if TYPE_CHECKING:
    from sluice.adapters.qdrant.index import QdrantIndex


class QdrantOnDemand(QdrantRest):
    """The port VectorIndex. Creates a `QdrantIndex` on the first call that `QdrantRest` does not support. Threads may
    share it; every call ends within `call_timeout_s`."""

    def __init__(self, url: str, api_key: str | None = None, grpc_port: int | None = None, **limits: float) -> None:
        """`limits`: connect_timeout_s and call_timeout_s, as of `QdrantIndex`."""
        super().__init__(url, api_key, **limits)
        self._server, self._limits = (url, api_key, grpc_port), limits
        self._lock = Lock()
        self._opened: QdrantIndex | None = None

    def upsert(self, generation: Generation, points: Sequence[Point]) -> None:
        if self._server[2] is None:
            super().upsert(generation, points)
        else:
            self._index().upsert(generation, points)

    def search(self, generation: Generation, query: VectorQuery) -> list[Candidate]:
        return self._index().search(generation, query)

    def points(
        self, generation: Generation, after: UUID | None, limit: int, *, vectors: bool = False
    ) -> list[StoredPoint]:
        return self._index().points(generation, after, limit, vectors=vectors)

    def points_of(
        self, generation: Generation, chunk_ids: Sequence[UUID], *, vectors: bool = False
    ) -> list[StoredPoint]:
        return self._index().points_of(generation, chunk_ids, vectors=vectors)

    def close(self) -> None:
        super().close()
        if self._opened is not None:
            self._opened.close()

    def _index(self) -> QdrantIndex:
        with self._lock:
            if self._opened is None:
                from sluice.adapters.qdrant.index import QdrantIndex

                url, api_key, grpc_port = self._server
                self._opened = QdrantIndex(url, api_key, grpc_port, **self._limits)
            return self._opened
