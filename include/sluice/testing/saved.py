"""Saved sources in memory: their schedules, their last runs, and who holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID

from sluice.adapters.postgres.rules import not_saved
from sluice.model.run import Run
from sluice.model.schedules import check_cron
from sluice.model.source import LastRun, SavedSource, Schedule, Source
from sluice.testing.state import MemoryState, RunRow, SourceRow, now


class MemorySaved:
    """`sluice.ports.saved_sources.SavedSources`, and the marks of runs."""

    state: MemoryState
    _fence: Callable[[Run], None]

    def saved_sources(self, tenant: str | None = None, collection: str | None = None) -> list[SavedSource]:
        with self.state.lock:
            return [
                each
                for each in saved(self.state, self.state.sources.values())
                if self.state.is_there(self.state.sources[each.source_id])
                and tenant in (None, each.spec.tenant)
                and collection in (None, each.spec.collection)
            ]

    def set_schedule(self, tenant: str, collection: str, uri: str, schedule: Schedule) -> None:
        cron = None if schedule.cron is None else check_cron(schedule.cron)
        with self.state.lock:
            for row in self.state.sources.values():
                if (row.spec.tenant, row.spec.collection, row.spec.uri) == (tenant, collection, uri):
                    row.schedule = Schedule(cron, schedule.paused)
                    return
        raise not_saved(tenant, collection, uri)

    def run_by(self, source: SavedSource, orchestrator: str) -> LastRun | None:
        with self.state.lock:
            runs = self.state.runs_of(source.source_id)
            return _last([run for run in runs if run.orchestrator == orchestrator])

    def record_mark(self, run: Run, mark: str) -> None:
        with self.state.lock:
            self._fence(run)
            self.state.runs[run.run_id].mark = mark

    def last_mark(self, source: Source) -> str | None:
        with self.state.lock:
            done = [run for run in _took_in(self.state, source.source_id) if run.state == "succeeded"]
            return max(done, key=lambda each: (each.started_at, each.run_id)).mark if done else None


def saved(state: MemoryState, rows: Iterable[SourceRow]) -> list[SavedSource]:
    """By tenant, collection and uri."""
    found = [
        SavedSource(
            row.source_id,
            row.spec,
            row.schedule,
            row.saved_at,
            _last(_took_in(state, row.source_id)),
            _holder(state, row.source_id),
            row.removed_at,
        )
        for row in rows
    ]
    return sorted(found, key=lambda each: (each.spec.tenant, each.spec.collection, each.spec.uri))


def _took_in(state: MemoryState, source_id: UUID) -> list[RunRow]:
    """Not a replay or a purge, nor one that found another run at work: the source waits on."""
    return [
        run
        for run in state.runs_of(source_id)
        if run.mode in ("incremental", "full") and not (run.summary or {}).get("error", "").startswith("Busy:")
    ]


def _last(runs: Iterable[RunRow]) -> LastRun | None:
    run = max(runs, key=lambda each: (each.started_at, each.run_id), default=None)
    if run is None:
        return None
    error = run.summary.get("error") if isinstance(run.summary, dict) else None
    return LastRun(run.run_id, run.state, run.started_at, run.finished_at, error)


def _holder(state: MemoryState, source_id: UUID) -> str | None:
    claim = state.claims.get(source_id)
    if claim is None or claim.lapses_at <= now() or state.runs[claim.run_id].state != "running":
        return None
    return state.runs[claim.run_id].orchestrator or str(claim.run_id)
