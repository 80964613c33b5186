"""Databases of a test's own on the stack's PostgreSQL, with the owners that the real ones have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import psycopg
from sqlalchemy import make_url

from support.engines import EngineStack


@dataclass(frozen=True)
class Scratch:
    """Addresses of one empty ledger database for each role, and of one empty key database."""

    admin_url: str
    owner_url: str
    app_url: str
    analyst_url: str
    keys_url: str

    def environment(self, stack: EngineStack) -> dict[str, str]:
        """The stack's, with these databases."""
        return {
            **stack.environment,
            "SLUICE_DATABASE_URL": self.app_url,
            "SLUICE_DATABASE_OWNER_URL": self.owner_url,
            "SLUICE_DATABASE_ANALYST_URL": self.analyst_url,
            "SLUICE_KEYS_DATABASE_URL": self.keys_url,
        }


@contextmanager
def scratch_databases(stack: EngineStack) -> Iterator[Scratch]:
    """On the fixture `stack`. Made empty, dropped at the end with whoever is still connected."""
    environment = {**stack.environment, **(stack.devstack.full_environment() if stack.devstack else {})}
    suffix = uuid4().hex[:10]
    ledger, keys = f"scratch_{suffix}", f"scratch_{suffix}_keys"
    admin_url = environment["SLUICE_POSTGRES_ADMIN_URL"]
    with psycopg.connect(libpq(admin_url), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{ledger}" OWNER sluice_owner')
        admin.execute(f'CREATE DATABASE "{keys}" OWNER sluice_keys')
        for database in (ledger, keys):
            admin.execute(f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC')
    try:
        yield Scratch(
            _to(admin_url, ledger),
            _to(environment["SLUICE_DATABASE_OWNER_URL"], ledger),
            _to(environment["SLUICE_DATABASE_URL"], ledger),
            _to(environment["SLUICE_DATABASE_ANALYST_URL"], ledger),
            _to(environment["SLUICE_KEYS_DATABASE_URL"], keys),
        )
    finally:  # on a new connection: tests restart the server
        with psycopg.connect(libpq(admin_url), autocommit=True) as admin:
            for database in (ledger, keys):
                admin.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


def libpq(url: str) -> str:
    """The same address for psycopg alone."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def _to(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)
