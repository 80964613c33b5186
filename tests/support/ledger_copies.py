"""Ledgers of a test's own: PostgreSQL copies a database that was migrated once, which takes a tenth of a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from uuid import uuid4

import psycopg
from sqlalchemy import Connection, Engine, make_url, text

from sluice.adapters.postgres.migrations import migrate
from support.engines import EngineStack
from support.ledger_rows import LedgerDatabase, engine_of
from support.scratch_databases import libpq, scratch_databases


@dataclass(frozen=True)
class Copy:
    database: str
    engine: Engine

    @property
    def db(self) -> LedgerDatabase:
        return LedgerDatabase(self.engine)

    def moment(self) -> int:
        """It is another one once somebody has written to a database of the server."""
        with self.engine.connect() as connection:
            result = connection.execute(text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"))
            return int(result.scalar_one())


class Copies:
    """Of one database, to which nobody may be connected. A copy that was only read serves the next test, too."""

    def __init__(self, admin_url: str, app_url: str, template: str) -> None:
        self._urls, self._template = (admin_url, app_url), template
        self._spare: Copy | None = None

    @contextmanager
    def copy(self) -> Iterator[Copy]:
        copy, self._spare = self._spare or self._made(), None
        before = copy.moment()
        try:
            yield copy
        finally:
            if self._spare is None and copy.moment() == before:
                self._spare = copy
            else:
                self._drop(copy)

    @contextmanager
    def copies_of(self, copy: Copy) -> Iterator[Copies]:
        """As it is now."""
        copy.engine.dispose()
        with closing(Copies(*self._urls, copy.database)) as copies:
            yield copies

    def close(self) -> None:
        if self._spare is not None:
            self._drop(self._spare)

    def _made(self) -> Copy:
        database = f"copy_{uuid4().hex[:10]}"
        self._execute(f'CREATE DATABASE "{database}" TEMPLATE "{self._template}" OWNER sluice_owner')
        return Copy(database, engine_of(_named(self._urls[1], database)))

    def _drop(self, copy: Copy) -> None:
        copy.engine.dispose()
        self._execute(f'DROP DATABASE IF EXISTS "{copy.database}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        """On a connection of its own: tests restart the server."""
        with psycopg.connect(libpq(_named(self._urls[0], "postgres")), autocommit=True) as admin:
            admin.execute(statement)


@contextmanager
def ledger_copies(stack: EngineStack) -> Iterator[Copies]:
    """Of an empty ledger of this release; on the fixture `stack`."""
    with scratch_databases(stack) as scratch:
        migrate(scratch.owner_url, scratch.keys_url)
        template = make_url(scratch.owner_url).database or ""
        with closing(Copies(scratch.admin_url, scratch.app_url, template)) as copies:
            yield copies


def rows(engine: Engine) -> dict[str, list[str]]:
    """All that the ledger holds, by table."""
    with engine.connect() as connection:
        result = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"))
        return {table: _rows(connection, table) for table in result.scalars().all() if table != "alembic_version"}


def _rows(connection: Connection, table: str) -> list[str]:
    return sorted(connection.execute(text(f'SELECT each::text FROM "{table}" each')).scalars())


def _named(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)
