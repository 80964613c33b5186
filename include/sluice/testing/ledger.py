"""The ledger in memory, with the semantics of the one on PostgreSQL; the same tests run on both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any
from uuid import UUID, uuid4

from sluice.adapters.postgres.rules import GIVEN_UP, check_spec, check_state, names_one_execution, storable_json
from sluice.errors import NotFound, Terminal
from sluice.model.costs import Budget
from sluice.model.generation import Generation, Profile
from sluice.model.run import Counts, Run, RunMode, StageStat
from sluice.model.source import Source, SourceSpec
from sluice.ports.ledger import Ledger
from sluice.testing import moving
from sluice.testing.catalog import MemoryCatalog
from sluice.testing.claims import MemoryClaims, give_up
from sluice.testing.deletions import MemoryDeletions
from sluice.testing.embeddings import MemoryVectorCache
from sluice.testing.gates import MemoryGates
from sluice.testing.keyring import MemoryKeyring
from sluice.testing.listing import MemoryListing
from sluice.testing.pruning import MemoryPruning
from sluice.testing.reconciling import MemoryScan
from sluice.testing.refusals import MemoryRefusals
from sluice.testing.retention import MemoryRetention
from sluice.testing.saved import MemorySaved
from sluice.testing.spending import MemorySpending
from sluice.testing.state import MemoryState, RunRow, SourceRow, now
from sluice.testing.versions import MemoryVersions

__all__ = ["MemoryCatalog", "MemoryKeyring", "MemoryLedger", "MemoryVectorCache"]


class _Memory(
    MemoryClaims,
    MemoryListing,
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
    """All roles of the ledger in one object; `MemoryLedger` gives each its own names."""

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
            self.state.check_not_dropping(generation)
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
                        give_up(other, GIVEN_UP)
            return self.run(run_id)

    def run(self, run_id: UUID) -> Run:
        with self.state.lock:
            if run_id not in self.state.runs:
                raise NotFound(f"There is no run {run_id}.")
            row = self.state.runs[run_id]
            source = self.state.sources[row.source_id]
            of = Source(source.source_id, source.spec, row.generation)
            return Run(run_id, of, row.mode, row.started_at, row.budget)

    # --- moves

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


_NAMES: dict[str, dict[str, str]] = {  # role → its method → the method here
    "collections": {"drop": "drop_collection"},
    "sources": {
        "open": "open_source",
        "save": "save_source",
        "spec": "saved_source",
        "saved": "saved_sources",
        "at": "source_at",
        "of": "sources_of",
        "remove": "remove_source",
    },
    "runs": {
        "start": "start_run",
        "get": "run",
        "finish": "finish_run",
        "close": "close_run",
        "counts": "run_counts",
        "last_by": "run_by",
    },
    "scans": {"record": "record_scan", "preview": "preview_scan"},
    "moves": {"found": "moved"},
    "versions": {"remove": "remove_documents"},
    "quarantine": {"add": "quarantine"},
    "quality": {
        "rules": "gate_rules",
        "set_rule": "set_gate_rule",
        "rows": "gate_rows",
        "remember": "remember_signatures",
    },
    "quotas": {"assign": "set_quota", "use": "tenant", "of": "quota", "uses": "tenants", "beyond": "beyond_quota"},
    "reconciliation": {"record": "record_reconciliation"},
    "retention": {"assign": "set_retention", "assigned": "retentions"},
    "deletions": {"delete": "delete_documents", "record": "record_deletion"},
    "grants": {"of": "grants", "all": "all_grants", "add": "grant"},
}


class _Role:
    def __init__(self, memory: object, names: Mapping[str, str]) -> None:
        self._memory, self._names = memory, names

    def __getattr__(self, name: str) -> Any:
        return getattr(self._memory, self._names.get(name, name))


class MemoryLedger(Ledger):
    """`MemoryCatalog(ledger.state)` is its reading side."""

    state: MemoryState

    def __init__(self) -> None:
        memory = _Memory()
        object.__setattr__(self, "state", memory.state)
        catalog = MemoryCatalog(memory.state)
        roles: dict[str, Any] = {
            each.name: _Role(catalog if each.name == "grants" else memory, _NAMES.get(each.name, {}))
            for each in fields(Ledger)
        }
        super().__init__(**roles)
