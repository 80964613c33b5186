"""What the stores hold: sealed rows of the ledger, points, parts of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sluice.model.chunk import Mention, Relation, SparseVector, Vector
from sluice.model.generation import Generation


@dataclass(frozen=True, slots=True)
class EncryptedChunk:
    """A ledger row of a chunk."""

    chunk_id: UUID
    ordinal: int
    start: int
    end: int
    page: int | None
    text_hash: bytes
    sealed_text: bytes  # purpose "chunk", part: chunk_id
    sealed_headings: bytes  # purpose "headings", part: chunk_id, JSON list
    sealed_names: bytes  # purpose "names", part: chunk_id, JSON {entity_id: name}
    mentions: tuple[tuple[UUID, str, int, bool], ...]  # entity_id, kind, count, about
    relations: tuple[Relation, ...] = ()


@dataclass(frozen=True, slots=True)
class EncryptedVersion:
    """A ledger row of a version with its chunks. `version_id` is uuid5(run, document): a retry adds nothing."""

    version_id: UUID
    document_id: UUID
    fingerprint: str
    raw_hash: bytes
    mime: str
    size_bytes: int
    sealed_title: bytes  # purpose "title"
    sealed_text: bytes  # purpose "text"
    sealed_metadata: bytes  # purpose "metadata", JSON object
    chunks: tuple[EncryptedChunk, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """A row of the vector index: vectors, ids and declared filter fields; nothing readable."""

    chunk_id: UUID
    dense: Vector  # (dim,)
    sparse: SparseVector
    payload: Mapping[str, Any]  # tenant, source_id, document_id, meta {declared field: scalar or list}


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """A point as the vector index holds it, whoever wrote it. Vectors are None where they were not asked for."""

    chunk_id: UUID
    payload: Mapping[str, Any]
    dense: Vector | None = None
    sparse: SparseVector | None = None


@dataclass(frozen=True, slots=True)
class LedgerChunk:
    """A chunk of an active version: all that its point and its part of the graph are made from, still sealed."""

    chunk_id: UUID
    version_id: UUID
    document_id: UUID
    source_id: UUID
    tenant: str
    ordinal: int
    text_hash: bytes
    mime: str
    sealed_title: bytes
    sealed_metadata: bytes
    sealed_text: bytes
    sealed_headings: bytes
    sealed_names: bytes
    mentions: tuple[tuple[UUID, str, int, bool], ...]  # entity_id, kind, count, about; in the order of ids
    changing: bool  # a living run has staged another version of the document: its projections are in flux
    relations: tuple[Relation, ...] = ()  # in order


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A served document, by what its source knows it by."""

    document_id: UUID
    tenant: str
    collection: str
    external_id: str


@dataclass(frozen=True, slots=True)
class GraphChunk:
    chunk_id: UUID
    document_id: UUID
    ordinal: int
    mentions: tuple[Mention, ...]
    relations: tuple[Relation, ...] = ()  # between entities that are mentioned


@dataclass(frozen=True, slots=True)
class GraphRow:
    """A chunk as the graph holds it, whoever wrote it."""

    chunk_id: UUID
    document_id: UUID | None  # None: it hangs on no document, on several, or on one whose id is none of ours
    tenant: str | None
    ordinal: int | None
    mentions: tuple[tuple[UUID | None, int], ...]  # entity_id (None: none of ours), count; in the order of ids
    relations: tuple[tuple[UUID | None, str, UUID | None], ...] = ()  # as Relation, in order; None: none of ours
    # What its document is about, as (document, entity), by this chunk; in order; None: none of ours.
    about: tuple[tuple[UUID | None, UUID | None], ...] = ()


@dataclass(frozen=True, slots=True)
class GraphOrphans:
    """What nothing supports, by the store's own name for it: what was made by hand may have no id of ours."""

    documents: tuple[str, ...] = ()  # without a chunk
    entities: tuple[str, ...] = ()  # that no chunk mentions and no document is about
    chunks: tuple[str, ...] = ()  # of no collection or generation, or with an id that none of ours has
    edges: tuple[str, ...] = ()  # between the wrong kinds of node; RELATES and ABOUT that name no chunk

    def __len__(self) -> int:
        return len(self.documents) + len(self.entities) + len(self.chunks) + len(self.edges)


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """Work from the outbox: chunks that no version serves any more, to be taken out of the projections."""

    outbox_id: int
    generation: Generation
    document_id: UUID
    chunk_ids: tuple[UUID, ...]
    document_gone: bool
