"""Looks up a user of the FAB auth manager in Airflow's metadata database."""

from __future__ import annotations

import logging
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

log = logging.getLogger(__name__)


def has_user(url: str, name: str) -> bool | None:
    """Returns whether an active user has this name; None if the database cannot be queried or has no users yet."""
    plain = "postgresql://" + url.partition("://")[2]
    try:
        with psycopg.connect(plain, connect_timeout=3, options="-c statement_timeout=3000") as connection:
            cursor: psycopg.Cursor[Any] = connection.cursor(row_factory=namedtuple_row)
            table = cursor.execute("SELECT to_regclass('ab_user') AS oid").fetchone()
            if table is None or table.oid is None:
                return None
            users = cursor.execute(
                "SELECT bool_or(username = %s) AS known, count(*) AS active FROM ab_user WHERE active", (name,)
            ).fetchone()
    except psycopg.Error as error:
        log.debug("Airflow's database cannot be queried: %s", error)
        return None
    return bool(users.known) if users and users.active else None
