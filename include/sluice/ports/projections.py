"""Projections, which can be rebuilt from the ledger: the vector index and the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from sluice.model.generation import Generation
from sluice.model.links import Link, Seed
from sluice.model.points import GraphChunk, GraphOrphans, GraphRow, OutboxEntry, Point, StoredPoint
from sluice.model.search import Candidate, VectorQuery
from sluice.model.source import Source


class VectorIndex(Protocol):
    """Points by generation. Every method raises Unavailable where the server does not answer in time."""

    def ensure(self, generation: Generation) -> None:
        """Creates the backing collection, payload indexes and alias where they are missing."""

    def upsert(self, generation: Generation, points: Sequence[Point]) -> None:
        """Writes points in bounded batches; they are durable when this returns. Replaces points with the same id.
        Raises Terminal on a vector that is not finite or has another shape, Transient where the collection is lost."""

    def delete(self, generation: Generation, chunk_ids: Sequence[UUID]) -> None:
        """Deletes points; applied when this returns. Deleting a missing point is a no-op."""

    def search(self, generation: Generation, query: VectorQuery) -> list[Candidate]:
        """Returns the best `query.limit` candidates of each retriever, each once, in no order. Every candidate has the
        scores of all retrievers of the query, also of those that did not return it. Empty where the query has no
        sources or no terms. Raises BadRequest on an invalid filter, Unavailable where the collection is lost."""

    def count(self, generation: Generation, tenant: str | None = None, source: UUID | None = None) -> int:
        """Counts points exactly, of the whole generation or of one tenant and one source. Returns 0 where the
        collection is lost."""

    def drop(self, generation: Generation) -> None:
        """Drops the backing collection with all points and its alias. Dropping a missing collection is a no-op."""

    def points(
        self, generation: Generation, after: UUID | None, limit: int, *, vectors: bool = False
    ) -> list[StoredPoint]:
        """Returns points in the order of their ids' bytes; none where the collection is lost. `after`: the last id of
        the previous page. `vectors`: includes dense and sparse vectors."""

    def points_of(
        self, generation: Generation, chunk_ids: Sequence[UUID], *, vectors: bool = False
    ) -> list[StoredPoint]:
        """Returns those that exist, in any order."""

    def ping(self) -> str:
        """Returns the server's version. Raises Unavailable."""


class GraphIndex(Protocol):
    """Chunks, documents and entities by generation. Every method raises Unavailable where the server does not answer in
    time."""

    def ensure(self) -> None:
        """Creates constraints and indexes where they are missing."""

    def write(self, source: Source, chunks: Sequence[GraphChunk]) -> None:
        """Merges documents, chunks and entities. A chunk's document, ordinal, MENTIONS, RELATES and ABOUT become
        exactly the given ones. An entity has the name and kind of one of its current uses."""

    def remove(self, entries: Sequence[OutboxEntry]) -> None:
        """Deletes chunks, deleted documents, and entities that have no use any more."""

    def remove_chunks(self, generation: Generation, chunk_ids: Sequence[UUID]) -> None:
        """Deletes chunks with their relationships, and entities left without MENTIONS and ABOUT. Deleting a missing
        chunk is a no-op."""

    def drop(self, generation: Generation) -> None:
        """Deletes all chunks of the generation, in bounded transactions, with the documents and entities that no other
        generation uses. Safe to repeat after a crash."""

    def count(self, generation: Generation, tenant: str | None = None, source: UUID | None = None) -> int:
        """Counts chunks."""

    def chunks(self, generation: Generation, after: UUID | None, limit: int) -> list[GraphRow]:
        """Returns chunks in the order of their ids' bytes; `after`: the last id of the previous page. The cost grows
        only with the size of the page."""

    def chunks_of(self, generation: Generation, chunk_ids: Sequence[UUID]) -> list[GraphRow]:
        """Returns those that exist, in any order."""

    def orphans(self, limit: int) -> GraphOrphans:
        """Returns orphans of any collection, at most `limit` of each kind. Scans the whole graph, so run it nightly."""

    def drop_orphans(self, orphans: GraphOrphans) -> int:
        """Deletes those that are still orphans. Returns how many, without relationships deleted together with a
        node."""

    def ping(self) -> str:
        """Returns the server's version. Raises Unavailable."""


class PassageLinks(Protocol):
    """Links between passages, for searches."""

    def links(self, generation: Generation, sources: Sequence[UUID], seeds: Sequence[Seed], limit: int) -> list[Link]:
        """Returns the strongest links of each seed, at most `limit` each, strongest first: to passages of the
        generation and of these sources that are about an entity that the seed names or mentions, or that mention one
        that the seed mentions. Passages of other sources change nothing. Entities of which very many passages are
        about or that very many mention are left out. Raises Unavailable where the server does not answer in time."""
