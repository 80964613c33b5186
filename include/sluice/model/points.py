"""Rows of the stores: encrypted ledger rows, points of the vector index, graph contributions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sluice.model.chunk import Mention, Relation, SparseVector, Vector
from sluice.model.generation import Generation


class EncryptedMention(NamedTuple):
    """The ledger row of a mention; the entity's name is in `sealed_names` of the chunk."""

    entity_id: UUID
    kind: str
    occurrences: int  # in the text
    about: bool


@dataclass(frozen=True, slots=True)
class EncryptedChunk:
    """The ledger row of a chunk."""

    chunk_id: UUID
    ordinal: int
    start: int
    end: int
    page: int | None
    text_hash: bytes
    sealed_text: bytes  # purpose "chunk", part: chunk_id
    sealed_headings: bytes  # purpose "headings", part: chunk_id, JSON list
    sealed_names: bytes  # purpose "names", part: chunk_id, JSON {entity_id: name}
    mentions: tuple[EncryptedMention, ...]
    terms: SparseVector  # for the ledger's full text
    relations: tuple[Relation, ...] = ()


@dataclass(frozen=True, slots=True)
class EncryptedVersion:
    """The ledger row of a version with its chunks. `version_id` is uuid5(run, document), so a retry adds nothing."""

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
    language: str | None = None  # ISO 639-3


@dataclass(frozen=True, slots=True)
class Point:
    """A row of the vector index: vectors, ids and declared filter fields; nothing readable."""

    chunk_id: UUID
    dense: Vector  # (dim,)
    sparse: SparseVector
    payload: Mapping[str, Any]  # tenant, source_id, document_id, meta {declared field: scalar or list}


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """A point as stored in the vector index, written by anyone. Vectors are None where they were not requested."""

    chunk_id: UUID
    payload: Mapping[str, Any]
    dense: Vector | None = None
    sparse: SparseVector | None = None


@dataclass(frozen=True, slots=True)
class LedgerChunk:
    """A chunk of an active version, still encrypted: the data from which its point and graph contribution are built."""

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
    mentions: tuple[EncryptedMention, ...]  # in the order of ids
    changing: bool  # a running run has staged another version, so the document's projections may change at any time
    relations: tuple[Relation, ...] = ()  # sorted
    language: str | None = None  # of the version, ISO 639-3; its sparse vectors are analysed in it


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A served document with its external id."""

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
    relations: tuple[Relation, ...] = ()  # between mentioned entities


@dataclass(frozen=True, slots=True)
class GraphRow:
    """A chunk as stored in the graph, written by anyone. Foreign ids (not valid ids of Sluice) are None."""

    chunk_id: UUID
    document_id: UUID | None  # None: no document, several, or one with a foreign id
    tenant: str | None
    ordinal: int | None
    mentions: tuple[tuple[UUID | None, int], ...]  # entity_id, count; in the order of ids
    relations: tuple[tuple[UUID | None, str, UUID | None], ...] = ()  # as Relation, sorted
    # Subjects of its document that this chunk contributes, as (document, entity), sorted.
    about: tuple[tuple[UUID | None, UUID | None], ...] = ()


@dataclass(frozen=True, slots=True)
class GraphOrphans:
    """Orphans in the graph, by the store's own element ids, because a foreign node may have no id of Sluice."""

    documents: tuple[str, ...] = ()  # without a chunk
    entities: tuple[str, ...] = ()  # without a MENTIONS or ABOUT relationship
    chunks: tuple[str, ...] = ()  # without an existing collection or generation, or with a foreign id
    edges: tuple[str, ...] = ()  # between the wrong kinds of node; RELATES and ABOUT that name no chunk

    def __len__(self) -> int:
        return len(self.documents) + len(self.entities) + len(self.chunks) + len(self.edges)


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """An outbox entry: chunks that no version serves any more, to be deleted from the projections."""

    outbox_id: int
    generation: Generation
    document_id: UUID
    chunk_ids: tuple[UUID, ...]
    document_gone: bool
