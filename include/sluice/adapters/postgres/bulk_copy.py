"""Bulk writes by COPY in binary format, which sends bytea values without hexadecimal encoding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import Connection as Driver
from psycopg import Cursor, sql
from sqlalchemy import Connection


def driver(connection: Connection) -> Driver[Any]:
    """Returns psycopg's connection below SQLAlchemy's; it is in the same transaction."""
    raw = connection.connection.driver_connection
    if not isinstance(raw, Driver):
        raise TypeError(f"the engine's driver is {type(raw).__name__}, not psycopg 3 (postgresql+psycopg://…)")
    return raw


def copy_rows(cursor: Cursor[Any], table: str, columns: str, rows: Iterable[Sequence[object]]) -> None:
    """Copies rows into a table. `columns`: `name type, name type, …`, in the order of each row's values."""
    names, types = zip(*(column.split() for column in columns.split(",")), strict=True)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, names))
    )
    with cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)
