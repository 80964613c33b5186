"""Looks up a user of the FAB auth manager in Airflow's metadata database."""

from __future__ import annotations

import logging

import psycopg

log = logging.getLogger(__name__)


def has_user(url: str, name: str) -> bool | None:
    """Returns whether an active user has this name; None if the database cannot be queried or has no users yet."""
    plain = "postgresql://" + url.partition("://")[2]
    try:
        with psycopg.connect(plain, connect_timeout=3, options="-c statement_timeout=3000") as connection:
            if connection.execute("SELECT to_regclass('ab_user')").fetchone() == (None,):
                return None
            row = connection.execute(
                "SELECT bool_or(username = %s), count(*) FROM ab_user WHERE active", (name,)
            ).fetchone()
    except psycopg.Error as error:
        log.debug("Airflow's database cannot be queried: %s", error)
        return None
    return bool(row[0]) if row and row[1] else None
