"""How many calls of the query service wait."""

from __future__ import annotations

import threading

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
