"""Two processes on one source at the same moment: one works, the other is told. What a kill leaves is taken over."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
from sqlalchemy import text

from sluice.errors import Busy, Terminal
from sluice.pipeline.requests import IngestRequest
from sluice.wiring.application import Sluice
from support import dying, steps
from support.recovery import AFTER, MOVED, Before, Case, Cases
from support.swapping import swapped
from support.waiting import wait_until


def meet(barrier: Any, sluice: Sluice, order: dying.Order) -> Any:
    runs = Before(sluice.ledger.runs, "claim", partial(barrier.wait, 60))
    return dying.work(swapped(sluice, runs=runs), order)


def hold(sluice: Sluice, order: dying.Order) -> Any:
    def wait_for_the_end() -> None:
        (order.folder / "holds").touch()
        time.sleep(600)

    vectors: Any = Before(sluice.vectors, "upsert", wait_for_the_end)
    return dying.work(swapped(sluice, vectors=vectors), order)


@pytest.mark.parametrize("path", ["flow", "batches"])
def test_of_two_at_once_one_works_and_the_other_is_told(cases: Cases, path: Any) -> None:
    expected = cases.fresh(AFTER)
    case = cases.before(path)
    case.put(AFTER)
    barrier = multiprocessing.get_context("forkserver").Barrier(2)
    both = [dying.start(replace(case.order, run_id=uuid4()), partial(meet, barrier)) for _ in range(2)]
    one, other = sorted((dying.wait(*each) for each in both), key=lambda ended: ended.outcome)
    assert (one.outcome, other.outcome) == ("Busy", "done"), (one.output, other.output)
    assert "Another run" in one.output and "Nothing was changed" in one.output
    case.assert_whole(expected)
    assert not case.paid_twice()


def test_a_holder_renews_its_lease_until_it_is_killed(cases: Cases) -> None:
    expected = cases.fresh(AFTER)
    case = cases.before()
    case.put(AFTER)
    process, _ = dying.start(case.order, hold)
    _wait_for(case.order.folder / "holds")
    case.expire_lease()
    wait_until(case.holds_its_lease, "the lease was not renewed")
    with pytest.raises(Busy):
        case.sluice.ingestion.ingest(IngestRequest(case.spec))
    process.kill()
    process.join(60)
    case.ingest()
    case.assert_whole(expected)
    assert not case.paid_twice()


def test_a_killed_process_is_taken_over_at_once(cases: Cases) -> None:
    """However long its lease is: the database knows that its process has ended."""
    expected = cases.fresh(AFTER)
    case = cases.before(lease_s=3600)
    case.put(AFTER)
    process, _ = dying.start(case.order, hold)
    _wait_for(case.order.folder / "holds")
    with pytest.raises(Busy):
        case.sluice.ingestion.ingest(IngestRequest(case.spec))
    process.kill()
    process.join(60)
    case.ingest()
    case.assert_whole(expected)
    assert not case.paid_twice()


def test_of_tasks_that_were_killed_only_the_lease_is_known(cases: Cases) -> None:
    case = cases.before("batches", lease_s=3600)
    case.put(AFTER)
    process, _ = dying.start(case.order, hold)
    _wait_for(case.order.folder / "holds")
    ports = {each.laddr.port for each in psutil.Process(process.pid).net_connections() if each.raddr}
    assert connected(case, ports)
    process.kill()
    process.join(60)
    wait_until(lambda: not connected(case, ports), "PostgreSQL did not notice the death")
    with pytest.raises(Busy):
        case.sluice.ingestion.ingest(IngestRequest(case.spec))
    case.ingest()  # its own tasks, tried again


@pytest.mark.parametrize("taken_over", [False, True])
def test_tasks_that_failed_are_cleared_and_nothing_is_lost(cases: Cases, taken_over: bool) -> None:
    """Names that the scan missed are still known: what was renamed keeps its document."""
    expected = cases.fresh(AFTER)
    case = cases.before("batches")
    known = case.ids()
    case.put(AFTER)
    run_id, sluice = case.order.run_id, case.sluice
    refs = sluice.checkpoints.plan(
        IngestRequest(case.spec, "incremental", run_id=run_id, orchestrator="airflow:drill/cleared")
    )
    assert len(refs) > 1
    first, second = Terminal("the first error"), Terminal("another")
    sluice.checkpoints.record_error(run_id, "extract", first)
    sluice.checkpoints.record_error(run_id, "extract", second)
    if taken_over:
        case.expire_lease()
        sluice.ingestion.ingest(IngestRequest(case.spec, replay=()))  # a run that has no scan of its own
    assert (sluice.checkpoints.close(run_id) is None) == taken_over
    for ref in refs:
        for verb in (steps.extract, steps.validate, steps.chunk, steps.embed, steps.load):
            ref = verb(sluice, ref)
    output = steps.finish(sluice, run_id)
    assert sluice.checkpoints.close(run_id) is None
    assert (output["documents"]["moved"], output["documents"]["deleted"]) == (2, 1)
    case.assert_whole(expected)
    assert {old: case.ids()[new] for old, new in MOVED.items()} == {old: known[old] for old in MOVED}


def connected(case: Case, ports: set[int]) -> bool:
    """Whether PostgreSQL still serves a connection that comes from one of these ports."""
    with case.stores.engine.connect() as connection:
        return not ports.isdisjoint(connection.execute(text("SELECT client_port FROM pg_stat_activity")).scalars())


def _wait_for(file: Path) -> None:
    wait_until(file.exists, f"{file.name} did not come")
