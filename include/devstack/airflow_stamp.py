"""A stamp in Airflow's own database: a hash of what the database was prepared with. It is lost with the database."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import psycopg
from psycopg import sql

from devstack import airflow_settings, environment
from devstack.config import Config
from devstack.credentials import Credentials

PREFIX = "prepared by devstack: "
PLUGIN_READERS = ("Viewer", "User")  # Airflow's roles that are given the list of plugins; Op and Admin have it
PACKAGES = ("apache-airflow", "apache-airflow-providers-fab")


def expected(config: Config, credentials: Credentials, settings_file: Path) -> str:
    """The stamp for these settings. It changes with Airflow, its settings file, the connections' descriptions, the
    administrator, the roles' permissions and each URL."""
    facts = [
        [version(package) for package in PACKAGES],
        settings_file.read_text(encoding="utf-8"),
        airflow_settings.DESCRIPTIONS,
        environment.for_the_app(config, credentials),
        credentials.secrets["AIRFLOW__CORE__FERNET_KEY"],
        PLUGIN_READERS,
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read(url: str) -> str | None:
    """The stamp in the database; None: there is none, or the database does not answer."""
    query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
    try:
        with _connect(url) as connection:
            row = connection.execute(query).fetchone()
    except psycopg.Error:
        return None
    comment = str(row[0] or "") if row else ""
    return comment.removeprefix(PREFIX) if comment.startswith(PREFIX) else None


def write(url: str, stamp: str) -> None:
    """Writes the stamp. A role that does not own the database cannot, so each start prepares the database again."""
    with _connect(url) as connection:
        name = sql.Identifier(connection.info.dbname)
        try:
            connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, sql.Literal(PREFIX + stamp)))
        except psycopg.errors.InsufficientPrivilege:
            print("no stamp: the role does not own the database")


def last_heartbeat_age_s(url: str, job_type: str) -> float | None:
    """Seconds since the last heartbeat of a running job of this type; None: no such job runs."""
    query = (
        "SELECT extract(epoch FROM now() - max(latest_heartbeat)) FROM job WHERE job_type = %s AND state = 'running'"
    )
    try:
        with _connect(url) as connection:
            row = connection.execute(query, (job_type,)).fetchone()
    except psycopg.Error:
        return None
    return float(str(row[0])) if row and row[0] is not None else None


def _connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    return psycopg.connect(plain, connect_timeout=5, autocommit=True)
