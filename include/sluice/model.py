"""The nouns of the flow: Source → Entry → Document → Chunk → EmbeddedChunk → Passage.

All are frozen values. Text in them is plain; it is sealed at the edge (ledger, artefacts), see `seal.py`.
Hashes are keyed with the tenant's index key (`seal.py`), so that a hash in a store cannot be looked up in a dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
"""Shape (n,) or (k, n), float32, L2-normalised."""

Mode = Literal["incremental", "full"]
Leg = Literal["dense", "sparse"]
ALL_GROUPS = "*"
GateAction = Literal["off", "flag", "mask", "block"]
"""What a gate does with a row that fails a check: nothing (not even looking), report it, also replace what was found
by placeholders, or keep the document out."""


# --- what is asked for --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """Where documents come from and who may read them.

    None means "not given": what is saved of the source stays, and a new source is readable by everyone in the tenant,
    without globs, kept for ever. In a spec that the ledger returns nothing is None.
    """

    uri: str
    collection: str
    tenant: str = "default"
    access_groups: tuple[str, ...] | None = None  # empty: everyone in the tenant
    retention_days: int | None = None  # from activation to expiry; 0: for ever
    include: tuple[str, ...] | None = None  # globs over external ids; empty: all
    exclude: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """How a generation's chunks, vectors and entities are made. A change of profile is a new generation."""

    chunker: str  # tokens:<max>:<overlap> or chars:<max>:<overlap>
    embedder: str  # minilm, hash:<dim>
    entities: str  # spacy:<pipeline> or off
    dim: int  # components of a dense vector


@dataclass(frozen=True, slots=True)
class Generation:
    collection_id: UUID
    collection: str
    number: int
    profile: Profile
    physical: str  # Qdrant's collection, <collection>__g<number>
    filter_fields: tuple[str, ...] = ()  # metadata keys that searches may filter on


@dataclass(frozen=True, slots=True)
class Source:
    source_id: UUID
    spec: SourceSpec
    generation: Generation


@dataclass(frozen=True, slots=True)
class Run:
    run_id: UUID
    source: Source
    mode: Mode
    started_at: datetime


# --- what a scan sees ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """One document as listed by its source, not yet read. Equal fingerprints mean: unchanged, do not read."""

    external_id: str
    uri: str
    fingerprint: str
    size_bytes: int
    # Where the source can hand over a position instead of a name (a line in a JSONL file): bytes from the start.
    offset: int = 0
    former: str | None = None  # external id before, where the source itself says that it was renamed


@dataclass(frozen=True, slots=True)
class Item:
    """An entry that needs work, with the id that the ledger assigned and what is active now."""

    document_id: UUID
    entry: Entry
    new: bool
    active_hash: bytes | None = None  # keyed hash of the raw bytes of the active version; None: work on it anyway
    moved: bool = False  # known under another name before


@dataclass(frozen=True, slots=True)
class ScanResult:
    seen: int
    unchanged: int
    quarantined: int  # unchanged since it was quarantined
    items: list[Item]
    vanished: list[UUID]  # in the ledger, not in this complete scan: gone, or moved
    known: int = 0  # living documents of the source before this scan


# --- what flows ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Raw:
    """The bytes of one document as its source holds them."""

    item: Item
    content: bytes
    mime: str | None = None  # what the source claims, if anything
    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """Extracted text of one document. Offsets everywhere count characters of `text`."""

    item: Item
    mime: str
    title: str
    text: str
    raw_hash: bytes
    metadata: Mapping[str, Any] = field(default_factory=dict)
    page_starts: tuple[int, ...] = ()  # page p (from 1) begins at page_starts[p - 1]

    @property
    def document_id(self) -> UUID:
        return self.item.document_id


@dataclass(frozen=True, slots=True)
class Mention:
    """One entity in one chunk."""

    entity_id: UUID  # contains the tenant: nothing is shared between tenants
    kind: str
    name: str
    count: int


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


