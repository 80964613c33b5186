"""The port VectorIndex on Qdrant: over gRPC if a port is given (queries three times as fast), else over REST."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from uuid import UUID

import numpy as np
from qdrant_client import QdrantClient, models

from sluice.adapters.qdrant.client_failures import asking_client
from sluice.adapters.qdrant.failures import CollectionMissing, asking
from sluice.adapters.qdrant.filters import scope
from sluice.adapters.qdrant.rest import QdrantRest
from sluice.adapters.qdrant.schema import DENSE, SPARSE, path_of
from sluice.adapters.qdrant.transport import Transport
from sluice.adapters.qdrant.upload import upload
from sluice.adapters.qdrant.upload_grpc import over_grpc
from sluice.errors import Lost
from sluice.model.chunk import SparseVector
from sluice.model.generation import Generation
from sluice.model.points import Point, StoredPoint
from sluice.model.search import Candidate, VectorQuery

_READ_BATCH = 1000
_ID_BITS = 128
# A channel that lost its server reconnects within this time; gRPC's own default grows to two minutes.
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
        """Writes points in bounded batches; durable when this returns. Raises Terminal on a vector of another shape."""
        if self._send is None:
            super().upsert(generation, points)
        else:
            upload(self._send, generation.backing_collection, points)

    def search(self, generation: Generation, query: VectorQuery) -> list[Candidate]:
        """Returns the best candidates of each retriever, in one round trip. Raises BadRequest on an invalid filter.

        Each request finds the candidates of all retrievers (prefetch) and scores them by one."""
        permitted = scope(generation, query)
        retrievers = _retrievers(query)
        if not retrievers or not query.sources or query.limit < 1:
            return []
        found = [_found(*each, permitted, query.limit) for each in retrievers.items()]
        requests = [_scored(*each, found, query.limit) for each in retrievers.items()]
        try:
            answers = self._scores(generation.backing_collection, requests)
        except CollectionMissing as error:
            raise Lost("qdrant", f"collection {generation.backing_collection} is missing; ingest again") from error
        scores: dict[str, dict[str, float]] = {}
        for retriever, hits in zip(retrievers, answers, strict=True):
            for point_id, score in hits:
                scores.setdefault(point_id, {})[retriever] = score
        return [Candidate(UUID(point_id), by_retriever) for point_id, by_retriever in scores.items()]

    def _scores(self, collection: str, requests: list[models.QueryRequest]) -> list[list[tuple[str, float]]]:
        """Returns for each request the ids of its points with their scores. Over REST it reads the answer without the
        client, whose models take longer than the search."""
        if self._send is not None:
            with asking_client(f"search {collection}"):
                answers = self._client.query_batch_points(collection, requests)
            return [[(str(hit.id), float(hit.score)) for hit in answer.points] for answer in answers]
        body = models.QueryRequestBatch(searches=requests).model_dump_json(exclude_none=True).encode()
        with asking(f"search {collection}"):
            result = self._request("POST", f"{path_of(collection)}/points/query/batch", body)
            return [[(str(hit["id"]), float(hit["score"])) for hit in answer["points"]] for answer in result]

    def points(
        self, generation: Generation, after: UUID | None, limit: int, *, vectors: bool = False
    ) -> list[StoredPoint]:
        """Returns a page of points in the order of the bytes of their ids, without points that have numeric ids; none
        if the collection is missing."""
        first = after.int + 1 if after is not None else 0
        if first.bit_length() > _ID_BITS:
            return []
        try:
            with asking_client(f"page through {generation.backing_collection}"):
                rows, _ = self._client.scroll(
                    generation.backing_collection,
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
        """Returns those of the points that exist; none if the collection is missing."""
        points: list[StoredPoint] = []
        try:
            for start in range(0, len(chunk_ids), _READ_BATCH):
                ids = [str(each) for each in chunk_ids[start : start + _READ_BATCH]]
                with asking_client(f"read {len(ids)} points of {generation.backing_collection}"):
                    rows = self._client.retrieve(
                        generation.backing_collection, ids, with_payload=True, with_vectors=vectors
                    )
                points += [_stored(row) for row in rows]
        except CollectionMissing:
            return []
        return points

    def close(self) -> None:
        self._client.close()
        super().close()


Query = list[float] | models.SparseVector


def _retrievers(query: VectorQuery) -> dict[str, Query]:
    """Returns retriever → its query. A sparse query without terms matches nothing and is left out."""
    retrievers: dict[str, Query] = {}
    if query.dense is not None:
        retrievers["dense"] = query.dense.tolist()
    if query.sparse is not None and len(query.sparse.indices):
        sparse = models.SparseVector(indices=query.sparse.indices.tolist(), values=query.sparse.values.tolist())
        retrievers["sparse"] = sparse
    return retrievers


def _found(retriever: str, query: Query, permitted: models.Filter, limit: int) -> models.Prefetch:
    return models.Prefetch(query=query, using=_using(retriever), filter=permitted, limit=limit)


def _scored(retriever: str, query: Query, found: list[models.Prefetch], limit: int) -> models.QueryRequest:
    """Scores everything found by one retriever. A single retriever scores what it finds: no prefetch is needed."""
    using = _using(retriever)
    if len(found) == 1:
        return models.QueryRequest(query=query, using=using, filter=found[0].filter, limit=limit)
    return models.QueryRequest(prefetch=found, query=query, using=using, limit=limit * len(found))


def _stored(row: models.Record) -> StoredPoint:
    vectors = row.vector if isinstance(row.vector, dict) else {}
    dense, sparse = vectors.get(DENSE), vectors.get(SPARSE)
    terms = None
    if isinstance(sparse, models.SparseVector):
        terms = SparseVector(np.array(sparse.indices, np.uint32), np.array(sparse.values, np.float32))
    vector = np.array(dense, np.float32) if isinstance(dense, list) else None
    return StoredPoint(UUID(str(row.id)), row.payload or {}, vector, terms)


def _using(retriever: str) -> str:
    return DENSE if retriever == "dense" else SPARSE
