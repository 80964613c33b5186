"""The projections for the reconciler: rows by chunk id that can be read, compared, written and deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

import numpy as np

from sluice.maintenance.rebuilding import Rebuilder, as_stored
from sluice.model.chunk import SparseVector
from sluice.model.generation import Generation
from sluice.model.points import GraphChunk, GraphRow, LedgerChunk, Point, StoredPoint
from sluice.ports.projections import GraphIndex, VectorIndex

# Qdrant returns float32 values unchanged over gRPC, and rounded to eight decimals over JSON.
_TOLERANCE = 1e-6


class Projection(Protocol):
    """One store's part of one generation."""

    name: str
    embedded: int  # vectors computed again, because the cache lacked them
    unreadable: set[UUID]  # chunks that could not be rebuilt

    def ensure(self) -> None:
        """Creates the store's structures again, empty, where they are lost."""

    def page(self, after: UUID | None, limit: int) -> list[tuple[UUID, Any]]:
        """Returns rows in the order of ids."""

    def some(self, chunk_ids: Sequence[UUID]) -> dict[UUID, Any]:
        """Returns those of the rows that exist, by chunk id."""

    def document_of(self, row: Any) -> UUID | None:
        """Returns the row's document id; None where the row has no valid one."""

    def stale(self, expected: Sequence[LedgerChunk], held: Mapping[UUID, Any]) -> set[UUID]:
        """Returns those of `expected` whose rows in `held` have other content. All of `expected` are in `held`."""

    def write(self, chunks: Sequence[LedgerChunk]) -> None:
        """Builds the rows of these chunks from the ledger and writes them. Chunks that cannot be rebuilt are left out
        and added to `unreadable`."""

    def remove(self, chunk_ids: Sequence[UUID]) -> None:
        """Deletes rows. Deleting a missing row is a no-op."""


class Points:
    """Points of the vector index. Payloads are always compared, vectors where `deep`."""

    name = "qdrant"

    def __init__(self, vectors: VectorIndex, generation: Generation, rebuilder: Rebuilder, *, deep: bool) -> None:
        self._vectors, self._generation, self._rebuilder = vectors, generation, rebuilder
        self._deep = deep
        self.embedded = 0
        self.unreadable: set[UUID] = set()

    def ensure(self) -> None:
        self._vectors.ensure(self._generation)

    def page(self, after: UUID | None, limit: int) -> list[tuple[UUID, StoredPoint]]:
        rows = self._vectors.points(self._generation, after, limit, vectors=self._deep)
        return [(row.chunk_id, row) for row in rows]

    def some(self, chunk_ids: Sequence[UUID]) -> dict[UUID, StoredPoint]:
        rows = self._vectors.points_of(self._generation, chunk_ids, vectors=self._deep)
        return {row.chunk_id: row for row in rows}

    def document_of(self, row: StoredPoint) -> UUID | None:
        try:
            return UUID(row.payload["document_id"])
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def stale(self, expected: Sequence[LedgerChunk], held: Mapping[UUID, StoredPoint]) -> set[UUID]:
        payloads = self._rebuilder.payloads(expected)
        stale = {id for id, payload in payloads.items() if as_stored(payload) != as_stored(held[id].payload)}
        if self._deep:
            points = self._rebuild(expected)
            stale |= {point.chunk_id for point in points if not _same_vectors(point, held[point.chunk_id])}
        return stale

    def write(self, chunks: Sequence[LedgerChunk]) -> None:
        self._vectors.upsert(self._generation, self._rebuild(chunks))

    def remove(self, chunk_ids: Sequence[UUID]) -> None:
        self._vectors.delete(self._generation, chunk_ids)

    def _rebuild(self, chunks: Sequence[LedgerChunk]) -> list[Point]:
        rebuilt = self._rebuilder.points(chunks)
        self.embedded += rebuilt.computed
        self.unreadable.update(rebuilt.unreadable)
        return rebuilt.points


class Contributions:
    """Chunks of the graph with their documents, mentions and relations, and the entities their documents are about."""

    name = "neo4j"

    def __init__(self, graph: GraphIndex, generation: Generation, rebuilder: Rebuilder) -> None:
        self._graph, self._generation, self._rebuilder = graph, generation, rebuilder
        self.embedded = 0
        self.unreadable: set[UUID] = set()

    def ensure(self) -> None:
        self._graph.ensure()

    def page(self, after: UUID | None, limit: int) -> list[tuple[UUID, GraphRow]]:
        return [(row.chunk_id, row) for row in self._graph.chunks(self._generation, after, limit)]

    def some(self, chunk_ids: Sequence[UUID]) -> dict[UUID, GraphRow]:
        return {row.chunk_id: row for row in self._graph.chunks_of(self._generation, chunk_ids)}

    def document_of(self, row: GraphRow) -> UUID | None:
        return row.document_id

    def stale(self, expected: Sequence[LedgerChunk], held: Mapping[UUID, GraphRow]) -> set[UUID]:
        return {each.chunk_id for each in expected if _row_of(each) != held[each.chunk_id]}

    def write(self, chunks: Sequence[LedgerChunk]) -> None:
        """Deletes and rewrites the chunks; relationships that others added to a chunk are deleted with it."""
        self._graph.remove_chunks(self._generation, [each.chunk_id for each in chunks])
        mentions = self._rebuilder.mentions(chunks)
        self.unreadable.update(each.chunk_id for each in chunks if each.chunk_id not in mentions)
        for source, own in self._rebuilder.by_source([each for each in chunks if each.chunk_id in mentions]):
            contributions = [
                GraphChunk(each.chunk_id, each.document_id, each.ordinal, mentions[each.chunk_id], each.relations)
                for each in own
            ]
            self._graph.write(source, contributions)

    def remove(self, chunk_ids: Sequence[UUID]) -> None:
        if chunk_ids:
            self._graph.remove_chunks(self._generation, chunk_ids)


def _row_of(chunk: LedgerChunk) -> GraphRow:
    mentions = tuple(sorted((each.entity_id, each.occurrences) for each in chunk.mentions if each.occurrences))
    about = tuple(sorted((chunk.document_id, each.entity_id) for each in chunk.mentions if each.about))
    return GraphRow(chunk.chunk_id, chunk.document_id, chunk.tenant, chunk.ordinal, mentions, chunk.relations, about)


def _same_vectors(expected: Point, stored: StoredPoint) -> bool:
    return (
        stored.dense is not None
        and stored.dense.shape == expected.dense.shape
        and bool(np.allclose(stored.dense, expected.dense, rtol=0.0, atol=_TOLERANCE))
        and _same_terms(expected.sparse, stored.sparse)
    )


def _same_terms(expected: SparseVector, stored: SparseVector | None) -> bool:
    """Compares sparse vectors. For a chunk without terms the store may return no sparse vector."""
    terms = _ordered(stored) if stored is not None else (np.array([]), np.array([]))
    indices, values = _ordered(expected)
    return np.array_equal(indices, terms[0]) and bool(np.allclose(values, terms[1], rtol=_TOLERANCE, atol=0.0))


def _ordered(vector: SparseVector) -> tuple[Any, Any]:
    order = np.argsort(vector.indices)
    return vector.indices[order], vector.values[order]
