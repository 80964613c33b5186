"""Connections that tell a hung server from a slow statement.

When a server hangs (a stopped process, a frozen disk), its kernel still acknowledges packets: no TCP timeout ends the
wait, and the server's own limits do not run. So when a connection has received nothing for a while, it opens a second
connection to the server. If that succeeds, the server's limits apply and the wait continues; if it times out, the wait
ends with an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import psycopg
from sqlalchemy import Engine, event

Open = Callable[[], psycopg.Connection[Any]]


def watch(engine: Engine, silence_s: float) -> None:
    """Makes calls on a hung server raise OperationalError after `silence_s` plus the time to open a connection."""

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, cargs: list[Any], cparams: dict[str, Any]) -> Any:
        return watched(partial(psycopg.Connection.connect, *cargs, **cparams), silence_s)


def watched(open_one: Open, silence_s: float) -> psycopg.Connection[Any]:
    """Returns a connection that detects a hung server. `open_one` opens it, and is called again as the test."""
    connection = open_one()
    plain = connection.wait

    def give_up_if_hung() -> None:
        if _hangs(open_one):
            connection.pgconn.finish()  # no later call may wait on this connection, not even a rollback
            raise psycopg.OperationalError(f"nothing was received for {silence_s:g} s, and no new connection opens")

    def wait(gen: Any, *args: Any, **options: Any) -> Any:
        try:
            state = next(gen)
        except StopIteration as done:  # no wait is needed, as for most rows of a COPY
            return done.value
        return plain(_supervised(gen, state, silence_s, give_up_if_hung), *args, **options)

    connection.wait = wait  # type: ignore[method-assign]
    return connection


def _hangs(open_one: Open) -> bool:
    try:
        open_one().close()
    except psycopg.errors.ConnectionTimeout:
        return True
    except psycopg.Error:  # refused, full, starting: the server answers, and will answer on the old connection too
        return False
    return False


def _supervised(
    gen: Generator[Any, Any, Any], state: Any, silence_s: float, on_silence: Callable[[], None]
) -> Generator[Any, Any, Any]:
    """Runs `gen` unchanged and calls `on_silence` after each `silence_s` without data. psycopg resumes the generator at
    least every tenth of a second, with a falsy value if nothing arrived."""
    received_at = time.monotonic()
    try:
        while True:
            ready = yield state
            if ready:
                received_at = time.monotonic()
            elif time.monotonic() - received_at >= silence_s:
                on_silence()
                received_at = time.monotonic()
            state = gen.send(ready)
    except StopIteration as done:
        return done.value
