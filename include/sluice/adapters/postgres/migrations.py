"""Migrations of both databases by one command. Concurrent callers run one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, create_engine, pool, text

from sluice.adapters.postgres.database_roles import apply_grants
from sluice.adapters.postgres.failures import translated
from sluice.errors import Terminal

# A wheel has the migrations in the package (setup.py puts them there); a checkout has them in its root folder.
_PLACES = (Path(__file__).parents[2], Path(__file__).parents[4])
LEDGER, KEYS = "alembic", "keys"
_WAIT_FOR_ANOTHER_MIGRATOR = "10min"
_LOCK_TIMEOUT = "5s"  # a migration that waits for a long reader makes every later reader wait too
_STATEMENT_TIMEOUT = "5min"
_LOCK_NAME = "sluice/migrate"


def migrate(
    owner_url: str, keys_url: str, *, app_role: str = "sluice_app", analyst_role: str = "sluice_analyst"
) -> None:
    """Upgrades the ledger and the key database to the newest schema and grants the roles their privileges.

    Safe to repeat and to run concurrently. Raises Unavailable, or Terminal if a migration fails; a failed migration
    leaves its database unchanged.
    """
    roles = {"app_role": app_role, "analyst_role": analyst_role}
    with translated():
        command.upgrade(configuration(LEDGER, owner_url, **roles), "head")
    with translated("PostgreSQL (keys)"):
        command.upgrade(configuration(KEYS, keys_url), "head")


def configuration(section: str, url: str, **attributes: str) -> Config:
    """Returns Alembic's configuration of one of the two databases, as `alembic -n <section>` reads it."""
    file = next((place / "alembic.ini" for place in _PLACES if (place / "alembic.ini").is_file()), None)
    if file is None:
        raise Terminal(
            f"The migrations are missing: no alembic.ini in {' or '.join(map(str, _PLACES))}. Install the wheel that "
            "`make wheel` builds, or run from a checkout of the project."
        )
    config = Config(file, ini_section=section)
    config.attributes.update(attributes, url=url)
    return config


def run_environment(context: EnvironmentContext, metadata: MetaData, variable: str) -> None:
    """Runs the migrations for both env.py files: connects, waits for another migrator, limits all waits, migrates and
    grants privileges.

    The database URL is the caller's, else the value of the environment variable named `variable`.
    """
    import os

    url = context.config.attributes.get("url") or os.environ.get(variable)
    if not url:
        raise Terminal(f"{variable} is not set. Set it to the owner's URL of the database (postgresql+psycopg://…).")
    engine = create_engine(url, poolclass=pool.NullPool, connect_args={"connect_timeout": 10})
    with engine.connect() as connection, connection.begin():
        _wait_and_limit(connection)
        context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
        context.run_migrations()
        if variable == "SLUICE_DATABASE_OWNER_URL" and _at_head(connection, context):
            attributes: dict[str, Any] = context.config.attributes
            apply_grants(
                connection,
                metadata,
                app_role=attributes.get("app_role", "sluice_app"),
                analyst_role=attributes.get("analyst_role", "sluice_analyst"),
            )
    engine.dispose()


def _wait_and_limit(connection: Connection) -> None:
    connection.execute(text("SET LOCAL lock_timeout = 0"))
    connection.execute(text(f"SET LOCAL statement_timeout = '{_WAIT_FOR_ANOTHER_MIGRATOR}'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": _LOCK_NAME})
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
    connection.execute(text(f"SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT}'"))


def _at_head(connection: Connection, context: EnvironmentContext) -> bool:
    if not connection.execute(text("SELECT to_regclass('alembic_version') IS NOT NULL")).scalar():
        return False
    applied = set(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())
    heads = set(ScriptDirectory.from_config(context.config).get_heads())
    return bool(heads) and applied == heads
