"""Full text over the keyed terms of chunks, for searches while the vector index does not answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from sluice.model.chunk import SparseVector
from sluice.model.generation import Generation
from sluice.model.search import FullTextHits, VectorQuery


class FullText(Protocol):
    """The terms of chunks by generation. `versions.stage` writes them with the chunks, and they are deleted with
    them."""

    def search(self, generation: Generation, query: VectorQuery) -> FullTextHits:
        """Returns up to `query.limit` candidates of the query's sources by the query's terms, best first, with
        BM25-like scores of the retriever sparse. Ignores `query.filters`. Of very common words not all chunks are
        compared; the hits are then not complete."""

    def is_complete(self, generation: Generation) -> bool:
        """Returns whether every chunk of the generation has its terms, or cannot have them."""

    def lacking(self, generation: Generation, after: UUID | None, limit: int) -> list[UUID]:
        """Returns chunks of active versions without terms, in the order of ids; `after`: the last id of the previous
        page."""

    def add(self, generation: Generation, terms: Mapping[UUID, SparseVector]) -> int:
        """Adds the terms of chunks that exist and have none. Returns how many."""

    def set_complete(self, generation: Generation, unreadable: Sequence[UUID]) -> bool:
        """Records that the generation is complete, unless a chunk other than `unreadable` lacks its terms. Returns
        whether it is."""
