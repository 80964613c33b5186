"""Numbers about the running service, for a monitoring system."""

from __future__ import annotations

from typing import Protocol


class Telemetry(Protocol):
    """Sends measurements. No method blocks or raises: a lost measurement must not cost an answer. Names are parts of
    `a-z_`, joined by dots, and contain nothing of a caller."""

    def timing(self, name: str, ms: float) -> None:
        """Sends one duration in milliseconds."""

    def count(self, name: str, number: int = 1) -> None:
        """Adds to a counter."""
