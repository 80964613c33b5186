"""Probes every engine: availability, version and latency."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from sluice.errors import SluiceError

NEEDED = ("ledger", "keys")  # engines without which no search can be answered


@dataclass(frozen=True, slots=True)
class EngineState:
    """The result of one probe. `error`: why the engine did not answer; None: it answered."""

    name: str
    version: str | None = None
    latency_ms: float = 0.0
    error: str | None = None

    @property
    def ok(self) -> bool:
        return self.error is None

    def to_json(self) -> dict[str, Any]:
        """For operators: includes the error."""
        state: dict[str, Any] = {"name": self.name, "ok": self.ok, "version": self.version}
        state["latency_ms"] = round(self.latency_ms, 1)
        return state if self.ok else {**state, "detail": self.error}


def probe(name: str, ping: Callable[[], str]) -> EngineState:
    """Calls `ping` and measures its latency. Blocks as long as `ping` does."""
    started_s = time.perf_counter()
    version, error = None, None
    try:
        version = ping()
    except SluiceError as raised:
        error = str(raised)
    return EngineState(name, version, (time.perf_counter() - started_s) * 1000, error)


def probe_all(pings: Mapping[str, Callable[[], str]]) -> list[EngineState]:
    """Probes in parallel, so that several unavailable engines cost one timeout together. In the order of `pings`."""
    with ThreadPoolExecutor(max(1, len(pings)), thread_name_prefix="ping") as pool:
        return [*pool.map(probe, pings.keys(), pings.values())]


def overall_state(probes: Iterable[EngineState]) -> Literal["ok", "degraded", "down"]:
    """Returns the overall state; "down" means that searches cannot be answered."""
    down = {each.name for each in probes if not each.ok}
    return "down" if down.intersection(NEEDED) else "degraded" if down else "ok"
