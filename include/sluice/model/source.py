"""Sources: their URI, readers, retention, schedule and last run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sluice.errors import BadRequest
from sluice.model.generation import Generation
from sluice.model.names import check_collection_name, check_tenant_name
from sluice.model.retention import Retention
from sluice.model.schedules import NIGHTLY
from sluice.model.text import is_storable


@dataclass(frozen=True, slots=True)
class Schedule:
    """The schedule on which a saved source is ingested."""

    cron: str | None = None  # five fields, UTC; None: every night
    paused: bool = False  # no scheduled runs; the cron expression stays saved


@dataclass(frozen=True, slots=True)
class LastRun:
    run_id: UUID
    state: str  # running, succeeded, failed
    started_at: datetime
    finished_at: datetime | None
    error: str | None = None  # of a failed run


@dataclass(frozen=True, slots=True)
class SavedSource:
    source_id: UUID
    spec: SourceSpec
    schedule: Schedule
    saved_at: datetime
    last: LastRun | None = None  # the run that was started last; None: never run
    held_by: str | None = None  # orchestrator of the run that has the lease now; None: no run
    removed_at: datetime | None = None  # when it was removed manually without its documents; None: not removed

    def next_due(self) -> datetime | None:
        """Returns the first scheduled time after the start of its last run (or after it was saved). It may be in the
        past. None: the source is paused."""
        from croniter import croniter

        if self.schedule.paused:
            return None
        since = self.last.started_at if self.last else self.saved_at
        due: datetime = croniter(self.schedule.cron or NIGHTLY, since).get_next(datetime)
        return due

    def due(self, now: datetime) -> datetime | None:
        """Returns the latest scheduled time that is due and for which no run was started; None: nothing is due.

        The latest, not the first: a source whose runs fail before the ledger records them is tried again at each
        scheduled time.
        """
        from croniter import croniter

        first = self.next_due()
        if first is None or first > now:
            return None
        latest: datetime = croniter(self.schedule.cron or NIGHTLY, now).get_prev(datetime)
        return max(first, latest)

    def to_json(self) -> dict[str, Any]:
        """Returns the spec, the schedule and the last run as JSON values; `retention_days` 0: no retention."""
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
    """The settings of a source: its URI, readers, retention and globs.

    None means "not given": the saved value stays. A new source is then readable by everyone in the tenant, has no
    globs, and has the retention of its collection. In a spec that the ledger returns only `retention_days` may be None:
    the source has a retention date, or that of its collection.
    """

    uri: str
    collection: str
    tenant: str = "default"
    access_groups: tuple[str, ...] | None = None  # empty: everyone in the tenant
    retention_days: int | None = None  # see Retention; 0: without end
    include: tuple[str, ...] | None = None  # globs over external ids; empty: all
    exclude: tuple[str, ...] | None = None

    def check(self) -> None:
        """Raises BadRequest, which names the invalid field and the allowed values."""
        check_collection_name(self.collection)
        check_tenant_name(self.tenant)
        if not self.uri or not is_storable(self.uri):
            raise BadRequest(f"The source uri {self.uri!r} is empty or holds characters that cannot be stored.")
        if self.retention_days is not None:
            Retention(days=self.retention_days).check()
        for group in self.access_groups or ():
            if not group or not is_storable(group):
                raise BadRequest(f"The access group {group!r} is empty or holds characters that cannot be stored.")

    def to_json(self) -> dict[str, Any]:
        """Returns the identity of the source and its access groups."""
        place = {name: getattr(self, name) for name in ("uri", "collection", "tenant")}
        return {**place, "access_groups": list(self.access_groups or ())}

    def over(self, saved: SourceSpec | None) -> SourceSpec:
        """Returns this spec with saved values, or the defaults of a new source, in place of None. Only
        `retention_days` may still be None: the source then has no retention in days."""
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
