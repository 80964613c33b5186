"""Chunks with their mentions, relations and vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from uuid import UUID

from sluice.model.document import Document

if TYPE_CHECKING:  # commands that need no vectors start without numpy
    import numpy as np
    from numpy.typing import NDArray


Vector: TypeAlias = "NDArray[np.float32]"
"""Shape (n,) or (k, n), float32, L2-normalised."""


@dataclass(frozen=True, slots=True)
class Mention:
    """One entity in one chunk: named in its text, or the subject of its document."""

    entity_id: UUID  # contains the tenant: nothing is shared between tenants
    kind: str
    name: str
    count: int  # occurrences in the text; 0 where only a title or heading names it
    about: bool = False  # named in the document's title (first chunk), or in a heading that begins in the chunk


class Relation(NamedTuple):
    """A relation between two entities of a chunk, as its text states it. Ids and a type only: nothing readable."""

    head_id: UUID
    kind: str  # citizen_of, located_in
    tail_id: UUID


@dataclass(frozen=True, slots=True)
class Chunk:
    chunk_id: UUID
    document_id: UUID
    ordinal: int  # from 0, order in the document
    text: str  # == document.text[start:end]
    context: str  # title and headings, embedded before the text; may be empty
    start: int
    end: int
    page: int | None  # from 1
    headings: tuple[str, ...]
    text_hash: bytes  # keyed hash of `embedded_text`
    mentions: tuple[Mention, ...] = ()
    relations: tuple[Relation, ...] = ()  # sorted, without duplicates

    @property
    def embedded_text(self) -> str:
        """Returns the context, an empty line and the text; only the text where there is no context."""
        return f"{self.context}\n\n{self.text}" if self.context else self.text


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Keyed token hashes (uint32) and BM25 term weights (float32) without IDF, which Qdrant applies."""

    indices: NDArray[np.uint32]
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EmbeddedChunk:
    chunk: Chunk
    dense: Vector  # (dim,)
    sparse: SparseVector


@dataclass(frozen=True, slots=True)
class ChunkedDocument:
    document: Document
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class EmbeddedDocument:
    """A document with all its embedded chunks: the input of `load`."""

    document: Document
    chunks: tuple[EmbeddedChunk, ...]
