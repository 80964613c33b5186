"""How many calls of the query service wait."""

from __future__ import annotations

import threading
import time

import anyio
from starlette.exceptions import HTTPException

from sluice.api.limits import BoundedExecutor


def test_calls_beyond_the_queue_are_turned_away_at_once() -> None:
    release = threading.Event()

    async def crowd() -> list[int]:
        executor, turned_away = BoundedExecutor(threads=1, max_waiting=1), []

        async def call() -> None:
            try:
                await executor.run(lambda: release.wait(10))
            except HTTPException as error:
                turned_away.append(error.status_code)

        async with anyio.create_task_group() as group:
            for _ in range(4):  # one runs, one waits, two are too many
                group.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            release.set()
        return turned_away

    assert anyio.run(crowd) == [503, 503]


def test_calls_that_would_wait_too_long_are_turned_away_early_and_the_next_ones_are_not() -> None:
    """The queue has room, but one thread that takes 0.2 s for a call serves five a second."""

    async def crowd() -> tuple[list[str | None], int]:
        executor, waits = BoundedExecutor(threads=1, max_waiting=64, longest_wait_s=0.5), list[str | None]()
        served = 0

        async def call() -> None:
            nonlocal served
            try:
                await executor.run(lambda: time.sleep(0.2))
                served += 1
            except HTTPException as error:
                assert error.status_code == 503
                waits.append((error.headers or {}).get("Retry-After"))

        for _ in range(30):  # the mean of recent calls comes near to 0.2 s
            await call()
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(call)
        crowded = served - 30
        await call()  # nobody waits any more
        assert served == 30 + crowded + 1
        return waits, crowded

    waits, crowded = anyio.run(crowd)
    assert 1 <= crowded <= 5
    assert len(waits) == 20 - crowded
    assert set(waits) == {"1"}


def test_a_call_that_did_wait_too_long_is_not_run() -> None:
    """The mean of earlier calls said nothing of a store that hangs."""
    release, ran = threading.Event(), list[int]()

    async def crowd() -> list[int]:
        executor, turned_away = BoundedExecutor(threads=1, max_waiting=8, longest_wait_s=0.05), list[int]()

        def wait(number: int) -> None:
            ran.append(number)
            release.wait(10)

        async def call(number: int) -> None:
            try:
                await executor.run(lambda: wait(number))
            except HTTPException as error:
                turned_away.append(error.status_code)

        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(call, number)
            await anyio.sleep(0.2)
            release.set()
        return turned_away

    assert anyio.run(crowd) == [503, 503, 503]
    assert ran == [0]
