"""Schedules: five fields of cron in UTC."""

from __future__ import annotations

import re
from datetime import datetime

from sluice.errors import BadRequest

NIGHTLY = "0 1 * * *"
"""The schedule of sources without their own; `sluice_reconcile` follows at 03:30."""
_FIELD = re.compile(r"(?:[0-9*/,-]|[A-Za-z]{3})+")  # no schedule names such as @daily, no random or hashed fields


def check_cron(cron: str) -> str:
    """Returns the schedule with single spaces. Raises BadRequest that says what is allowed."""
    from croniter import croniter

    fields = cron.split()
    try:
        if len(fields) != 5 or not all(_FIELD.fullmatch(field) for field in fields):
            raise ValueError("it needs five fields of digits, names such as MON, and * / , -")
        croniter(" ".join(fields), datetime(2026, 1, 1)).get_next()
    except ValueError as error:
        raise BadRequest(
            f"{cron!r} is not a schedule: {error}. Write cron's five fields, in UTC: minute, hour, day of the month, "
            "month, day of the week, such as '0 4 * * *' or '*/30 8-18 * * MON-FRI'. Nothing was changed."
        ) from error
    return " ".join(fields)
