"""What the ledger keeps of a source between its runs: when it is taken in by itself, and how that went last."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sluice.model.generation import Generation


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


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """Where documents come from and who may read them.

    None means "not given": what is saved of the source stays, and a new source is readable by everyone in the tenant,
    without globs, kept as long as its collection says. In a spec that the ledger returns only `retention_days` may be
    None: the source is kept by a date, or as its collection says.
    """

    uri: str
    collection: str
    tenant: str = "default"
    access_groups: tuple[str, ...] | None = None  # empty: everyone in the tenant
    retention_days: int | None = None  # of readable life, see Retention; 0: for ever
    include: tuple[str, ...] | None = None  # globs over external ids; empty: all
    exclude: tuple[str, ...] | None = None

    def over(self, saved: SourceSpec | None) -> SourceSpec:
        """This with what is saved, or the default of a new source, in place of None. Only the retention may be None
        still: the source has none in days."""
        known = saved or SourceSpec(self.uri, self.collection, self.tenant, (), None, (), ())
        return replace(
            self,
            access_groups=known.access_groups if self.access_groups is None else self.access_groups,
            retention_days=known.retention_days if self.retention_days is None else self.retention_days,
            include=known.include if self.include is None else self.include,
            exclude=known.exclude if self.exclude is None else self.exclude,
        )


@dataclass(frozen=True, slots=True)
class Source:
    source_id: UUID
    spec: SourceSpec
    generation: Generation
