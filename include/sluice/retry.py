"""A call that is tried again where that helps, with growing pauses (tenacity)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sluice.errors import Transient

T = TypeVar("T")
ATTEMPTS = 3
FIRST_PAUSE_S = 0.5  # doubled before each further attempt, and up to as much again by chance


def retried(call: Callable[[], T]) -> T:
    """What `call` returns. Raises what its last attempt raised, and at once what is not Transient."""
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential, wait_random

    retrying = Retrying(
        retry=retry_if_exception_type(Transient),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(FIRST_PAUSE_S) + wait_random(0, FIRST_PAUSE_S),
        reraise=True,
    )
    return retrying(call)
