"""A store that stops or hangs during an ingest: told in time, nothing wrong is shown, and a rerun converges."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devstack import Stack
from sluice.errors import Transient, Unavailable
from sluice.pipeline.requests import IngestRequest
from sluice.wiring.application import Sluice
from support import dying
from support.agreement import Held
from support.engines import EngineStack
from support.outages import end, send
from support.recovery import AFTER, BEFORE, MOVED, Before, Case, Cases, retried
from support.rotation import revision, share
from support.swapping import port_of, swapped

HURRIED = {"connect_timeout_s": 2.0, "call_timeout_s": 3.0, "query_timeout_s": 2.0}
# Neo4j's driver waits for ten seconds without a sign of life (5 s twice), then tries for a call's time; then the run
# is closed and its sign of life awaited.
PATIENCE_S = 60.0
CALLS = {"postgres": ("versions", "stage"), "qdrant": ("vectors", "upsert"), "neo4j": ("graph", "write")}
TOLD = {"postgres": "PostgreSQL", "qdrant": "qdrant", "neo4j": "neo4j"}
# Outside the drill, one store hangs and another is restarted: as with the kill points, the commit chooses.
HANGING = share(revision(Path(__file__).resolve().parents[2]), len(CALLS))
RESTARTED = (HANGING + 1) % len(CALLS)
STORES = list(CALLS)


@pytest.fixture
def engines(stack: EngineStack) -> Iterator[Stack]:
    if stack.devstack is None:
        pytest.skip("engines that are not ours are not stopped: unset SLUICE_TEST_STACK")
    yield stack.devstack
    stack.devstack.up(["engines"], lambda line: None)


def interrupted(case: Case, store: str, go_away: Callable[[], None]) -> float:
    """Seconds until the ingest said so."""
    port, method = CALLS[store]
    gone_at: list[float] = []

    def gone() -> None:
        go_away()
        gone_at.append(time.monotonic())

    sluice = dying.sluice_of(hurried(case))
    broken: Any = Before(port_of(sluice, port), method, gone)
    try:
        with pytest.raises(Transient, match=TOLD[store]):
            swapped(sluice, **{port: broken}).ingestion.ingest(IngestRequest(case.spec))
        return time.monotonic() - gone_at[0]
    finally:
        sluice.close()


def hurried(case: Case) -> dying.Order:
    return replace(case.order, settings=case.order.settings.model_copy(update=HURRIED))


def assert_nothing_wrong_is_shown(case: Case) -> None:
    """Right, or not at all; and soon."""
    serving = Sluice(hurried(case).settings, serving=True)
    began = time.monotonic()
    try:
        with suppress(Unavailable):
            replace(case, sluice=serving).assert_never_a_mix()
    finally:
        serving.close()
    assert time.monotonic() - began < PATIENCE_S


@pytest.mark.parametrize("store", [STORES[HANGING], *(pytest.param(each, marks=pytest.mark.drill) for each in CALLS)])
def test_a_store_that_hangs(cases: Cases, engines: Stack, store: str) -> None:
    expected = cases.fresh(AFTER)
    case = cases.before()
    case.put(AFTER)
    try:
        took_s = interrupted(case, store, lambda: send(engines, store, signal.SIGSTOP))
        print(f"{store}: told after {took_s:.1f} s")
        assert took_s < PATIENCE_S
        assert_nothing_wrong_is_shown(case)
    finally:
        send(engines, store, signal.SIGCONT)
    _recovers(case, expected)


@pytest.mark.parametrize("store", ["qdrant", "neo4j"])
def test_what_is_gone_at_the_source_is_not_served_while_a_store_is_down(
    cases: Cases, engines: Stack, store: str
) -> None:
    """Nor is anything mistaken for gone that was renamed."""
    tree = {name: text for name, text in AFTER.items() if name != "same.md"}
    expected = cases.fresh(tree)
    case = cases.before(batch_size=1)
    known = case.ids()
    pending = rf"no longer served; \d+ chunks are still to be removed from .*{store}"
    sluice = dying.sluice_of(hurried(case))
    end(engines, store)
    try:
        case.put({name: text for name, text in BEFORE.items() if name != "gone.md"})
        with pytest.raises(Unavailable, match=pending):
            sluice.ingestion.ingest(IngestRequest(case.spec))
        assert case.ids().keys() == BEFORE.keys() - {"gone.md"}, "nothing is new: known with the scan"
        assert store == "qdrant" or "GOWN" not in case.served()

        case.put(tree)
        with pytest.raises(Unavailable, match=pending):
            sluice.ingestion.ingest(IngestRequest(case.spec))
        now = case.ids()
        assert now.keys() == tree.keys(), "known when all that is new was read"
        assert {old: now[new] for old, new in MOVED.items()} == {old: known[old] for old in MOVED}
    finally:
        sluice.close()
        engines.up([store], lambda line: None)
    _recovers(case, expected)


@pytest.mark.parametrize("store", [STORES[RESTARTED], *(pytest.param(each, marks=pytest.mark.drill) for each in CALLS)])
def test_a_store_that_is_restarted(cases: Cases, engines: Stack, store: str) -> None:
    expected = cases.fresh(AFTER)
    case = cases.before()
    case.put(AFTER)
    took_s = interrupted(case, store, lambda: end(engines, store))
    print(f"{store}: told after {took_s:.1f} s")
    assert took_s < PATIENCE_S
    assert_nothing_wrong_is_shown(case)
    engines.up([store], lambda line: None)
    _recovers(case, expected)


def _recovers(case: Case, expected: Held) -> None:
    retried(case.ingest, Transient)  # a store that is back may be slow at first, and clients find it again in a second
    case.assert_whole(expected)
    assert not case.paid_twice()
