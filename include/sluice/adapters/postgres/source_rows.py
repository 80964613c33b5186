"""The port Rows on PostgreSQL: reads a source's table or saved query, read-only and with time limits."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row, namedtuple_row

from sluice.adapters.postgres.connection_timeouts import watched
from sluice.errors import TRY_AGAIN, BadRequest, SluiceError, Unavailable
from sluice.ports.readers import Connection, ListedRow, RowQuery
from sluice.retry import retried

STATEMENT_TIMEOUT_S = 300
LOCK_TIMEOUT_S = 15
_FETCH_ROWS = 2000  # per round trip of a scan: bounds its memory
_PASSED_ON = ("sslmode", "sslrootcert", "sslcert", "sslkey")  # of the connection's extra, to libpq
# Classes of SQLSTATE where a retry helps: connection, conflict, resources, operator, system.
_RETRY_CLASSES = ("08", "40", "53", "55", "57", "58")


class PostgresRows:
    """One per reader. Connects on first use, with retries. Each call is one read-only transaction."""

    def __init__(
        self, connection: Connection, query: RowQuery, *, connect_timeout_s: float, silence_s: float = 30.0
    ) -> None:
        """`silence_s`: after so long without data, a server that accepts no new connection counts as hung."""
        self._query = query
        self._dial = partial(
            connection.dial or partial(psycopg.connect, **_place(connection)), **_limits(connect_timeout_s)
        )
        self._silence_s = silence_s
        self._connection: psycopg.Connection | None = None
        self._columns: dict[str, int] = {}

    def listed(self) -> Iterator[ListedRow]:
        retried(self._reached)
        with self._translated(), self._connected().transaction():
            server = self._connected()
            statement = sql.SQL(
                'SELECT {id}::text COLLATE "C" AS id, {mark} AS mark, coalesce(pg_column_size({text}), 0) '
                "AS size_bytes FROM {rows} AS r ORDER BY 1, 2"
            ).format(id=self._column(self._query.id), text=self._column(self._query.text), **self._parts())
            with server.cursor(name="sluice_scan", row_factory=class_row(ListedRow)) as cursor:
                cursor.itersize = _FETCH_ROWS
                cursor.execute(statement)
                yield from cursor

    def fetch(self, row_id: str, max_bytes: int) -> tuple[int, dict[str, Any] | None] | None:
        return retried(lambda: self._fetched(row_id, max_bytes))

    def _fetched(self, row_id: str, max_bytes: int) -> tuple[int, dict[str, Any] | None] | None:
        with self._translated(), self._connected().transaction():
            cursor: psycopg.Cursor[Any] = self._connected().cursor(row_factory=namedtuple_row)
            oid = self._columns[self._query.id]
            kind = cursor.execute("SELECT %s::oid::regtype::text AS name", [oid]).fetchone()
            assert kind is not None
            # Compared in the column's own type, so that its index is used; then as text, as the scan listed it.
            statement = sql.SQL(
                "SELECT octet_length({text}::text) AS size_bytes, "
                "CASE WHEN octet_length({text}::text) <= {max} THEN to_jsonb(r) END AS columns "
                "FROM {rows} AS r WHERE {id} = {wanted}::text::{kind} AND {id}::text = {wanted} ORDER BY {mark} LIMIT 1"
            ).format(
                id=self._column(self._query.id),
                text=self._column(self._query.text),
                kind=sql.SQL(kind.name),
                max=sql.Literal(max_bytes),
                wanted=sql.Literal(row_id),  # no parameters: a saved query may hold a % of its own
                **self._parts(),
            )
            row = cursor.execute(statement).fetchone()
        if row is None:
            return None
        return (0, {}) if row.size_bytes is None else (row.size_bytes, row.columns)

    def _reached(self) -> None:
        with self._translated():
            self._connected()

    def _connected(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = watched(self._dial, self._silence_s)
            self._connection.autocommit = True  # transactions are those of `transaction()`
            self._connection.read_only = True
            weakref.finalize(self, self._connection.close)
            self._columns = self._described(self._connection)
        return self._connection

    def _described(self, server: psycopg.Connection) -> dict[str, int]:
        """Returns column → oid of its type. Raises BadRequest if the id or text column is missing."""
        described = server.execute(sql.SQL("SELECT * FROM {} AS r LIMIT 0").format(self._rows())).description or []
        columns = {each.name: each.type_code for each in described}
        for wanted in (self._query.id, self._query.text):
            if wanted not in columns:
                raise BadRequest(
                    f"The rows have no column {wanted!r}; they have {', '.join(sorted(columns))[:500]}. Nothing was "
                    "read. Name the columns in the URI: id=…&text=…&title=…&updated_at=…"
                )
        return columns

    def _rows(self) -> sql.Composable:
        if self._query.select is not None:
            return sql.SQL("({})").format(sql.SQL(self._query.select.strip().rstrip(";")))
        return sql.Identifier(*self._query.table)

    def _column(self, name: str) -> sql.Composable:
        return sql.SQL("r.{}").format(sql.Identifier(name))

    def _parts(self) -> dict[str, sql.Composable]:
        """`mark`: an expression that changes with the row. It reads the whole row only without a time of change."""
        whole: sql.Composable = sql.SQL("'md5-' || md5(r::text)")
        if self._query.updated_at in self._columns:
            at = self._column(self._query.updated_at)
            whole = sql.SQL("coalesce('at-' || {}::text, {})").format(at, whole)
        return {"mark": whole, "rows": self._rows()}

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise _translate(error) from error


def _place(connection: Connection) -> dict[str, Any]:
    return {
        "host": connection.host,
        "port": connection.port or 5432,
        "user": connection.login,
        "password": connection.password,
        "dbname": connection.schema,
        **{name: str(connection.extra[name]) for name in _PASSED_ON if name in connection.extra},
    }


def _limits(connect_timeout_s: float) -> dict[str, Any]:
    """Returns the limits of every connection, so that reading is not blocked for long and does not block others."""
    settings = {
        "statement_timeout": STATEMENT_TIMEOUT_S * 1000,
        "lock_timeout": LOCK_TIMEOUT_S * 1000,
        "idle_in_transaction_session_timeout": 2 * STATEMENT_TIMEOUT_S * 1000,
        "default_transaction_read_only": "on",
        "timezone": "UTC",
        "datestyle": "ISO",
    }
    return {
        "connect_timeout": max(2, round(connect_timeout_s)),
        "application_name": "sluice source",
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        "keepalives_idle": 30,
        "tcp_user_timeout": STATEMENT_TIMEOUT_S * 1000,
        "client_encoding": "utf8",
    }


def _translate(error: psycopg.Error) -> SluiceError:
    state = error.sqlstate or ""
    detail = error.diag.message_primary or str(error).strip().partition("\n")[0] or type(error).__name__
    if state == "57014":
        return Unavailable("the source's database", f"a statement ran longer than {STATEMENT_TIMEOUT_S} s", TRY_AGAIN)
    login_failed = "authentication failed" in detail or "does not exist" in detail
    if state[:2] in _RETRY_CLASSES or (not state and isinstance(error, psycopg.OperationalError) and not login_failed):
        return Unavailable("the source's database", detail, TRY_AGAIN)
    return BadRequest(
        f"The source's database rejected the query ({detail}). Nothing was deleted. Correct the URI, the saved query "
        "or the connection, or grant its role the right to read."
    )
