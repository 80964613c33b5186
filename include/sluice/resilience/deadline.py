"""The time budget of a search. It belongs to the thread's context, so that no port needs a parameter for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

# A call gets at least this long, even if an earlier step (a model that is loaded) has used up the budget: it would fail
# without having been tried.
LEAST_S = 0.5


@dataclass(frozen=True, slots=True)
class Deadline:
    """The end of a budget, on the monotonic clock."""

    budget_s: float
    ends_s: float


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def within(budget_s: float) -> Iterator[None]:
    """Limits the guarded calls of the body to `budget_s` seconds in all."""
    token = _current.set(Deadline(budget_s, time.monotonic() + budget_s))
    try:
        yield
    finally:
        _current.reset(token)


def limited_s(timeout_s: float, share: float) -> float:
    """Returns the seconds that one call may take: `timeout_s`, or less if the caller has a budget. Of a budget a call
    gets at most `share`."""
    deadline = _current.get()
    if deadline is None:
        return timeout_s
    left_s = max(deadline.ends_s - time.monotonic(), LEAST_S)
    return min(timeout_s, share * deadline.budget_s, left_s)


def is_over() -> bool:
    """Returns whether the caller's budget is used up; False if it has none."""
    deadline = _current.get()
    return deadline is not None and time.monotonic() >= deadline.ends_s
