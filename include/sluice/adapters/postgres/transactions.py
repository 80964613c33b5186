"""Transactions: one for each call of a port's method. Writes of a run are fenced here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Executable, Row, text

from sluice.adapters.postgres import leases
from sluice.adapters.postgres.failures import translated
from sluice.model.run import Run

_AT_LENGTH = text("SET LOCAL statement_timeout = '10min'")
# For a transaction that waits for other stores; each of them limits the time of its own calls.
IDLE = text("SET LOCAL idle_in_transaction_session_timeout = '10min'")


class Transactions:
    """Base class of the ledger's roles."""

    _database = "PostgreSQL (ledger)"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """Commits at the end and rolls back on any error; raises the project's errors."""
        with translated(self._database), self._engine.begin() as connection:
            yield connection

    def _execute(self, statement: Executable, values: Mapping[str, Any]) -> int:
        """Returns the number of rows that a statement changed in a transaction of its own."""
        with self._transaction() as connection:
            return connection.execute(statement, values).rowcount

    def _value(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Any:
        """Returns the first column of the only row of a statement in a transaction of its own; None without a row."""
        with self._transaction() as connection:
            return connection.execute(statement, values).scalar()

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
