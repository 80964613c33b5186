"""Runs: their leases, stages and end."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol
from uuid import UUID

from sluice.model.costs import Budget
from sluice.model.run import Counts, Run, RunMode, StageStat
from sluice.model.source import LastRun, SavedSource, Source


class Runs(Protocol):
    """The ledger's records of runs. A run writes while it has the lease of its source."""

    def start(
        self, source: Source, mode: RunMode, run_id: UUID, orchestrator: str | None = None, budget: Budget = Budget()
    ) -> Run:
        """Starts a run. Idempotent by `run_id`; the first budget applies. `orchestrator`: who runs it, e.g.
        `airflow:<dag>/<run>` or `cli`.

        An orchestrator that names a single execution (it contains `:`) runs a source once at a time: an earlier run of
        this source that it left running is closed as failed, because its task was retried."""

    def get(self, run_id: UUID) -> Run:
        """Returns a run with the saved values that its source has now. Raises NotFound."""

    def session(self, run_id: UUID) -> AbstractContextManager[None]:
        """Declares that this process does the whole run within the body; open it before the first claim. If the process
        dies, another run takes the source over at once; without a session it waits until the lease expires."""

    def claim(self, run: Run, lease_s: float) -> None:
        """Leases the run's source to it for `lease_s` seconds. Renew the lease while the run works; `finish` and
        `close` release it. A source is taken over from a run that has ended, whose lease has expired, or whose
        session's process has ended. All other open runs of the source are then closed as failed, because they were
        killed; a run that was only slow is opened again by its next claim. Raises Busy with the run that has the
        lease."""

    def renew(self, run: Run, lease_s: float) -> bool:
        """Renews the run's lease for `lease_s` seconds from now. Returns False, and changes nothing, where the run has
        no lease or was closed: a renewal neither takes a source over nor opens a run again."""

    def fenced(self, run: Run) -> AbstractContextManager[None]:
        """Prevents until the block ends that another run takes the source over; this run cannot renew its lease,
        either. Raises LostLease where the run no longer has its lease."""

    def others_running(self, run: Run) -> bool:
        """Returns whether another run of the same source has a valid lease: the stores may then contain chunks that it
        has written and not yet activated."""

    def record_stage(self, run: Run, stat: StageStat) -> None:
        """Records the seconds and counts of one stage of a batch. Replaces those of an earlier attempt."""

    def stages(self, run: Run) -> list[StageStat]:
        """Returns the recorded stages of the run, by batch, then in the order in which they were recorded."""

    def finish(self, run: Run, state: str, summary: Mapping[str, Any]) -> None:
        """Ends the run and releases its lease. `state`: succeeded, failed. Safe to repeat: the last state, summary and
        time apply."""

    def record_error(self, run: Run, summary: Mapping[str, Any]) -> None:
        """Records why a part of a continuing run failed: `error` and further details. Only the first error is stored;
        it is cleared when the run is opened again."""

    def close(self, run: Run, summary: Mapping[str, Any]) -> bool:
        """Ends the run as failed and releases its lease, unless it has already ended; returns whether it did. An error
        of `record_error` takes precedence over `summary`."""

    def counts(self, run: Run) -> Counts:
        """Counts active documents, chunks and open quarantine records of the run's source."""

    def last_by(self, source: SavedSource, orchestrator: str) -> LastRun | None:
        """Returns the last run of this source that this orchestrator started; None where it started none."""
