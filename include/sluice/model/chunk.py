"""Chunks with their mentions, relations and vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from uuid import UUID

from sluice.model.document import Document

if TYPE_CHECKING:  # the commands that touch no vector start without numpy
    import numpy as np
    from numpy.typing import NDArray


Vector: TypeAlias = "NDArray[np.float32]"
"""Shape (n,) or (k, n), float32, L2-normalised."""


@dataclass(frozen=True, slots=True)
class Mention:
    """One entity in one chunk: named by its text, or what its document is about."""

    entity_id: UUID  # contains the tenant: nothing is shared between tenants
    kind: str
    name: str
    count: int  # of times that the text names it; 0 where only a title or heading does
    about: bool = False  # the document's title, on its first chunk; or a heading that begins in the chunk


class Relation(NamedTuple):
    """What a chunk's text says of two entities that it mentions. Ids and a type: nothing readable."""

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
    relations: tuple[Relation, ...] = ()  # in order; each once, however often the text says it

    @property
    def embedded_text(self) -> str:
        return f"{self.context}\n\n{self.text}" if self.context else self.text


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Keyed token hashes (uint32) and BM25 term weights without IDF, which Qdrant applies."""

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
    """A document with all its chunks: what `load` takes."""

    document: Document
    chunks: tuple[EmbeddedChunk, ...]
