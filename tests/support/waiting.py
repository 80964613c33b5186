"""Waiting for what other processes and threads do."""

from __future__ import annotations

import time
from collections.abc import Callable

_PAUSE_S = 0.02


def wait_until(condition: Callable[[], object], failure: str, timeout_s: float = 60.0) -> None:
    """Returns as soon as the condition holds. Raises AssertionError with `failure` where it does not hold in time."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"{failure} within {timeout_s:g} s"
        time.sleep(_PAUSE_S)
