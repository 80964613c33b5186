"""Connections that tell a hung server from a slow statement.

Where a server hangs (a stopped process, a frozen disk), its kernel still acknowledges what it gets: no timeout of TCP
ends the wait, and the server's own limits do not run. So a connection on which nothing has come for a while asks over
a new one whether anybody answers there. While somebody does, the server's limits hold and the wait goes on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from typing import Any

import psycopg
from sqlalchemy import Engine, event


def watch(engine: Engine, silence_s: float) -> None:
    """A call on a hung server raises OperationalError after `silence_s` and the time to open a connection."""

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, cargs: list[Any], cparams: dict[str, Any]) -> Any:
        connection = _Watched.connect(*cargs, **cparams)
        connection.silence_s = silence_s
        connection.hangs = lambda: _hangs(cargs, cparams)
        return connection


def _hangs(cargs: list[Any], cparams: dict[str, Any]) -> bool:
    try:
        psycopg.Connection.connect(*cargs, **cparams).close()
    except psycopg.errors.ConnectionTimeout:
        return True
    except psycopg.Error:  # refused, full, starting: somebody answers, and the old connection will be told, too
        return False
    return False


class _Watched(psycopg.Connection[Any]):
    silence_s: float = math.inf  # while it is being opened, another limit holds
    hangs: Callable[[], bool]

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        try:
            state = next(gen)
        except StopIteration as done:  # nothing to wait for, as with most rows of a COPY
            return done.value
        return super().wait(self._heard(gen, state), *args, **options)

    def _heard(self, gen: Generator[Any, Any, Any], state: Any) -> Generator[Any, Any, Any]:
        """`gen` as it is. psycopg comes by at least every tenth of a second, with nothing where nothing has come."""
        heard_at = time.monotonic()
        try:
            while True:
                ready = yield state
                if ready:
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at >= self.silence_s:
                    self._give_up_if_hung()
                    heard_at = time.monotonic()
                state = gen.send(ready)
        except StopIteration as done:
            return done.value

    def _give_up_if_hung(self) -> None:
        if self.hangs():
            self.pgconn.finish()  # nobody may wait here again, not even to roll back
            raise psycopg.OperationalError(f"nothing was heard for {self.silence_s:g} s, and no new connection opens")
