"""How others know that the process of a run lives: it holds an advisory lock on a connection of its own.

The lock ends with the process, because the server ends what a closed connection held. It belongs to a transaction that
stays open: a proxy that pools by transaction would hand a mere session, and its lock, to other clients. The transaction
reads nothing, so it keeps no vacuum waiting.
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
    """Of the runs that this process does from their start to their end."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._held: dict[UUID, Connection] = {}
        self._asking = threading.Lock()

    @contextmanager
    def hold(self, run_id: UUID) -> Iterator[None]:
        """Holds the run's lock while the body lasts. Raises Unavailable."""
        with translated():
            connection = self._engine.connect()
            connection.detach()  # beside the pool, which stays as large as it is
            connection.execute(_UNLIMITED)
            connection.execute(_TAKE, {"run_id": run_id})
        self._held[run_id] = connection
        try:
            yield
        finally:
            with self._asking, suppress(SQLAlchemyError):
                del self._held[run_id]
                connection.close()

    def lives(self, run_id: UUID) -> bool:
        """Whether this process holds the run's lock now. Where the connection broke, the lease alone counts."""
        with self._asking:
            if run_id not in self._held:
                return False
            try:
                self._held[run_id].execute(_PING)
            except SQLAlchemyError:
                return False
            return True


def ended(connection: Connection, run_id: UUID) -> bool:
    """Whether no process holds the run's lock."""
    return bool(connection.execute(_TAKE, {"run_id": run_id}).scalar_one())
