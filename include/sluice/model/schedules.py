"""When a saved source is due: five fields of cron in UTC, from the start of its last run on."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from sluice.errors import BadRequest
from sluice.model.source import SavedSource

NIGHTLY = "0 1 * * *"
"""For sources without a schedule of their own; `sluice_reconcile` follows at 03:30."""
_FIELD = re.compile(r"(?:[0-9*/,-]|[A-Za-z]{3})+")  # no names of schedules, no random or hashed fields


def check_cron(cron: str) -> str:
    """The schedule with single spaces. Raises BadRequest that says what is allowed."""
    from croniter import croniter

    fields = cron.split()
    try:
        if len(fields) != 5 or not all(_FIELD.fullmatch(field) for field in fields):
            raise ValueError("it needs five fields of digits, names such as MON, and * / , -")
        croniter(" ".join(fields), datetime(2026, 1, 1)).get_next()
    except ValueError as error:
        raise BadRequest(
            f"{cron!r} is no schedule: {error}. Write cron's five fields, in UTC: minute, hour, day of the month, "
            "month, day of the week, such as '0 4 * * *' or '*/30 8-18 * * MON-FRI'. Nothing was changed."
        ) from error
    return " ".join(fields)


def next_due(saved: SavedSource) -> datetime | None:
    """The first time after the start of its last run (or after it was saved), perhaps past; None: it is paused."""
    from croniter import croniter

    if saved.schedule.paused:
        return None
    due: datetime = croniter(_cron(saved), _since(saved)).get_next(datetime)
    return due


def due(saved: SavedSource, now: datetime) -> datetime | None:
    """The latest time for which it is due and was not started; None: nothing is due.

    The latest, not the first: a source whose runs break before the ledger hears of them gets a new chance each time.
    """
    from croniter import croniter

    first = next_due(saved)
    if first is None or first > now:
        return None
    latest: datetime = croniter(_cron(saved), now).get_prev(datetime)
    return max(first, latest)


def described(saved: SavedSource) -> dict[str, Any]:
    """As the command line and the API tell it."""
    spec, last = saved.spec, saved.last
    return {
        "uri": spec.uri,
        "collection": spec.collection,
        "tenant": spec.tenant,
        "access_groups": list(spec.access_groups or ()),
        "retention_days": spec.retention_days or 0,
        "include": list(spec.include or ()),
        "exclude": list(spec.exclude or ()),
        "schedule": saved.schedule.cron,
        "paused": saved.schedule.paused,
        "next_due": next_due(saved),
        "last_run": last
        and {
            "run_id": last.run_id,
            "state": last.state,
            "started_at": last.started_at,
            "finished_at": last.finished_at,
        },
    }


def _cron(saved: SavedSource) -> str:
    return saved.schedule.cron or NIGHTLY


def _since(saved: SavedSource) -> datetime:
    return saved.last.started_at if saved.last else saved.saved_at
