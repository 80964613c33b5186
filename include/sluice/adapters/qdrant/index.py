"""The port VectorIndex on Qdrant: over gRPC where a port is given (three times as fast to ask), else over REST."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from uuid import UUID

import numpy as np
from qdrant_client import QdrantClient, models

from sluice.adapters.qdrant.client_failures import asking_client
from sluice.adapters.qdrant.failures import CollectionMissing
from sluice.adapters.qdrant.filters import scope
from sluice.adapters.qdrant.rest import QdrantRest
from sluice.adapters.qdrant.schema import DENSE, SPARSE
from sluice.adapters.qdrant.transport import Transport
from sluice.adapters.qdrant.upload import upload
from sluice.adapters.qdrant.upload_grpc import over_grpc
from sluice.errors import Unavailable
from sluice.model.chunk import SparseVector
from sluice.model.generation import Generation
from sluice.model.points import Point, StoredPoint
from sluice.model.search import Candidate, VectorQuery

RRF_K = 60  # Cormack, Clarke, Büttcher 2009
_MIN_DEPTH = 100
_READ_BATCH = 1000
_ID_BITS = 128
# A channel that lost its server tries again within this time; gRPC's own default grows to two minutes.
_GRPC_OPTIONS = {"grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 1000}


class QdrantIndex(QdrantRest):
    """A client of one Qdrant server; threads may share it. Every call ends within `call_timeout_s`."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        grpc_port: int | None = None,
        *,
        connect_timeout_s: float = 5.0,
        call_timeout_s: float = 30.0,
    ) -> None:
        super().__init__(url, api_key, connect_timeout_s=connect_timeout_s, call_timeout_s=call_timeout_s)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # no TLS on the loopback; its own gRPC user agent
            self._client = QdrantClient(
                url=url,
                api_key=api_key,
                grpc_port=grpc_port or 6334,
                prefer_grpc=grpc_port is not None,
                grpc_options=_GRPC_OPTIONS,
                timeout=call_timeout_s,  # type: ignore[arg-type]  # fractions are rounded up
                check_compatibility=False,
                transport=Transport(url, connect_timeout_s),
            )
        self._send = over_grpc(self._client, call_timeout_s) if grpc_port else None

    def upsert(self, generation: Generation, points: Sequence[Point]) -> None:
        """In bounded batches; durable when this returns. Raises Terminal on a vector of another shape."""
        if self._send is None:
            super().upsert(generation, points)
        else:
            upload(self._send, generation.physical, points)

    def search(self, generation: Generation, query: VectorQuery) -> list[Candidate]:
        """Best first; dense and sparse fused by RRF (k = 60). Raises BadRequest on a filter that cannot be."""
        permitted = scope(generation, query)
        legs = _legs(query)
        if not legs or not query.sources or query.limit < 1:
            return []
        depth = max(_MIN_DEPTH, 4 * query.limit)
        if len(legs) == 1:
            requests = [_one_leg(*leg, permitted, query.limit) for leg in legs.items()]
        else:
            requests = [_fused(legs, permitted, depth, query.limit)]
            if query.explain:
                requests += [_one_leg(*leg, permitted, depth) for leg in legs.items()]
        try:
            with asking_client(f"search {generation.physical}"):
                answers = self._client.query_batch_points(generation.physical, requests)
        except CollectionMissing as error:
            raise Unavailable("qdrant", f"collection {generation.physical} is not there; ingest again") from error
        found = [{UUID(str(hit.id)): float(hit.score) for hit in answer.points} for answer in answers]
        if not query.explain:
            return [Candidate(chunk_id, score) for chunk_id, score in found[0].items()]
        by_leg = dict(zip(legs, found[-len(legs) :], strict=True))
        return [
            Candidate(chunk_id, score, {leg: hits[chunk_id] for leg, hits in by_leg.items() if chunk_id in hits})
            for chunk_id, score in found[0].items()
        ]

    def points(
        self, generation: Generation, after: UUID | None, limit: int, *, vectors: bool = False
    ) -> list[StoredPoint]:
        """In the order of their ids' bytes, those with numbers for ids left out; none where the collection is lost."""
        first = after.int + 1 if after is not None else 0
        if first.bit_length() > _ID_BITS:
            return []
        try:
            with asking_client(f"page through {generation.physical}"):
                rows, _ = self._client.scroll(
                    generation.physical,
                    offset=str(UUID(int=first)),
                    limit=limit,
                    with_payload=True,
                    with_vectors=vectors,
                )
        except CollectionMissing:
            return []
        return [_stored(row) for row in rows]

    def points_of(
        self, generation: Generation, chunk_ids: Sequence[UUID], *, vectors: bool = False
    ) -> list[StoredPoint]:
        """Those of these that are there; none where the collection is lost."""
        found: list[StoredPoint] = []
        try:
            for start in range(0, len(chunk_ids), _READ_BATCH):
                ids = [str(each) for each in chunk_ids[start : start + _READ_BATCH]]
                with asking_client(f"read {len(ids)} points of {generation.physical}"):
                    rows = self._client.retrieve(generation.physical, ids, with_payload=True, with_vectors=vectors)
                found += [_stored(row) for row in rows]
        except CollectionMissing:
            return []
        return found

    def close(self) -> None:
        self._client.close()
        super().close()


Query = list[float] | models.SparseVector


def _legs(query: VectorQuery) -> dict[str, Query]:
    """Leg → its query; a sparse query without terms finds nothing and is left out."""
    legs: dict[str, Query] = {}
    if query.dense is not None:
        legs["dense"] = query.dense.tolist()
    if query.sparse is not None and len(query.sparse.indices):
        sparse = models.SparseVector(indices=query.sparse.indices.tolist(), values=query.sparse.values.tolist())
        legs["sparse"] = sparse
    return legs


def _one_leg(leg: str, query: Query, permitted: models.Filter, limit: int) -> models.QueryRequest:
    return models.QueryRequest(query=query, using=_using(leg), filter=permitted, limit=limit)


def _fused(legs: dict[str, Query], permitted: models.Filter, depth: int, limit: int) -> models.QueryRequest:
    prefetch = [
        models.Prefetch(query=query, using=_using(leg), filter=permitted, limit=depth) for leg, query in legs.items()
    ]
    return models.QueryRequest(prefetch=prefetch, query=models.RrfQuery(rrf=models.Rrf(k=RRF_K)), limit=limit)


def _stored(row: models.Record) -> StoredPoint:
    held = row.vector if isinstance(row.vector, dict) else {}
    dense, sparse = held.get(DENSE), held.get(SPARSE)
    terms = None
    if isinstance(sparse, models.SparseVector):
        terms = SparseVector(np.array(sparse.indices, np.uint32), np.array(sparse.values, np.float32))
    vector = np.array(dense, np.float32) if isinstance(dense, list) else None
    return StoredPoint(UUID(str(row.id)), row.payload or {}, vector, terms)


def _using(leg: str) -> str:
    return DENSE if leg == "dense" else SPARSE
