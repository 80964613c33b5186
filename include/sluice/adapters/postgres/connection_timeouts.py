"""Connections that tell a hung server from a slow statement.

Where a server hangs (a stopped process, a frozen disk), its kernel still acknowledges what it gets: no timeout of TCP
ends the wait, and the server's own limits do not run. So a connection on which nothing has come for a while asks over
a new one whether anybody answers there. While somebody does, the server's limits hold and the wait goes on.
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
    """A call on a hung server raises OperationalError after `silence_s` and the time to open a connection."""

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, cargs: list[Any], cparams: dict[str, Any]) -> Any:
        return watched(partial(psycopg.Connection.connect, *cargs, **cparams), silence_s)


def watched(open_one: Open, silence_s: float) -> psycopg.Connection[Any]:
    """A connection that behaves so, whoever opens it; `open_one` is called again to see whether anybody answers."""
    connection = open_one()
    plain = connection.wait

    def give_up_if_hung() -> None:
        if _hangs(open_one):
            connection.pgconn.finish()  # nobody may wait here again, not even to roll back
            raise psycopg.OperationalError(f"nothing was heard for {silence_s:g} s, and no new connection opens")

    def wait(gen: Any, *args: Any, **options: Any) -> Any:
        try:
            state = next(gen)
        except StopIteration as done:  # nothing to wait for, as with most rows of a COPY
            return done.value
        return plain(_heard(gen, state, silence_s, give_up_if_hung), *args, **options)

    connection.wait = wait  # type: ignore[method-assign]
    return connection


def _hangs(open_one: Open) -> bool:
    try:
        open_one().close()
    except psycopg.errors.ConnectionTimeout:
        return True
    except psycopg.Error:  # refused, full, starting: somebody answers, and the old connection will be told, too
        return False
    return False


def _heard(
    gen: Generator[Any, Any, Any], state: Any, silence_s: float, on_silence: Callable[[], None]
) -> Generator[Any, Any, Any]:
    """`gen` as it is. psycopg comes by at least every tenth of a second, with nothing where nothing has come."""
    heard_at = time.monotonic()
    try:
        while True:
            ready = yield state
            if ready:
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at >= silence_s:
                on_silence()
                heard_at = time.monotonic()
            state = gen.send(ready)
    except StopIteration as done:
        return done.value
