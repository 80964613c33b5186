"""Two processes on one source at the same moment: one works, the other is told. What a kill leaves is taken over."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import dying
from recovery import AFTER, LEASE_S, Before, Cases
from sluice import flow
from sluice.errors import Busy
from sluice.ports import Tools


def meet(barrier: Any, tools: Tools, order: dying.Order) -> Any:
    ledger: Any = Before(tools.ledger, "claim", partial(barrier.wait, 60))
    return dying.work(replace(tools, ledger=ledger), order)


def hold(tools: Tools, order: dying.Order) -> Any:
    def wait_for_the_end() -> None:
        (order.folder / "holds").touch()
        time.sleep(600)

    vectors: Any = Before(tools.vectors, "upsert", wait_for_the_end)
    return dying.work(replace(tools, vectors=vectors), order)


@pytest.mark.parametrize("path", ["flow", "batches"])
def test_of_two_at_once_one_works_and_the_other_is_told(cases: Cases, path: Any) -> None:
    expected = cases.fresh(AFTER)
    case = cases.before(path)
    case.put(AFTER)
    barrier = multiprocessing.get_context("forkserver").Barrier(2)
    both = [dying.start(replace(case.order, run_id=dying.uuid4()), partial(meet, barrier)) for _ in range(2)]
    one, other = sorted((dying.wait(*each) for each in both), key=lambda ended: ended.outcome)
    assert (one.outcome, other.outcome) == ("Busy", "done"), (one.told, other.told)
    assert "Another run" in one.told and "Nothing was changed" in one.told
    case.assert_whole(expected)
    assert not case.paid_twice()


def test_a_killed_holder_is_taken_over_when_its_lease_has_lapsed(cases: Cases) -> None:
    expected = cases.fresh(AFTER)
    case = cases.before()
    case.put(AFTER)
    process, _ = dying.start(case.order, hold)
    _wait_for(case.order.folder / "holds")
    time.sleep(2 * LEASE_S)  # alive, it keeps the source however long that takes
    with pytest.raises(Busy):
        flow.ingest(case.tools, case.spec)
    process.kill()
    process.join(60)
    case.ingest()
    case.assert_whole(expected)
    assert not case.paid_twice()


def _wait_for(file: Path) -> None:
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline, f"{file.name} did not come"
        time.sleep(0.05)
