"""What a search reports to StatsD: durations, hits, losses and empty results, and nothing of the question."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from uuid import UUID

import pytest

from sluice.adapters.statsd import Statsd, connected
from sluice.errors import Unavailable
from sluice.model.grants import Principal
from sluice.model.passage import Passage
from sluice.model.search import SearchRequest
from sluice.resilience.guard import Guard, Limits
from sluice.retrieval.observed_search import observed
from sluice.retrieval.searching import SearchOutcome
from sluice.settings import Settings
from sluice.wiring.guards import make_guards

ID = UUID(int=1)
PASSAGE = Passage(ID, ID, "a.md", "Secret title", "Secret text", 1.0, "file:///a.md", 0, 9, None, (), {}, 1, 1, ID)
ANN = Principal("ann", "acme")
REQUEST = SearchRequest("secret question", "docs")


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        yield server


@pytest.fixture
def telemetry(server: socket.socket) -> Iterator[Statsd]:
    telemetry = connected("127.0.0.1", server.getsockname()[1])
    assert telemetry is not None
    yield telemetry
    telemetry.close()


def received(server: socket.socket, telemetry: Statsd) -> list[str]:
    """All lines until now, timings without their values."""
    telemetry.count("end")
    lines: list[str] = []
    while (line := server.recv(512).decode()) != "sluice.end:1|c":
        lines.append(f"{line.partition(':')[0]}|ms" if line.endswith("|ms") else line)
    return lines


def outcome(*passages: Passage, **more: object) -> SearchOutcome:
    return SearchOutcome(passages, ("dense",), generation=1, took_ms=1.0, **{"degraded": (), **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("result", "lines"),
    [
        (
            outcome(PASSAGE, candidates={"found": 120, "linked": 3, "read": 30}),
            {"sluice.search.candidates.found:120|c", "sluice.search.candidates.linked:3|c"}
            | {"sluice.search.candidates.read:30|c"},
        ),
        (outcome(PASSAGE, cached=True, candidates={"found": 120}), {"sluice.search.cached:1|c"}),
        (outcome(nothing_relevant=True), {"sluice.search.empty:1|c"}),
        (outcome(PASSAGE, nothing_relevant=True), {"sluice.search.nothing_relevant:1|c"}),
        (
            outcome(PASSAGE, degraded=("dense", "full_text")),
            {"sluice.search.degraded.dense:1|c", "sluice.search.degraded.full_text:1|c"},
        ),
    ],
)
def test_each_search_reports_its_outcome(
    server: socket.socket, telemetry: Statsd, result: SearchOutcome, lines: set[str]
) -> None:
    assert observed(lambda *_: result, telemetry)(REQUEST, ANN) is result
    assert set(received(server, telemetry)) == lines | {"sluice.search.time|ms", "sluice.search.served:1|c"}


def test_an_error_is_counted_by_its_type_and_raised(server: socket.socket, telemetry: Statsd) -> None:
    def down(request: SearchRequest, principal: Principal) -> SearchOutcome:
        raise Unavailable("qdrant", "secret reason")

    with pytest.raises(Unavailable):
        observed(down, telemetry)(REQUEST, ANN)
    assert received(server, telemetry) == ["sluice.search.errors.Unavailable:1|c"]


def test_guards_report_calls_and_failures(server: socket.socket, telemetry: Statsd) -> None:
    def fail() -> None:
        raise Unavailable("qdrant", "stopped")

    guards = make_guards(Settings.model_construct(), telemetry)
    qdrant: Guard = guards["qdrant"]
    assert qdrant.call(lambda: 7) == 7
    with pytest.raises(Unavailable):
        qdrant.call(fail)
    for guard in guards.values():
        guard.close()
    lines = received(server, telemetry)
    assert lines.count("sluice.calls.qdrant|ms") == 3  # the failed one was repeated
    assert lines.count("sluice.failures.qdrant:1|c") == 2


def test_a_guard_without_telemetry_reports_nothing() -> None:
    guard = Guard("qdrant", Limits(calls=1, timeout_s=5, share=1, wait_s=1))
    assert guard.call(lambda: 7) == 7
    guard.close()


def test_an_unknown_host_sends_nothing_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert connected("no-such-host.invalid", 8125) is None
    assert "SLUICE_STATSD_HOST=no-such-host.invalid" in caplog.text
