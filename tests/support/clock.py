"""Time for modules that pause: their pauses are noted and skipped."""

from __future__ import annotations

import time
from types import ModuleType

import pytest


class Clock:
    """Stands in for the module `time`: the real time, plus the pauses that were skipped. `pauses`: in seconds."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def install(self, monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
        """The modules must have imported `time` as a whole."""
        for module in modules:
            monkeypatch.setattr(module, "time", self)

    def sleep(self, pause_s: float) -> None:
        self.pauses.append(pause_s)

    def monotonic(self) -> float:
        return time.monotonic() + sum(self.pauses)

    def time(self) -> float:
        return time.time() + sum(self.pauses)
