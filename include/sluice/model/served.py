"""What is served, and who asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sluice.model.asked import Profile
from sluice.model.flowing import SparseVector, Vector
from sluice.model.recorded import GateRow

Leg = Literal["dense", "sparse"]

ALL_GROUPS = "*"


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
    min_score: float | None = None  # lowest cosine similarity of question and passage, 0 to 1


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
    code: str | None = None  # the check's name in its suite
    action: str | None = None  # block, mask or flag


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A row that failed a check, with the name of its document."""

    external_id: str
    row: GateRow


@dataclass(frozen=True, slots=True)
class RunGates:
    """What the gates of one run found."""

    run_id: UUID
    collection: str
    source_uri: str
    mode: str
    orchestrator: str | None
    state: str
    started_at: datetime
    finished_at: datetime | None
    gates: tuple[GateTotal, ...]
    rows: tuple[FailedRow, ...]  # a page of those of documents that may be read now
    rows_total: int  # on all pages


@dataclass(frozen=True, slots=True)
class Refusal:
    """An open quarantine record."""

    document_id: UUID
    external_id: str
    uri: str
    collection: str
    source_uri: str
    run_id: UUID
    stage: str
    code: str
    reason: str
    refused_at: datetime
    kept_bytes: int | None  # size of the document's bytes, which are kept for a replay; None: they are not
    rows: tuple[GateRow, ...] = ()  # what its gate found; only where one record is asked for


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
    ordinal: int = 0  # of the chunk in its version
    rows: tuple[GateRow, ...] = ()  # what that run's gates recorded of the document as a whole and of this chunk


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
    similarity: float | None = None  # cosine similarity to the question, where it was asked for
