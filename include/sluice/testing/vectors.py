"""The port VectorIndex in memory: compares every point with the query. Not thread-safe; for small collections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import log
from uuid import UUID

import numpy as np

from sluice.errors import Terminal, Transient, Unavailable
from sluice.model.chunk import SparseVector
from sluice.model.filters import Condition, holds, parse_filters
from sluice.model.generation import Generation
from sluice.model.points import Point, StoredPoint
from sluice.model.search import Candidate, VectorQuery


class MemoryVectors:
    def __init__(self) -> None:
        self._collections: dict[str, dict[UUID, Point]] = {}

    def ensure(self, generation: Generation) -> None:
        self._collections.setdefault(generation.backing_collection, {})

    def drop(self, generation: Generation) -> None:
        self._collections.pop(generation.backing_collection, None)

    def upsert(self, generation: Generation, points: Sequence[Point]) -> None:
        held = self._collections.get(generation.backing_collection)
        if held is None:
            raise Transient(f"There is no collection {generation.backing_collection}. Run the ingest again.")
        for point in points:
            if point.dense.shape != (generation.profile.dim,) or not np.isfinite(point.dense).all():
                raise Terminal(f"The vector of chunk {point.chunk_id} is not {generation.profile.dim} finite numbers.")
        held.update({point.chunk_id: point for point in points})

    def delete(self, generation: Generation, chunk_ids: Sequence[UUID]) -> None:
        held = self._collections.get(generation.backing_collection, {})
        for chunk_id in chunk_ids:
            held.pop(chunk_id, None)

    def search(self, generation: Generation, query: VectorQuery) -> list[Candidate]:
        conditions = parse_filters(query.filters, generation.filter_fields)
        if not query.sources or query.limit < 1:
            return []
        held = self._collections.get(generation.backing_collection)
        if held is None:
            raise Unavailable("vector index", f"collection {generation.backing_collection} is missing; ingest again")
        readable = [point for point in held.values() if _permitted(point, query, conditions)]
        by_retriever = _by_retriever(query, readable, list(held.values()))
        found = {each for scores in by_retriever.values() for each in _best(scores, query.limit)}
        return [
            Candidate(each, {name: scores[each] for name, scores in by_retriever.items() if each in scores})
            for each in found
        ]

    def count(self, generation: Generation, tenant: str | None = None, source: UUID | None = None) -> int:
        held = self._collections.get(generation.backing_collection, {})
        return sum(
            (tenant is None or point.payload["tenant"] == tenant)
            and (source is None or str(point.payload["source_id"]) == str(source))
            for point in held.values()
        )

    def points(
        self, generation: Generation, after: UUID | None, limit: int, *, vectors: bool = False
    ) -> list[StoredPoint]:
        held = self._collections.get(generation.backing_collection, {})
        ids = sorted(each for each in held if after is None or each > after)
        return self.points_of(generation, ids[:limit], vectors=vectors)

    def points_of(
        self, generation: Generation, chunk_ids: Sequence[UUID], *, vectors: bool = False
    ) -> list[StoredPoint]:
        held = self._collections.get(generation.backing_collection, {})
        return [
            StoredPoint(
                point.chunk_id, point.payload, point.dense if vectors else None, point.sparse if vectors else None
            )
            for point in (held[each] for each in chunk_ids if each in held)
        ]

    def ping(self) -> str:
        return "memory"


Scores = dict[UUID, float]


def _by_retriever(query: VectorQuery, readable: Sequence[Point], everything: Sequence[Point]) -> dict[str, Scores]:
    by_retriever: dict[str, Scores] = {}
    if query.dense is not None:
        by_retriever["dense"] = {point.chunk_id: float(point.dense @ query.dense) for point in readable}
    if query.sparse is not None and len(query.sparse.indices):
        by_retriever["sparse"] = _bm25(query.sparse, readable, everything)
    return by_retriever


def _bm25(query: SparseVector, readable: Sequence[Point], everything: Sequence[Point]) -> Scores:
    """Multiplies weights by the IDF of the whole collection, as Qdrant's modifier does: ln((N − n + ½)/(n + ½) + 1)."""
    wanted = dict(zip(query.indices.tolist(), query.values.tolist(), strict=True))
    having = Counter(index for point in everything for index in point.sparse.indices.tolist() if index in wanted)
    weights = {
        index: value * log((len(everything) - having[index] + 0.5) / (having[index] + 0.5) + 1)
        for index, value in wanted.items()
    }
    scores: Scores = {}
    for point in readable:
        terms = zip(point.sparse.indices.tolist(), point.sparse.values.tolist(), strict=True)
        products = [weights[index] * value for index, value in terms if index in weights]
        if products:
            scores[point.chunk_id] = sum(products)
    return scores


def _best(scores: Scores, limit: int) -> list[UUID]:
    return sorted(scores, key=lambda each: -scores[each])[:limit]


def _permitted(point: Point, query: VectorQuery, conditions: Sequence[Condition]) -> bool:
    return (
        point.payload["tenant"] == query.tenant
        and str(point.payload["source_id"]) in {str(each) for each in query.sources}
        and all(holds(each, point.payload.get("meta", {}).get(each.field)) for each in conditions)
    )
