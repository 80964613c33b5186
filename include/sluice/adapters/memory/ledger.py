"""The ledger in memory, with the semantics of the one on PostgreSQL; the same tests run on both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sluice.adapters.ledger_rules import (
    GIVEN_UP,
    TAKEN_OVER,
    busy,
    check_entry,
    check_spec,
    check_state,
    duplicate,
    lost_claim,
    names_one_execution,
    storable_json,
)
from sluice.adapters.memory import moving
from sluice.adapters.memory.catalog import MemoryCatalog
from sluice.adapters.memory.deletions import MemoryDeletions
from sluice.adapters.memory.embeddings import MemoryVectorCache
from sluice.adapters.memory.gates import MemoryGates
from sluice.adapters.memory.keyring import MemoryKeyring
from sluice.adapters.memory.pruning import MemoryPruning
from sluice.adapters.memory.reconciling import MemoryScan
from sluice.adapters.memory.refusals import MemoryRefusals
from sluice.adapters.memory.retention import MemoryRetention
from sluice.adapters.memory.saved import MemorySaved
from sluice.adapters.memory.spending import MemorySpending
from sluice.adapters.memory.state import (
    ClaimRow,
    DocumentRow,
    MemoryState,
    QuarantineRow,
    RunRow,
    SourceRow,
    now,
)
from sluice.adapters.memory.versions import MemoryVersions
from sluice.errors import NotFound, Terminal
from sluice.model import (
    Budget,
    Counts,
    Entry,
    Failure,
    Generation,
    Item,
    Profile,
    Run,
    RunMode,
    ScanResult,
    Source,
    SourceSpec,
    StageStat,
)
from sluice.names import storable

__all__ = ["MemoryCatalog", "MemoryKeyring", "MemoryLedger", "MemoryVectorCache"]


class MemoryLedger(
    MemoryVersions,
    MemoryGates,
    MemoryRefusals,
    MemoryScan,
    MemorySaved,
    MemoryRetention,
    MemoryDeletions,
    MemorySpending,
    MemoryPruning,
):
    """`sluice.ports.Ledger`. `MemoryCatalog(ledger.state)` is its reading side."""

    def __init__(self) -> None:
        self.state = MemoryState()

    # --- sources and runs

    def open_source(self, spec: SourceSpec, profile: Profile, filter_fields: tuple[str, ...]) -> Source:
        check_spec(spec)
        with self.state.lock:
            self.state.tenants.add(spec.tenant)
            if spec.collection not in self.state.collections:
                self.state.collections[spec.collection] = Generation(
                    uuid4(), spec.collection, 1, profile, f"{spec.collection}__g1", filter_fields
                )
            generation = self.state.collections[spec.collection]
            place = (spec.tenant, spec.collection, spec.uri)
            for row in self.state.sources.values():
                if (row.spec.tenant, row.spec.collection, row.spec.uri) == place:
                    return Source(row.source_id, row.spec, generation)
            row = SourceRow(uuid4(), generation, spec.over(None), now())
            self.state.sources[row.source_id] = row
            return Source(row.source_id, row.spec, generation)

    def save_source(self, spec: SourceSpec, profile: Profile, filter_fields: tuple[str, ...]) -> Source:
        with self.state.lock:
            source = self.open_source(spec, profile, filter_fields)
            self._change(spec)
            return replace(source, spec=spec.over(source.spec))

    def saved_source(self, tenant: str, collection: str, uri: str) -> SourceSpec | None:
        with self.state.lock:
            for row in self.state.sources.values():
                if (row.spec.tenant, row.spec.collection, row.spec.uri) == (tenant, collection, uri):
                    return row.spec
            return None

    def _change(self, wanted: SourceSpec) -> None:
        check_spec(wanted)
        place = (wanted.tenant, wanted.collection, wanted.uri)
        rows = self.state.sources.values()
        row = next(each for each in rows if (each.spec.tenant, each.spec.collection, each.spec.uri) == place)
        if row.removed_at is not None:  # asked for again
            row.removed_at, row.schedule = None, replace(row.schedule, paused=False)
        spec = wanted.over(row.spec)
        if row.spec == spec:
            return
        former, row.spec = row.spec, spec
        if former.retention_days != spec.retention_days:
            row.until = None
            self.state.renew_expiry(each for each in self.state.documents.values() if each.source is row)
        self.state.changed(row.generation.collection_id)

    def start_run(
        self, source: Source, mode: RunMode, run_id: UUID, orchestrator: str | None = None, budget: Budget = Budget()
    ) -> Run:
        with self.state.lock:
            row = self.state.runs.setdefault(
                run_id, RunRow(run_id, source.source_id, source.generation, mode, orchestrator, now(), budget=budget)
            )
            if row.source_id != source.source_id:
                raise Terminal(f"Run {run_id} belongs to another source. Start it with an id of its own.")
            if row.state != "running":
                row.state, row.finished_at, row.summary = "running", None, None
            if names_one_execution(orchestrator):
                for other in self.state.runs_of(source.source_id):
                    earlier = other.orchestrator == orchestrator and other.started_at < row.started_at
                    if earlier and other.state == "running":
                        _give_up(other, GIVEN_UP)
            return self.run(run_id)

    def run(self, run_id: UUID) -> Run:
        with self.state.lock:
            if run_id not in self.state.runs:
                raise NotFound(f"There is no run {run_id}.")
            row = self.state.runs[run_id]
            source = self.state.sources[row.source_id]
            of = Source(source.source_id, source.spec, row.generation)
            return Run(run_id, of, row.mode, row.started_at, row.budget)

    # --- claims and moves

    @contextmanager
    def session(self, run_id: UUID) -> Iterator[None]:
        self.state.sessions.add(run_id)
        try:
            yield
        finally:
            self.state.sessions.discard(run_id)

    def claim(self, run: Run, lease_s: float) -> None:
        with self.state.lock:
            former = self.state.claims.get(run.source.source_id)
            if former and former.in_session and former.run_id not in self.state.sessions:
                del self.state.claims[run.source.source_id]
            held = self._held_by_other(run)
            if held:
                holder = self.state.runs[held.run_id]
                raise busy(run.source.spec.uri, holder.orchestrator, holder.started_at, held.lapses_at)
            in_session = run.run_id in self.state.sessions
            lapses_at = now() + timedelta(seconds=lease_s)
            self.state.claims[run.source.source_id] = ClaimRow(run.run_id, lapses_at, in_session)
            if former is None or former.run_id != run.run_id:
                self._close_others(run)
            own = self.state.runs[run.run_id]
            if own.state != "running":
                own.state, own.finished_at, own.summary = "running", None, None

    def renew(self, run: Run, lease_s: float) -> bool:
        with self.state.lock:
            held = self.state.claims.get(run.source.source_id)
            if held is None or held.run_id != run.run_id or self.state.runs[run.run_id].state != "running":
                return False
            held.lapses_at, held.in_session = now() + timedelta(seconds=lease_s), run.run_id in self.state.sessions
            return True

    def _close_others(self, run: Run) -> None:
        for run_id, row in self.state.runs.items():
            if row.source_id == run.source.source_id and run_id != run.run_id and row.state == "running":
                _give_up(row, TAKEN_OVER)

    def _held_by_other(self, run: Run) -> ClaimRow | None:
        held = self.state.claims.get(run.source.source_id)
        if held is None or held.run_id == run.run_id or held.lapses_at <= now():
            return None
        return held if self.state.runs[held.run_id].state == "running" else None

    def _fence(self, run: Run) -> None:
        if self._held_by_other(run):
            raise lost_claim(run.source.spec.uri)

    def adopt_same(self, run: Run, hashes: Mapping[UUID, bytes]) -> dict[UUID, UUID]:
        with self.state.lock:
            self._fence(run)
            return moving.adopt_same(self.state, run, hashes, self.superseded(run, list(hashes)))

    def missed(self, run: Run, limit: int) -> list[tuple[UUID, bytes]]:
        with self.state.lock:
            return moving.missed(self.state, run, limit)

    def adopt_similar(self, run: Run, scores: Mapping[UUID, Mapping[UUID, float]]) -> dict[UUID, UUID]:
        with self.state.lock:
            self._fence(run)
            return moving.adopt_similar(self.state, run, scores, self.superseded(run, list(scores)))

    def moved(self, run: Run) -> set[UUID]:
        with self.state.lock:
            return set(self.state.runs[run.run_id].moves)

    def vanished(self, run: Run) -> list[UUID]:
        with self.state.lock:
            missed = self.state.runs[run.run_id].vanished
            return sorted(each for each in missed if not self.state.documents[each].deleted_at)

    # --- scans

    def record_scan(
        self,
        run: Run,
        entries: Iterable[Entry],
        settings: SourceSpec | None = None,
        accept: Callable[[ScanResult], object] = lambda result: None,
    ) -> ScanResult:
        began = now()
        listed: dict[str, Entry] = {}
        twice: str | None = None
        for entry in entries:
            check_entry(entry)
            if entry.external_id in listed:
                twice = twice or entry.external_id
            listed[entry.external_id] = entry
        if twice is not None:
            raise duplicate(twice)
        with self.state.all_or_nothing():
            self._fence(run)
            others = (each for each in self.state.runs_of(run.source.source_id) if each.run_id != run.run_id)
            if any(each.scanned_at and each.scanned_at > began for each in others):
                raise lost_claim(run.source.spec.uri)
            if settings is not None:
                self._change(settings)
            source = self.state.sources[run.source.source_id]
            known = self.state.living(source.source_id)
            before = len(known)
            moving.tell(self.state, run, known, listed)
            verdicts = [self._compare(run, source, entry, known.get(entry.external_id)) for entry in listed.values()]
            vanished = sorted(each.document_id for name, each in known.items() if name not in listed)
            for each in self.state.runs_of(source.source_id):
                each.vanished = set(vanished) if each.run_id == run.run_id else set()
            self.state.runs[run.run_id].scanned_at = now()
            result = ScanResult(
                seen=len(listed),
                unchanged=sum(1 for verdict in verdicts if verdict == "unchanged"),
                quarantined=sum(1 for verdict in verdicts if verdict == "quarantined"),
                items=[verdict for verdict in verdicts if isinstance(verdict, Item)],
                vanished=vanished,
                known=before,
            )
            accept(result)
            return result

    def _compare(self, run: Run, source: SourceRow, entry: Entry, document: DocumentRow | None) -> Item | str:
        if document is None:
            document = DocumentRow(uuid4(), source, entry.external_id, entry.uri, now())
            self.state.documents[document.document_id] = document
        if document.uri != entry.uri:
            document.uri = entry.uri
            self.state.changed(source.generation.collection_id)
        active = self.state.active(document.document_id, run.source.generation)
        expired = document.expires_at is not None and document.expires_at <= now()
        gone_hash = document.purged_hash if expired or document.removed_at else None
        if gone_hash is not None and document.fingerprint == entry.fingerprint:
            return "unchanged"
        if run.mode != "full" and document.fingerprint == entry.fingerprint:
            if document.document_id in self.state.quarantine:
                return "quarantined"
            if active is not None:
                return "unchanged"
        versions = self.state.versions.get(document.document_id, {})
        served_before = any(version.number is not None for version in versions.values())
        told = document.document_id in self.state.runs[run.run_id].moves
        compared = active.sealed.raw_hash if active and document.fingerprint is not None else None
        return Item(
            document.document_id,
            entry,
            not served_before,
            compared if gone_hash is None else gone_hash,
            told,
            gone_hash is not None,
        )

    def touch(self, run: Run, items: Sequence[Item]) -> set[UUID]:
        with self.state.lock:
            self._fence(run)
            left = self.superseded(run, [item.document_id for item in items])
            for item in items:
                document = self._own(run, item.document_id)
                if document and item.document_id not in left:
                    self._drop_pending(run, document.document_id)
                    document.fingerprint, document.uri = item.entry.fingerprint, item.entry.uri
                    self.state.resolve(document.document_id)
            return left

    def quarantine(self, run: Run, failures: Sequence[Failure]) -> set[UUID]:
        with self.state.lock:
            self._fence(run)
            left = self.superseded(run, [failure.item.document_id for failure in failures])
            for failure in failures:
                document = self._own(run, failure.item.document_id)
                if document and failure.item.document_id not in left:
                    self._drop_pending(run, document.document_id)
                    document.fingerprint = None if failure.retry else failure.item.entry.fingerprint
                    self.state.quarantine[document.document_id] = QuarantineRow(
                        document.document_id,
                        document.source,
                        run.run_id,
                        failure.stage,
                        failure.code,
                        storable(failure.reason),
                        failure.item.entry.fingerprint,
                        failure.kept_bytes,
                        now(),
                    )
            return left

    def _own(self, run: Run, document_id: UUID) -> DocumentRow | None:
        document = self.state.documents.get(document_id)
        if document is None or document.deleted_at or document.source.source_id != run.source.source_id:
            return None
        return document

    # --- what happened

    def record_stage(self, run: Run, stat: StageStat) -> None:
        with self.state.lock:
            self._fence(run)
            row = self.state.runs[run.run_id]
            row.recorded_at = now()
            row.stages.pop((stat.batch, stat.stage), None)
            row.stages[stat.batch, stat.stage] = stat

    def stages(self, run: Run) -> list[StageStat]:
        with self.state.lock:
            return sorted(self.state.runs[run.run_id].stages.values(), key=lambda stat: stat.batch)

    def finish_run(self, run: Run, state: str, summary: Mapping[str, Any]) -> None:
        check_state(state)
        with self.state.lock:
            row = self.state.runs[run.run_id]
            if state == "succeeded":
                self._fence(run)
                row.vanished = set()
            row.state, row.finished_at, row.summary = state, now(), storable_json(summary)
            self._release(row)

    def _release(self, row: RunRow) -> None:
        held = self.state.claims.get(row.source_id)
        if held and held.run_id == row.run_id:
            del self.state.claims[row.source_id]

    def record_error(self, run: Run, summary: Mapping[str, Any]) -> None:
        with self.state.lock:
            row = self.state.runs[run.run_id]
            if row.state == "running" and "error" not in (row.summary or {}):
                row.summary = storable_json(summary)

    def close_run(self, run: Run, summary: Mapping[str, Any]) -> bool:
        with self.state.lock:
            row = self.state.runs[run.run_id]
            self._release(row)
            if row.state != "running":
                return False
            row.state, row.finished_at, row.summary = "failed", now(), storable_json({**summary, **(row.summary or {})})
            return True

    def counts(self, generation: Generation, tenant: str | None = None) -> Counts:
        with self.state.lock:
            return self.state.count(generation, tenant)

    def run_counts(self, run: Run) -> Counts:
        with self.state.lock:
            return self.state.count(run.source.generation, run.source.spec.tenant, run.source.source_id)

    def reasons(self, run: Run) -> dict[str, int]:
        with self.state.lock:
            rows = self.state.quarantine.values()
            codes = [row.code for row in rows if row.source.source_id == run.source.source_id]
        return {code: codes.count(code) for code in sorted(codes)}

    def generations(self) -> list[Generation]:
        with self.state.lock:
            return [self.state.collections[name] for name in sorted(self.state.collections)]


def _give_up(row: RunRow, why: str) -> None:
    row.state, row.finished_at, row.summary = "failed", now(), {"error": why, **(row.summary or {})}
