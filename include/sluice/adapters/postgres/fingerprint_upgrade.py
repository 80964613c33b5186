"""Replaces the plain fingerprints that releases up to 0.2.0 stored by keyed ones, in place.

Safe to repeat and to interrupt: each batch is its own transaction, and a keyed fingerprint is recognised by its form.
Equal fingerprints stay equal, so no document is read again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from sluice.adapters.postgres.failures import translated
from sluice.encryption import keyed_fingerprint, plain_fingerprint

_AT_ONCE = 5000
# Each table's key, and the join that leads to the tenant of its rows.
_TABLES = {
    "documents": ("document_id", ""),
    "versions": ("version_id", "JOIN documents d USING (document_id)"),
    "quarantine": ("quarantine_id", ""),
}


def key_fingerprints(owner_url: str, index_key: Callable[[str], bytes]) -> int:
    """Returns how many rows were rewritten. `index_key`: tenant → its index key. Raises Unavailable."""
    with (
        translated(),
        psycopg.connect(
            owner_url.replace("+psycopg", "", 1), connect_timeout=10, row_factory=namedtuple_row
        ) as connection,
    ):
        return sum(_rewrite(connection, table, *place, index_key) for table, place in _TABLES.items())


def _rewrite(
    connection: psycopg.Connection[Any], table: str, key: str, tenant: str, index_key: Callable[[str], bytes]
) -> int:
    """Pages in the order of the table's key, so each row is read once."""
    owner = "d" if tenant else "t"
    page = f"""
        SELECT t.{key} AS id, {owner}.tenant_id, t.fingerprint FROM {table} t {tenant}
        WHERE t.{key} > %s AND t.fingerprint IS NOT NULL ORDER BY t.{key} LIMIT {_AT_ONCE}
    """
    update = f"""
        UPDATE {table} t SET fingerprint = n.fingerprint
        FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS n (id, before, fingerprint)
        WHERE t.{key} = n.id AND t.fingerprint = n.before
    """
    rewritten, last = 0, "00000000-0000-0000-0000-000000000000"
    while rows := connection.execute(page, (last,)).fetchall():
        last = rows[-1].id
        plain = [row for row in rows if plain_fingerprint(row.fingerprint)]
        if plain:
            ids, before = [row.id for row in plain], [row.fingerprint for row in plain]
            after = [keyed_fingerprint(index_key(row.tenant_id), row.fingerprint) for row in plain]
            rewritten += connection.execute(update, (ids, before, after)).rowcount
        connection.commit()
    return rewritten
