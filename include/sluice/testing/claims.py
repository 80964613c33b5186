"""One run at a time works on a source, in a ledger in memory: claims with their leases, and the fence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from sluice.adapters.postgres.rules import TAKEN_OVER, busy, lost_claim
from sluice.model.run import Run
from sluice.testing.state import ClaimRow, MemoryState, RunRow, now


class MemoryClaims:
    """The part of `sluice.ports.ledger.Ledger` that is about claims."""

    state: MemoryState

    @contextmanager
    def session(self, run_id: UUID) -> Iterator[None]:
        self.state.sessions.add(run_id)
        try:
            yield
        finally:
            self.state.sessions.discard(run_id)

    def claim(self, run: Run, lease_s: float) -> None:
        with self.state.lock:
            if run.mode != "purge":
                self.state.check_not_dropping(run.source.generation)
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
                give_up(row, TAKEN_OVER)

    def _held_by_other(self, run: Run) -> ClaimRow | None:
        held = self.state.claims.get(run.source.source_id)
        if held is None or held.run_id == run.run_id or held.lapses_at <= now():
            return None
        return held if self.state.runs[held.run_id].state == "running" else None

    @contextmanager
    def fenced(self, run: Run) -> Iterator[None]:
        with self.state.lock:
            held = self.state.claims.get(run.source.source_id)
            if held is None or held.run_id != run.run_id:
                raise lost_claim(run.source.spec.uri)
            yield

    def _fence(self, run: Run) -> None:
        if self._held_by_other(run):
            raise lost_claim(run.source.spec.uri)

    def _release(self, row: RunRow) -> None:
        held = self.state.claims.get(row.source_id)
        if held and held.run_id == row.run_id:
            del self.state.claims[row.source_id]


def give_up(row: RunRow, why: str) -> None:
    row.state, row.finished_at, row.summary = "failed", now(), {"error": why, **(row.summary or {})}
