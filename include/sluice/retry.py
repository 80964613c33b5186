"""Retries calls that fail with transient errors, with growing pauses (tenacity)."""

from __future__ import annotations

from collections.abc import Callable
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
