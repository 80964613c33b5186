"""Sources: where documents come from, who may read them, when they are due and how their last run went."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sluice.model.generation import Generation
from sluice.model.schedules import NIGHTLY


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

    def next_due(self) -> datetime | None:
        """The first time after the start of its last run (or after it was saved), perhaps past; None: it is paused."""
        from croniter import croniter

        if self.schedule.paused:
            return None
        since = self.last.started_at if self.last else self.saved_at
        due: datetime = croniter(self.schedule.cron or NIGHTLY, since).get_next(datetime)
        return due

    def due(self, now: datetime) -> datetime | None:
        """The latest time for which it is due and was not started; None: nothing is due.

        The latest, not the first: a source whose runs break before the ledger hears of them gets a new chance each
        time.
        """
        from croniter import croniter

        first = self.next_due()
        if first is None or first > now:
            return None
        latest: datetime = croniter(self.schedule.cron or NIGHTLY, now).get_prev(datetime)
        return max(first, latest)

    def to_json(self) -> dict[str, Any]:
        spec, last = self.spec, self.last
        return {
            **spec.to_json(),
            "retention_days": spec.retention_days or 0,
            "include": list(spec.include or ()),
            "exclude": list(spec.exclude or ()),
            "schedule": self.schedule.cron,
            "paused": self.schedule.paused,
            "next_due": self.next_due(),
            "last_run": last
            and {name: getattr(last, name) for name in ("run_id", "state", "started_at", "finished_at")},
        }


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

    def to_json(self) -> dict[str, Any]:
        """Which source, and for whom."""
        place = {name: getattr(self, name) for name in ("uri", "collection", "tenant")}
        return {**place, "access_groups": list(self.access_groups or ())}

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
