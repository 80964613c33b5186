"""Runs: who works on a source, how far it came, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol
from uuid import UUID

from sluice.model.costs import Budget
from sluice.model.run import Counts, Run, RunMode, StageStat
from sluice.model.source import LastRun, SavedSource, Source


class Runs(Protocol):
    def start(
        self, source: Source, mode: RunMode, run_id: UUID, orchestrator: str | None = None, budget: Budget = Budget()
    ) -> Run:
        """Idempotent on `run_id`, whose first budget holds. `orchestrator`: who runs it, e.g. `airflow:<dag>/<run>` or
        `cli`.

        One that names a single execution (it contains `:`) runs a source once at a time: an earlier run of this
        source that it left running is closed as failed, because its task was tried again."""

    def get(self, run_id: UUID) -> Run:
        """Raises NotFound."""

    def session(self, run_id: UUID) -> AbstractContextManager[None]:
        """This process does the whole run, within the body, from before its first claim. Should the process end there,
        another run takes the source over at once; without a session it waits for the lease."""

    def claim(self, run: Run, lease_s: float) -> None:
        """This run alone works on its source, for `lease_s` seconds from now; to be renewed while it works, and
        given back by `finish` or `close`. From a run that has ended, whose lease has lapsed or whose session's
        process has ended it is taken over. Whatever other run of the source was never closed is closed as failed then
        (it was killed); one that was only slow is open again with its next claim. Raises Busy, which says who holds
        it."""

    def renew(self, run: Run, lease_s: float) -> bool:
        """The lease of the claim that the run holds lasts `lease_s` seconds from now. False, and nothing changed, where
        it holds none, or was closed: a renewal neither takes a source over nor opens a run again."""

    def fenced(self, run: Run) -> AbstractContextManager[None]:
        """Until the block ends no other run can take the source over; nor can this one renew its lease. Raises
        LostClaim where it does not hold its claim any more."""

    def others_running(self, run: Run) -> bool:
        """Another run of the same source is at work, and its lease holds: the stores may hold what it has written and
        not yet activated."""

    def record_stage(self, run: Run, stat: StageStat) -> None: ...

    def stages(self, run: Run) -> list[StageStat]: ...

    def finish(self, run: Run, state: str, summary: Mapping[str, Any]) -> None:
        """`state`: succeeded, failed. May be repeated: the last state, summary and time stay."""

    def record_error(self, run: Run, summary: Mapping[str, Any]) -> None:
        """Why a part of a run failed that goes on: `error` and what else is to be known. The first one stays, and
        is forgotten when the run is opened again."""

    def close(self, run: Run, summary: Mapping[str, Any]) -> bool:
        """The run ends as failed and gives its source back, unless it has ended before; returns whether it had to be
        closed. What `record_error` recorded goes before `summary`."""

    def counts(self, run: Run) -> Counts:
        """Of the run's source: active documents, chunks, open quarantine records."""

    def last_by(self, source: SavedSource, orchestrator: str) -> LastRun | None:
        """The run of this source that was started last under that orchestrator; None where none got so far."""
