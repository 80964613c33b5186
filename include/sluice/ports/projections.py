"""Stores that can be lost and made again: vectors and the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from sluice.model.generation import Generation
from sluice.model.points import GraphChunk, GraphOrphans, GraphRow, OutboxEntry, Point, StoredPoint
from sluice.model.search import Candidate, VectorQuery
from sluice.model.source import Source


class VectorIndex(Protocol):
    def ensure(self, generation: Generation) -> None:
        """Physical collection, payload indexes and alias exist when this returns."""

    def upsert(self, generation: Generation, points: Sequence[Point]) -> None:
        """In bounded batches; durable when this returns."""

    def delete(self, generation: Generation, chunk_ids: Sequence[UUID]) -> None: ...

    def search(self, generation: Generation, query: VectorQuery) -> list[Candidate]:
        """Best first; dense and sparse fused by RRF (k = 60) where both are given."""

    def count(self, generation: Generation, tenant: str | None = None, source: UUID | None = None) -> int: ...

    def drop(self, generation: Generation) -> None:
        """The backing collection, with all points and its alias. Deleting what is missing does nothing."""

    def points(
        self, generation: Generation, after: UUID | None, limit: int, *, vectors: bool = False
    ) -> list[StoredPoint]:
        """In the order of their ids' bytes; `after`: the last id of the page before. None where the collection is
        lost. `vectors`: with both."""

    def points_of(
        self, generation: Generation, chunk_ids: Sequence[UUID], *, vectors: bool = False
    ) -> list[StoredPoint]:
        """Those of these that are there, in any order."""

    def ping(self) -> str: ...


class GraphIndex(Protocol):
    def ensure(self) -> None:
        """Constraints and indexes exist when this returns."""

    def write(self, source: Source, chunks: Sequence[GraphChunk]) -> None:
        """MERGE documents, chunks and entities; a chunk's document, ordinal, MENTIONS, RELATES and ABOUT become exactly
        the given ones. An entity shows a name and kind that one of its uses carries now."""

    def remove(self, removals: Sequence[OutboxEntry]) -> None:
        """Chunks, documents that are gone, and entities that have no use any more."""

    def remove_chunks(self, generation: Generation, chunk_ids: Sequence[UUID]) -> None:
        """With what they say, and entities that have no use any more: no MENTIONS, no ABOUT. What is not there is no
        error."""

    def drop(self, generation: Generation) -> None:
        """All chunks of the generation, in bounded transactions, with the documents and entities that only it held.
        Safe to repeat after a crash."""

    def count(self, generation: Generation, tenant: str | None = None, source: UUID | None = None) -> int:
        """Chunks."""

    def chunks(self, generation: Generation, after: UUID | None, limit: int) -> list[GraphRow]:
        """In the order of chunk ids' bytes; `after`: the last id of the page before. A page costs its own length."""

    def chunks_of(self, generation: Generation, chunk_ids: Sequence[UUID]) -> list[GraphRow]:
        """Those of these that are there, in any order."""

    def orphans(self, limit: int) -> GraphOrphans:
        """What nothing supports, in any collection, at most `limit` of each kind. Looks at everything: nightly work."""

    def drop_orphans(self, orphans: GraphOrphans) -> int:
        """Those of them that are orphans still. Returns how many went, without the relationships that a node took
        with it."""

    def ping(self) -> str: ...
