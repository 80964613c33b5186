"""What the ledger keeps of a source between its runs: when it is taken in by itself, and how that went last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sluice.model.asked import SourceSpec


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a saved source is taken in without anybody asking."""

    cron: str | None = None  # five fields, UTC; None: every night
    paused: bool = False  # not by itself at all; its cron is kept


@dataclass(frozen=True, slots=True)
class LastRun:
    run_id: UUID
    state: str  # running, succeeded, failed
    started_at: datetime
    finished_at: datetime | None
    error: str | None = None  # of a failed one


@dataclass(frozen=True, slots=True)
class SavedSource:
    source_id: UUID
    spec: SourceSpec
    schedule: Schedule
    saved_at: datetime
    last: LastRun | None = None  # the one that was started last, by whomever; None: never run
    held_by: str | None = None  # the run that works on it now, as its orchestrator names it; None: nobody
    removed_at: datetime | None = None  # removed by hand, and its documents kept; None: it was not
