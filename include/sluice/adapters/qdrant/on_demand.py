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

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        grpc_port: int | None = None,
        *,
        connect_timeout_s: float = 5.0,
        call_timeout_s: float = 30.0,
    ) -> None:
        self._url, self._api_key, self._grpc_port = url, api_key, grpc_port
        self._connect_timeout_s, self._call_timeout_s = connect_timeout_s, call_timeout_s
        super().__init__(url, api_key, connect_timeout_s=connect_timeout_s, call_timeout_s=call_timeout_s)
        self._lock = Lock()
        self._opened: QdrantIndex | None = None

    def upsert(self, generation: Generation, points: Sequence[Point]) -> None:
        if self._grpc_port is None:
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

                self._opened = QdrantIndex(
                    self._url,
                    self._api_key,
                    self._grpc_port,
                    connect_timeout_s=self._connect_timeout_s,
                    call_timeout_s=self._call_timeout_s,
                )
            return self._opened
