"""Who evaluates the checks: this process, or one of its own that imports Great Expectations beside other work."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from sluice.quality import expectations
from sluice.quality.checks import Check
from sluice.quality.expectations import Outcome
from sluice.quality.process import LOST, GatesProcess

_process: GatesProcess | None = None


@contextmanager
def gates_process() -> Iterator[None]:
    """Within the body, a process of its own imports Great Expectations and evaluates; `prepare` or the first gate
    starts it. Where it is imported here already, and where that process is lost, this process evaluates."""
    global _process
    if _process is not None or "great_expectations" in sys.modules:
        yield
        return
    _process = GatesProcess()
    try:
        yield
    finally:
        ended, _process = _process, None
        ended.stop()


def prepare() -> None:
    """Starts the import in the gates' process, where there is one. Does not wait."""
    if _process is not None:
        with suppress(*LOST):
            _process.start()


def ready() -> float:
    """As `expectations.ready`, of the process that will evaluate."""
    started_s = time.perf_counter()
    if _process is not None:
        with suppress(*LOST):
            return time.perf_counter() - started_s if _process.ready() else 0.0
    return expectations.ready()


def evaluate(suite: str, checks: Sequence[Check], columns: Mapping[str, Sequence[Any]]) -> list[Outcome]:
    """As `expectations.evaluate`."""
    if _process is not None:
        with suppress(*LOST):
            return _process.evaluate(suite, checks, columns)
    return expectations.evaluate(suite, checks, columns)
