"""The rows of a ledger in memory, and the questions that both its sides ask of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import RLock
from typing import Any
from uuid import UUID

from sluice.adapters.postgres.rules import being_dropped
from sluice.model.costs import Budget, Quota, Spent
from sluice.model.deletion import Deletion
from sluice.model.gates import GateResult, GateRow, GateRule, Signature
from sluice.model.generation import Generation
from sluice.model.grants import Grant
from sluice.model.points import SealedVersion
from sluice.model.retention import ExpiredDocument, Retention
from sluice.model.run import Counts, RunMode, StageStat
from sluice.model.source import Schedule, SourceSpec


@dataclass
class SourceRow:
    source_id: UUID
    generation: Generation
    spec: SourceSpec
    saved_at: datetime
    schedule: Schedule = field(default_factory=Schedule)
    until: datetime | None = None  # instead of the spec's retention_days
    removed_at: datetime | None = None

    @property
    def retention(self) -> Retention | None:
        if self.spec.retention_days is None and self.until is None:
            return None
        return Retention(self.spec.retention_days, self.until)


@dataclass
class MoveRow:
    document_id: UUID
    placeholder_id: UUID | None
    former_external_id: str
    external_id: str
    how: str


@dataclass
class ClaimRow:
    run_id: UUID
    lapses_at: datetime
    in_session: bool = False


@dataclass
class CostRow:
    spent: Spent = field(default_factory=Spent)
    reserved_tokens: int = 0


@dataclass
class RunRow:
    run_id: UUID
    source_id: UUID
    generation: Generation
    mode: RunMode
    orchestrator: str | None
    started_at: datetime
    state: str = "running"
    scanned_at: datetime | None = None
    recorded_at: datetime | None = None  # its latest stage
    mark: str | None = None
    finished_at: datetime | None = None
    summary: Any = None
    stages: dict[tuple[int, str], StageStat] = field(default_factory=dict)
    gates: dict[tuple[int, str], tuple[GateResult, ...]] = field(default_factory=dict)
    vanished: set[UUID] = field(default_factory=set)
    moves: dict[UUID, MoveRow] = field(default_factory=dict)  # by document
    purged: dict[UUID, ExpiredDocument] = field(default_factory=dict)
    gate_rows: dict[tuple[int, str], list[GateRow]] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    costs: dict[int, CostRow] = field(default_factory=dict)  # by batch
    stopped: str | None = None


@dataclass
class DocumentRow:
    document_id: UUID
    source: SourceRow
    external_id: str
    uri: str
    first_seen_at: datetime
    fingerprint: str | None = None
    deleted_at: datetime | None = None
    deleted_by: UUID | None = None
    retention: Retention | None = None
    served_since: datetime | None = None
    expires_at: datetime | None = None
    purged_hash: bytes | None = None
    removed_at: datetime | None = None
    access_groups: tuple[str, ...] | None = None
    key_destroyed_at: datetime | None = None

    @property
    def gone_hash(self) -> bytes | None:
        """Of content that was purged or deleted by hand, and stays so until it changes."""
        expired = self.expires_at is not None and self.expires_at <= now()
        return self.purged_hash if expired or self.removed_at else None


@dataclass
class VersionRow:
    sealed: SealedVersion
    generation: Generation
    run_id: UUID
    state: str = "pending"
    number: int | None = None
    activated_at: datetime | None = None


@dataclass
class QuarantineRow:
    document_id: UUID
    source: SourceRow
    run_id: UUID
    stage: str
    code: str
    reason: str
    fingerprint: str
    kept_bytes: int | None
    refused_at: datetime
    raw_hash: bytes | None = None


@dataclass
class OutboxRow:
    outbox_id: int
    generation: Generation
    document_id: UUID
    chunk_ids: tuple[UUID, ...]
    document_gone: bool


@dataclass
class MemoryState:
    """One ledger. Hold `lock` while reading or writing."""

    lock: RLock = field(default_factory=RLock)
    tenants: set[str] = field(default_factory=set)
    quotas: dict[str, Quota] = field(default_factory=dict)  # by tenant; none: without a limit
    collections: dict[str, Generation] = field(default_factory=dict)  # the live generation by name
    dropping: set[UUID] = field(default_factory=set)  # collections
    retentions: dict[UUID, Retention] = field(default_factory=dict)  # by collection
    epochs: dict[UUID, int] = field(default_factory=dict)
    sources: dict[UUID, SourceRow] = field(default_factory=dict)
    claims: dict[UUID, ClaimRow] = field(default_factory=dict)  # by source
    sessions: set[UUID] = field(default_factory=set)  # runs whose process lives
    runs: dict[UUID, RunRow] = field(default_factory=dict)
    documents: dict[UUID, DocumentRow] = field(default_factory=dict)
    versions: dict[UUID, dict[UUID, VersionRow]] = field(default_factory=dict)  # by document, then by version
    quarantine: dict[UUID, QuarantineRow] = field(default_factory=dict)  # open records by document
    released: dict[UUID, UUID] = field(default_factory=dict)  # by document: source; bytes that are kept still
    outbox: dict[int, OutboxRow] = field(default_factory=dict)
    queued: int = 0
    gate_rules: dict[UUID, dict[tuple[str, str], GateRule]] = field(default_factory=dict)  # by collection
    signatures: dict[UUID, tuple[UUID, Signature]] = field(default_factory=dict)  # by document: run, signature
    reconciliations: list[tuple[Generation, datetime, bool, Any]] = field(default_factory=list)
    grants: dict[tuple[str, str], Grant] = field(default_factory=dict)
    deletions: list[Deletion] = field(default_factory=list)

    def check_not_dropping(self, generation: Generation) -> None:
        """Raises Busy."""
        if generation.collection_id in self.dropping:
            raise being_dropped(generation.collection)

    def versions_of(self, document_id: UUID, generation: Generation, *states: str) -> Iterator[VersionRow]:
        for version in list(self.versions.get(document_id, {}).values()):
            if same(version.generation, generation) and version.state in states:
                yield version

    def all_versions(self) -> Iterator[VersionRow]:
        for versions in self.versions.values():
            yield from versions.values()

    def active(self, document_id: UUID, generation: Generation) -> VersionRow | None:
        return next(self.versions_of(document_id, generation, "active"), None)

    def last(self, document_id: UUID) -> VersionRow | None:
        """The version that was served last, if any was."""
        served = [each for each in self.versions.get(document_id, {}).values() if each.activated_at is not None]
        return max(served, key=lambda each: (each.activated_at, each.number), default=None)

    def expiry(self, document: DocumentRow) -> datetime | None:
        """By the narrowest retention that is set."""
        source = document.source
        rule = document.retention or source.retention or self.retentions.get(source.generation.collection_id)
        if rule is None or document.served_since is None:
            return None
        return rule.until or (document.served_since + timedelta(days=rule.days) if rule.days else None)

    def renew_expiry(self, documents: Iterable[DocumentRow]) -> int:
        """Returns how many ends changed."""
        renewed = [each for each in documents if each.expires_at != self.expiry(each)]
        for document in renewed:
            document.expires_at = self.expiry(document)
        return len(renewed)

    def living(self, source_id: UUID) -> dict[str, DocumentRow]:
        """By external id."""
        return {
            each.external_id: each
            for each in self.documents.values()
            if each.source.source_id == source_id and each.deleted_at is None
        }

    def is_there(self, source: SourceRow) -> bool:
        """One that was removed by hand is, as long as its documents are."""
        return source.removed_at is None or any(
            each.removed_at is None for each in self.living(source.source_id).values()
        )

    def runs_of(self, source_id: UUID) -> Iterator[RunRow]:
        for run in self.runs.values():
            if run.source_id == source_id:
                yield run

    def alive(self, run: RunRow) -> bool:
        """At work, because its lease holds."""
        claim = self.claims.get(run.source_id)
        held = claim is not None and claim.run_id == run.run_id and claim.lapses_at > now()
        return run.state == "running" and held

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """What the body did is undone where it raises."""
        with self.lock:
            before = deepcopy({name: value for name, value in vars(self).items() if name != "lock"})
            try:
                yield
            except BaseException:
                vars(self).update(before)
                raise

    def queue(
        self, generation: Generation, document_id: UUID, chunk_ids: tuple[UUID, ...], document_gone: bool
    ) -> None:
        self.queued += 1
        self.outbox[self.queued] = OutboxRow(self.queued, generation, document_id, chunk_ids, document_gone)

    def resolve(self, document_id: UUID) -> None:
        """Close an open quarantine record."""
        record = self.quarantine.pop(document_id, None)
        if record and record.kept_bytes is not None:
            self.released[document_id] = record.source.source_id

    def changed(self, collection_id: UUID) -> None:
        self.epochs[collection_id] = self.epochs.get(collection_id, 0) + 1

    def count(self, generation: Generation, tenant: str | None, source_id: UUID | None = None) -> Counts:
        def asked(source: SourceRow) -> bool:
            return (
                source.generation.collection_id == generation.collection_id
                and tenant in (None, source.spec.tenant)
                and source_id in (None, source.source_id)
            )

        served = [
            version
            for version in self.all_versions()
            if version.state == "active"
            and same(version.generation, generation)
            and asked(self.documents[version.sealed.document_id].source)
            and self.documents[version.sealed.document_id].deleted_at is None
        ]
        chunks = sum(len(version.sealed.chunks) for version in served)
        return Counts(len(served), chunks, sum(1 for row in self.quarantine.values() if asked(row.source)))


def same(one: Generation, other: Generation) -> bool:
    return one.collection_id == other.collection_id and one.number == other.number


def now() -> datetime:
    return datetime.now(UTC)
