"""Retries calls that fail with transient errors, with growing pauses (tenacity). Reads the pause of `Retry-After`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from sluice.errors import Transient

T = TypeVar("T")
ATTEMPTS = 3
FIRST_PAUSE_S = 0.5  # doubled before each further attempt; up to FIRST_PAUSE_S of random jitter is added


def retried(call: Callable[[], T]) -> T:
    """Returns the result of `call`. Retries Transient errors and raises the last one; raises other errors at once."""
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential, wait_random

    retrying = Retrying(
        retry=retry_if_exception_type(Transient),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(FIRST_PAUSE_S) + wait_random(0, FIRST_PAUSE_S),
        reraise=True,
    )
    return retrying(call)


def retry_after_s(header: str) -> float:
    """Returns the seconds of `Retry-After`, which is a number or a date (RFC 9110, 10.2.3); 0 if absent or invalid."""
    value = header.strip()
    if value.isdecimal():  # isdigit() would accept "²"
        return float(value)
    moment = http_date(value)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds()) if moment else 0.0


def http_date(value: str) -> datetime | None:
    """Parses a date of an HTTP header, in UTC where it has no offset. None if it is absent or invalid."""
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