# --- what the stores hold -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SealedChunk:
    """A ledger row of a chunk."""

    chunk_id: UUID
    ordinal: int
    start: int
    end: int
    page: int | None
    text_hash: bytes
    sealed_text: bytes  # purpose "chunk"
    sealed_headings: bytes  # purpose "headings", JSON list
    sealed_names: bytes  # purpose "names", JSON {entity_id: name}
    mentions: tuple[tuple[UUID, str, int], ...]  # entity_id, kind, count


@dataclass(frozen=True, slots=True)
class SealedVersion:
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
    chunks: tuple[SealedChunk, ...]


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
    mentions: tuple[tuple[UUID, str, int], ...]  # entity_id, kind, count; in the order of ids
    changing: bool  # a living run has staged another version of the document: its projections are in flux


@dataclass(frozen=True, slots=True)
class GraphChunk:
    chunk_id: UUID
    document_id: UUID
    ordinal: int
    mentions: tuple[Mention, ...]


@dataclass(frozen=True, slots=True)
class GraphRow:
    """A chunk as the graph holds it, whoever wrote it."""

    chunk_id: UUID
    document_id: UUID | None  # None: it hangs on no document, on several, or on one whose id is none of ours
    tenant: str | None
    ordinal: int | None
    mentions: tuple[tuple[UUID | None, int], ...]  # entity_id (None: none of ours), count; in the order of ids


@dataclass(frozen=True, slots=True)
class GraphOrphans:
    """What nothing supports, by the store's own name for it: what was made by hand may have no id of ours."""

    documents: tuple[str, ...] = ()  # without a chunk
    entities: tuple[str, ...] = ()  # that no chunk mentions
    chunks: tuple[str, ...] = ()  # of no collection or generation, or with an id that none of ours has
    edges: tuple[str, ...] = ()  # HAS_CHUNK and MENTIONS between the wrong kinds of node

    def __len__(self) -> int:
        return len(self.documents) + len(self.entities) + len(self.chunks) + len(self.edges)


@dataclass(frozen=True, slots=True)
class Removal:
    """Work from the outbox: chunks that no version serves any more, to be taken out of the projections."""

    outbox_id: int
    generation: Generation
    document_id: UUID
    chunk_ids: tuple[UUID, ...]
    document_gone: bool


@dataclass(frozen=True, slots=True)
class StageStat:
    """What one stage did with one batch. Written once per (run, batch, stage): a retry replaces it."""

    batch: int  # -1: of the run as a whole
    stage: str
    seconds: float
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Counts:
    documents: int
    chunks: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one document went to quarantine. `reason` says what to do."""

    item: Item
    stage: str
    code: str
    reason: str
    retry: bool = False  # not the document's fault (a time-out, a permission): the next run tries it again


@dataclass(frozen=True, slots=True)
class GateResult:
    """One expectation on one batch."""

    suite: str
    expectation: str
    column: str | None
    success: bool
    blocking: bool
    evaluated: int
    unexpected: int
    observed: Any = None


@dataclass(frozen=True, slots=True)
class GateRow:
    """One document or chunk that failed one expectation. `observed`: numbers, types and places, never readable text."""

    document_id: UUID
    ordinal: int | None  # of the chunk; None: the document as a whole
    suite: str
    code: str
    expectation: str
    observed: Any = None


@dataclass(frozen=True, slots=True)
class GateRule:
    """How one collection departs from one check of a suite. None: as the suite says."""

    action: GateAction | None = None
    limit: float | None = None
    options: tuple[str, ...] | None = None  # what the check looks for: types, languages


@dataclass(frozen=True, slots=True)
class Signature:
    """What near-duplicates of a document are found by: minima of keyed hashes (MinHash), and hashes of their bands."""

    document_id: UUID
    minima: NDArray[np.uint32]  # (64,)
    bands: tuple[int, ...]  # 64-bit signed; two documents of one collection that share one are worth comparing


# --- between tasks ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BatchRef:
    """What XCom carries: where a batch lies and how much is in it. Never text, never vectors."""

    run_id: str
    batch: int
    uri: str  # folder of the batch's artefacts
    documents: int

    def to_json(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "batch": self.batch, "uri": self.uri, "documents": self.documents}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> BatchRef:
        return cls(str(value["run_id"]), int(value["batch"]), str(value["uri"]), int(value["documents"]))


# --- what is served -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: one tenant at a time, with the access groups held there (`*`: all)."""

    name: str
    tenant: str
    groups: frozenset[str] = frozenset()
    may_write: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """What one caller may read in one tenant. `principal` is an Airflow user name."""

    principal: str
    tenant: str
    groups: frozenset[str]
    may_write: bool


