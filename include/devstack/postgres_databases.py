"""Creates the roles and databases of the stack. Safe to repeat; a changed password is set."""

import psycopg
from psycopg import sql

from devstack.config import LOCALHOST
from devstack.credentials import Credentials

# database → (owner, other roles that may connect). Migrations grant the other roles their rights.
DATABASES = {
    "airflow": ("airflow", ()),
    "sluice": ("sluice_owner", ("sluice_app", "sluice_analyst")),
    "sluice_keys": ("sluice_keys", ()),
    "marquez": ("marquez", ()),
}


def connect(
    credentials: Credentials, port: int, role: str = "postgres", database: str = "postgres"
) -> psycopg.Connection:
    """An autocommit connection to the stack's own server. Raises psycopg.OperationalError."""
    return psycopg.connect(
        host=LOCALHOST,
        port=port,
        user=role,
        password=credentials.role_password(role),
        dbname=database,
        connect_timeout=5,
        autocommit=True,
    )


def make(credentials: Credentials, port: int) -> None:
    """Creates each role and database that is missing."""
    with connect(credentials, port) as connection:
        roles = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
        databases = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
        for owner, others in DATABASES.values():
            for role in (owner, *others):
                verb = sql.SQL("ALTER" if role in roles else "CREATE")
                password = sql.Literal(credentials.role_password(role))
                statement = sql.SQL("{} ROLE {} LOGIN PASSWORD {}")
                connection.execute(statement.format(verb, sql.Identifier(role), password))
                roles.add(role)
        for database, (owner, others) in DATABASES.items():
            name = sql.Identifier(database)
            if database not in databases:
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, sql.Identifier(owner)))
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
            for role in others:
                grant = sql.SQL("GRANT CONNECT ON DATABASE {} TO {}")
                connection.execute(grant.format(name, sql.Identifier(role)))
