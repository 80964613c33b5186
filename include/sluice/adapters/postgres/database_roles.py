"""Privileges of the app and analyst roles. Applied after every migration, so that roles created later get them too."""

from __future__ import annotations

import logging

from sqlalchemy import Connection, MetaData, text

ANALYST_SCHEMA = "analyst"
_log = logging.getLogger(__name__)


def apply_grants(connection: Connection, metadata: MetaData, *, app_role: str, analyst_role: str) -> None:
    """Grants privileges: the app may read and write rows and create temporary tables; analysts may read the views."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    database = quote(str(connection.execute(text("SELECT current_database()")).scalar()))
    if _exists(connection, app_role):
        app = quote(app_role)
        tables = ", ".join(quote(table.name) for table in metadata.sorted_tables)
        connection.execute(text(f"GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {app}"))
        connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {app}"))
        connection.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {app}"))
        connection.execute(text(f"GRANT SELECT ON alembic_version TO {app}"))
    if _exists(connection, analyst_role):
        analyst, schema = quote(analyst_role), quote(ANALYST_SCHEMA)
        connection.execute(text(f"GRANT CONNECT ON DATABASE {database} TO {analyst}"))
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {analyst}"))
        connection.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {analyst}"))


def _exists(connection: Connection, role: str) -> bool:
    exists = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}).scalar()
    if not exists:
        _log.warning("The role %s does not exist; its grants were skipped. Create it and migrate again.", role)
    return bool(exists)
