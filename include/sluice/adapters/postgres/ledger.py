"""The ledger on PostgreSQL. Every method is one transaction; the work is in the modules beside this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from sluice.adapters.postgres import (
    claims,
    counting,
    gates,
    moving,
    quotas,
    reconciling,
    refusing,
    removals,
    runs,
    saved,
    scan,
    sessions,
    sources,
    spending,
    staging,
    switching,
)
from sluice.adapters.postgres.deletions import PostgresDeletions
from sluice.adapters.postgres.failures import translated
from sluice.adapters.postgres.pruning import PostgresPruning
from sluice.adapters.postgres.retention import PostgresRetention
from sluice.adapters.postgres.transactions import transaction
from sluice.model.costs import Budget, Quota, Spent, TenantUse
from sluice.model.gates import GateResult, GateRow, GateRule, Signature
from sluice.model.generation import Generation, Profile
from sluice.model.points import LedgerChunk, Removal, SealedVersion, SourceDocument
from sluice.model.quarantine import Failure
from sluice.model.run import Counts, Run, RunMode, StageStat
from sluice.model.scan import Entry, Item, ScanPreview, ScanResult
from sluice.model.source import LastRun, SavedSource, Schedule, Source, SourceSpec


class PostgresLedger(PostgresRetention, PostgresPruning, PostgresDeletions):
    """`sluice.ports.ledger.Ledger`."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._sessions = sessions.Sessions(engine)

    def open_source(self, spec: SourceSpec, profile: Profile, filter_fields: tuple[str, ...]) -> Source:
        with transaction(self._engine) as connection:
            return sources.open_source(connection, spec, profile, filter_fields)

    def save_source(self, spec: SourceSpec, profile: Profile, filter_fields: tuple[str, ...]) -> Source:
        with transaction(self._engine) as connection:
            return sources.save_source(connection, spec, profile, filter_fields)

    def saved_source(self, tenant: str, collection: str, uri: str) -> SourceSpec | None:
        with transaction(self._engine) as connection:
            return sources.saved_source(connection, tenant, collection, uri)

    def saved_sources(self, tenant: str | None = None, collection: str | None = None) -> list[SavedSource]:
        with transaction(self._engine) as connection:
            return saved.saved_sources(connection, tenant, collection)

    def set_schedule(self, tenant: str, collection: str, uri: str, schedule: Schedule) -> None:
        with transaction(self._engine) as connection:
            saved.set_schedule(connection, tenant, collection, uri, schedule)

    def run_by(self, source: SavedSource, orchestrator: str) -> LastRun | None:
        with transaction(self._engine) as connection:
            return saved.run_by(connection, source, orchestrator)

    def start_run(
        self, source: Source, mode: RunMode, run_id: UUID, orchestrator: str | None = None, budget: Budget = Budget()
    ) -> Run:
        with transaction(self._engine) as connection:
            return runs.start_run(connection, source, mode, run_id, orchestrator, budget)

    def run(self, run_id: UUID) -> Run:
        with transaction(self._engine) as connection:
            return runs.read_run(connection, run_id)

    def record_scan(
        self,
        run: Run,
        entries: Iterable[Entry],
        settings: SourceSpec | None = None,
        accept: Callable[[ScanResult], object] = lambda result: None,
    ) -> ScanResult:
        with translated(), self._engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            return scan.record_scan(connection, run, entries, settings, accept)

    def preview_scan(self, source: Source | None, entries: Iterable[Entry]) -> ScanPreview:
        with translated(), self._engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            return scan.preview_scan(connection, source, entries)

    def record_mark(self, run: Run, mark: str) -> None:
        with self._writing(run) as connection:
            runs.record_mark(connection, run, mark)

    def last_mark(self, source: Source) -> str | None:
        with transaction(self._engine) as connection:
            return runs.last_mark(connection, source)

    def session(self, run_id: UUID) -> AbstractContextManager[None]:
        return self._sessions.hold(run_id)

    def claim(self, run: Run, lease_s: float) -> None:
        in_session = self._sessions.lives(run.run_id)
        with transaction(self._engine) as connection:
            if run.mode != "purge":  # a deletion that was killed is finished by its repetition
                sources.check_not_dropping(connection, run.source.generation)
            claims.claim(connection, run, lease_s, in_session)

    def renew(self, run: Run, lease_s: float) -> bool:
        in_session = self._sessions.lives(run.run_id)
        with transaction(self._engine) as connection:
            return claims.renew(connection, run, lease_s, in_session)

    def adopt_same(self, run: Run, hashes: Mapping[UUID, bytes]) -> dict[UUID, UUID]:
        if not hashes:
            return {}
        with self._writing(run) as connection:
            return moving.adopt_same(connection, run, hashes)

    def missed(self, run: Run, limit: int) -> list[tuple[UUID, bytes]]:
        with transaction(self._engine) as connection:
            return moving.missed(connection, run, limit)

    def adopt_similar(self, run: Run, scores: Mapping[UUID, Mapping[UUID, float]]) -> dict[UUID, UUID]:
        if not scores:
            return {}
        with self._writing(run) as connection:
            return moving.adopt_similar(connection, run, scores)

    def moved(self, run: Run) -> set[UUID]:
        with transaction(self._engine) as connection:
            return moving.moved(connection, run)

    def vanished(self, run: Run) -> list[UUID]:
        with transaction(self._engine) as connection:
            return moving.vanished(connection, run)

    def superseded(self, run: Run, document_ids: Sequence[UUID]) -> set[UUID]:
        if not document_ids:
            return set()
        with transaction(self._engine) as connection:
            return switching.superseded_documents(connection, run, document_ids)

    def touch(self, run: Run, items: Sequence[Item]) -> set[UUID]:
        if not items:
            return set()
        with self._writing(run) as connection:
            return refusing.touch(connection, run, items)

    def quarantine(self, run: Run, failures: Sequence[Failure]) -> set[UUID]:
        if not failures:
            return set()
        with self._writing(run) as connection:
            return refusing.quarantine(connection, run, failures)

    def stage(self, run: Run, versions: Sequence[SealedVersion]) -> set[UUID]:
        if not versions:
            return set()
        with self._writing(run) as connection:
            return staging.stage(connection, run, versions)

    def activate(self, run: Run, document_ids: Sequence[UUID]) -> list[UUID]:
        if not document_ids:
            return []
        with self._writing(run) as connection:
            return switching.activate(connection, run, document_ids)

    def remove_documents(self, run: Run, document_ids: Sequence[UUID]) -> int:
        if not document_ids:
            return 0
        with self._writing(run) as connection:
            return switching.remove_documents(connection, run, document_ids)

    def refused(self, run: Run, document_ids: Sequence[UUID] | None = None) -> list[Item]:
        with transaction(self._engine) as connection:
            return refusing.refused(connection, run, document_ids)

    def released(self, source_id: UUID, limit: int) -> list[UUID]:
        with transaction(self._engine) as connection:
            return refusing.released(connection, source_id, limit)

    def let_go(self, document_ids: Sequence[UUID]) -> None:
        if document_ids:
            with transaction(self._engine) as connection:
                refusing.let_go(connection, document_ids)

    def deleted_by(self, run: Run) -> int:
        with transaction(self._engine) as connection:
            return switching.deleted_by(connection, run)

    def drop_leftovers(self, run: Run) -> int:
        with self._writing(run) as connection:
            return switching.drop_leftovers(connection, run)

    def others_running(self, run: Run) -> bool:
        with transaction(self._engine) as connection:
            return runs.others_running(connection, run)

    @contextmanager
    def locked(self, document_ids: Sequence[UUID]) -> Iterator[None]:
        with transaction(self._engine) as connection:
            removals.lock(connection, document_ids)
            yield

    def queued(self, generation: Generation) -> int:
        with transaction(self._engine) as connection:
            return counting.queued(connection, generation)

    @contextmanager
    def removals(self, collection_id: UUID, limit: int, *, wait: bool = False) -> Iterator[list[Removal]]:
        with transaction(self._engine) as connection:
            taken = removals.take(connection, collection_id, limit, wait)
            yield taken
            if taken:
                removals.strike(connection, [each.outbox_id for each in taken])

    def gate_rules(self, generation: Generation) -> dict[tuple[str, str], GateRule]:
        with transaction(self._engine) as connection:
            return gates.rules(connection, generation)

    def set_gate_rule(self, generation: Generation, suite: str, code: str, rule: GateRule | None) -> bool:
        with transaction(self._engine) as connection:
            return gates.set_rule(connection, generation, suite, code, rule)

    def record_gates(
        self, run: Run, batch: int, stage: str, results: Sequence[GateResult], rows: Sequence[GateRow] = ()
    ) -> None:
        with self._writing(run) as connection:
            runs.record_gates(connection, run, batch, stage, results)
            gates.record_rows(connection, run, batch, stage, rows)

    def gates(self, run: Run, batch: int) -> list[GateResult]:
        with transaction(self._engine) as connection:
            return runs.read_gates(connection, run, batch)

    def similar(self, run: Run, bands: Sequence[int], limit: int) -> list[Signature]:
        if not bands:
            return []
        with transaction(self._engine) as connection:
            return gates.similar(connection, run, bands, limit)

    def remember_signatures(self, run: Run, signatures: Sequence[Signature]) -> None:
        if signatures:
            with self._writing(run) as connection:
                gates.remember(connection, run, signatures)

    def reserve(self, run: Run, batch: int, tokens: int) -> int:
        with self._writing(run) as connection:
            return spending.reserve(connection, run, batch, tokens)

    def settle(self, run: Run, batch: int, spent: Spent) -> None:
        with transaction(self._engine) as connection:
            spending.settle(connection, run, batch, spent)

    def spent(self, run: Run) -> Spent:
        with transaction(self._engine) as connection:
            return spending.spent(connection, run)

    def stop(self, run: Run, why: str) -> None:
        with self._writing(run) as connection:
            spending.stop(connection, run, why)

    def stopped(self, run: Run) -> str | None:
        with transaction(self._engine) as connection:
            return spending.stopped(connection, run)

    def set_quota(self, tenant: str, quota: Quota) -> None:
        with transaction(self._engine) as connection:
            quotas.set_quota(connection, tenant, quota)

    def tenant(self, tenant: str) -> TenantUse:
        with transaction(self._engine) as connection:
            return quotas.tenant(connection, tenant)

    def quota(self, tenant: str) -> Quota:
        with transaction(self._engine) as connection:
            return quotas.quota(connection, tenant)

    def tenants(self) -> list[TenantUse]:
        with transaction(self._engine) as connection:
            return quotas.tenants(connection)

    def beyond_quota(self, run: Run, sizes: Mapping[UUID, int]) -> set[UUID]:
        with transaction(self._engine) as connection:
            return quotas.beyond(connection, run, sizes, lock=False)

    def record_stage(self, run: Run, stat: StageStat) -> None:
        with self._writing(run) as connection:
            runs.record_stage(connection, run, stat)

    def stages(self, run: Run) -> list[StageStat]:
        with transaction(self._engine) as connection:
            return runs.read_stages(connection, run)

    def finish_run(self, run: Run, state: str, summary: Mapping[str, Any]) -> None:
        done = state == "succeeded"
        with self._writing(run) if done else transaction(self._engine) as connection:
            claims.release(connection, run)  # first: whoever takes over locks the claim before the runs
            runs.finish_run(connection, run, state, summary)
            if done:
                moving.forget_vanished(connection, run)

    def record_error(self, run: Run, summary: Mapping[str, Any]) -> None:
        with transaction(self._engine) as connection:
            runs.record_error(connection, run, summary)

    def close_run(self, run: Run, summary: Mapping[str, Any]) -> bool:
        with transaction(self._engine) as connection:
            claims.release(connection, run)
            return runs.close_run(connection, run, summary)

    def counts(self, generation: Generation, tenant: str | None = None) -> Counts:
        with transaction(self._engine) as connection:
            return counting.counts(connection, generation, tenant)

    def reasons(self, run: Run) -> dict[str, int]:
        with transaction(self._engine) as connection:
            return counting.reasons(connection, run)

    def run_counts(self, run: Run) -> Counts:
        with transaction(self._engine) as connection:
            return counting.run_counts(connection, run)

    def generations(self) -> list[Generation]:
        with transaction(self._engine) as connection:
            return sources.live_generations(connection)

    def chunks_after(self, generation: Generation, after: UUID | None, limit: int) -> list[LedgerChunk]:
        with transaction(self._engine) as connection:
            return reconciling.chunks_after(connection, generation, after, limit)

    def chunks_of(self, generation: Generation, chunk_ids: Sequence[UUID]) -> list[LedgerChunk]:
        if not chunk_ids:
            return []
        with transaction(self._engine) as connection:
            return reconciling.chunks_of(connection, generation, chunk_ids)

    def claimed(self, generation: Generation, chunk_ids: Sequence[UUID]) -> set[UUID]:
        if not chunk_ids:
            return set()
        with transaction(self._engine) as connection:
            return reconciling.claimed(connection, generation, chunk_ids)

    def documents_from(
        self, scheme: str, collection: str | None, after: UUID | None, limit: int
    ) -> list[SourceDocument]:
        with transaction(self._engine) as connection:
            return reconciling.documents_from(connection, scheme, collection, after, limit)

    def last_signs(self, run_ids: Sequence[UUID]) -> dict[UUID, datetime]:
        if not run_ids:
            return {}
        with transaction(self._engine) as connection:
            return reconciling.last_signs(connection, run_ids)

    def in_quarantine(self, document_ids: Sequence[UUID]) -> set[UUID]:
        if not document_ids:
            return set()
        with transaction(self._engine) as connection:
            return reconciling.in_quarantine(connection, document_ids)

    def record_reconciliation(
        self, generation: Generation, started_at: datetime, repair: bool, found: Mapping[str, Any]
    ) -> bool:
        with transaction(self._engine) as connection:
            return reconciling.record(connection, generation, started_at, repair, found)
