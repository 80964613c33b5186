"""Advisory locks that show that the process of a run is alive. Each is held on a connection of its own.

The lock ends with the process, because the server releases the locks of a closed connection. It belongs to a
transaction that stays open: a proxy that pools by transaction would pass a session, and a session lock, to other
clients. The transaction reads nothing, so it does not hold back vacuum.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from sluice.adapters.postgres.failures import translated

_UNLIMITED = text("""
    SELECT set_config(name, '0', true) FROM unnest(ARRAY['idle_in_transaction_session_timeout', 'transaction_timeout'])
           AS limits (name)
""")
_TAKE = text("SELECT pg_try_advisory_xact_lock(hashtextextended('sluice/run/' || CAST(:run_id AS text), 0))")
_PING = text("SELECT")


class RunLocks:
    """The locks of the runs that this process executes from start to end."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._held: dict[UUID, Connection] = {}
        self._in_use = threading.Lock()  # a connection serves one thread at a time

    @contextmanager
    def hold(self, run_id: UUID) -> Iterator[None]:
        """Holds the run's lock while the body lasts. Raises Unavailable."""
        with translated():
            connection = self._engine.connect()
            connection.detach()  # outside the pool, so it takes no pooled connection
            connection.execute(_UNLIMITED)
            connection.execute(_TAKE, {"run_id": run_id})
        self._held[run_id] = connection
        try:
            yield
        finally:
            with self._in_use, suppress(SQLAlchemyError):
                del self._held[run_id]
                connection.close()

    def lives(self, run_id: UUID) -> bool:
        """Returns whether this process holds the run's lock now. False if the connection broke: then only the lease
        counts."""
        with self._in_use:
            if run_id not in self._held:
                return False
            try:
                self._held[run_id].execute(_PING)
            except SQLAlchemyError:
                return False
            return True


def ended(connection: Connection, run_id: UUID) -> bool:
    """Returns whether no process holds the run's lock; if so, this transaction takes it."""
    return bool(connection.execute(_TAKE, {"run_id": run_id}).scalar_one())