@dataclass(frozen=True, slots=True)
class SearchRequest:
    query: str
    collection: str
    top_k: int = 10
    legs: tuple[Leg, ...] = ("dense", "sparse")
    filters: Mapping[str, Any] = field(default_factory=dict)  # field → scalar | list | {gt,gte,lt,lte}
    explain: bool = False


@dataclass(frozen=True, slots=True)
class VectorQuery:
    """One fused query of the vector index. A leg whose vector is None is left out."""

    dense: Vector | None
    sparse: SparseVector | None
    tenant: str
    sources: tuple[UUID, ...]  # what the principal may read, decided in the ledger
    filters: Mapping[str, Any]
    limit: int
    explain: bool = False  # fill Candidate.legs


@dataclass(frozen=True, slots=True)
class Candidate:
    """A hit in the vector index, not yet allowed to be shown."""

    chunk_id: UUID
    score: float
    legs: Mapping[str, float] = field(default_factory=dict)  # score by leg, on request


@dataclass(frozen=True, slots=True)
class Hydrated:
    """A chunk that the ledger allows this principal to read now. Text is still sealed."""

    chunk_id: UUID
    document_id: UUID
    external_id: str
    uri: str
    version: int
    generation: int
    run_id: UUID
    start: int
    end: int
    page: int | None
    mime: str
    sealed_text: bytes
    sealed_headings: bytes
    sealed_title: bytes
    sealed_metadata: bytes


@dataclass(frozen=True, slots=True)
class VersionStep:
    """One version in a document's history."""

    number: int
    generation: int
    state: str
    run_id: UUID
    activated_at: datetime


@dataclass(frozen=True, slots=True)
class GateTotal:
    """One expectation over all batches of a run; its blocking and its warning form apart."""

    stage: str
    suite: str
    expectation: str
    column: str | None
    blocking: bool
    success: bool
    evaluated: int
    unexpected: int


@dataclass(frozen=True, slots=True)
class PassageLineage:
    """Where a passage comes from, as the ledger has it."""

    chunk_id: UUID
    document_id: UUID
    external_id: str
    uri: str
    source_uri: str
    collection: str
    first_seen_at: datetime
    expires_at: datetime | None
    version: int
    generation: int
    physical: str
    profile: Profile
    run_id: UUID
    orchestrator: str | None
    run_state: str
    started_at: datetime
    finished_at: datetime | None
    history: tuple[VersionStep, ...] = ()  # the oldest first
    gates: tuple[GateTotal, ...] = ()
    computed: int = 0  # vectors that the run had to compute
    cached: int = 0  # and took from the cache
    datasets: tuple[str, ...] = ()  # namespace:name, of the run's lineage events


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    name: str
    generation: int
    profile: Profile
    documents: int
    chunks: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    document_id: UUID
    external_id: str
    uri: str
    collection: str
    version: int | None  # None: never active (quarantined)
    generation: int | None
    run_id: UUID | None
    mime: str | None
    size_bytes: int | None
    chunks: int
    first_seen_at: datetime
    activated_at: datetime | None
    expires_at: datetime | None
    quarantine: str | None  # reason, where it is in quarantine
    sealed_title: bytes | None


@dataclass(frozen=True, slots=True)
class Passage:
    """One search result with its citation."""

    chunk_id: UUID
    document_id: UUID
    external_id: str
    title: str
    text: str
    score: float
    uri: str
    start: int
    end: int
    page: int | None
    headings: tuple[str, ...]
    metadata: Mapping[str, Any]
    version: int
    generation: int
    run_id: UUID
    legs: Mapping[str, float] = field(default_factory=dict)
