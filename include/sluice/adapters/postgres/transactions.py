"""Transactions: one for each call of a port's method. Writes of a run are fenced here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Executable, Row, text

from sluice.adapters.postgres import leases
from sluice.adapters.postgres.failures import translated
from sluice.model.run import Run

_AT_LENGTH = text("SET LOCAL statement_timeout = '10min'")
# For a transaction that waits for other stores; each of them limits the time of its own calls.
IDLE = text("SET LOCAL idle_in_transaction_session_timeout = '10min'")


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Commits at the end and rolls back on any error; raises the project's errors."""
    with translated(), engine.begin() as connection:
        yield connection


class Transactions:
    """Base class of the ledger's roles."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def _transaction(self) -> AbstractContextManager[Connection]:
        return transaction(self._engine)

    def _rows(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """Returns the rows of a statement in a transaction of its own."""
        with self._transaction() as connection:
            return connection.execute(statement, values).all()

    def _scalars(self, statement: Executable, values: Mapping[str, Any]) -> Sequence[Any]:
        with self._transaction() as connection:
            return connection.execute(statement, values).scalars().all()

    @contextmanager
    def _writing(self, run: Run) -> Iterator[Connection]:
        """Opens a transaction in which the run keeps its lease until the commit. Raises LostLease if another run has
        taken over."""
        with self._transaction() as connection:
            leases.fence(connection, run)
            yield connection

    @contextmanager
    def _at_length(self) -> Iterator[Connection]:
        """For statements over whole tables or collections; the limit of ordinary calls is for batches."""
        with self._transaction() as connection:
            connection.execute(_AT_LENGTH)
            yield connection
