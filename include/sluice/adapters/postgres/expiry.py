"""Expiry of documents: the retention of the document, else of its source, else of its collection decides.

The expiry time is stored with each document, so that a read only compares it. Two kinds of transaction write it: one
that activates a version, and one that sets a retention. They exclude each other; otherwise a version that is activated
while a retention is being set would use the previous retention.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

_TIMEOUT = "10min"  # to apply a retention to a whole collection; the limit of ordinary calls is for batches
_KEY = "hashtextextended('sluice/retention/' || CAST(:collection_id AS text), 0)"
_KEEP = text(f"SELECT pg_advisory_xact_lock_shared({_KEY})")
_CHANGE = text(f"SELECT pg_advisory_xact_lock({_KEY})")


def _end(level: str, since: str) -> str:
    return f"coalesce({level}.retain_until, {since} + make_interval(days => nullif({level}.retention_days, 0)))"


def expiry(since: str) -> str:
    """Returns SQL for the expiry of document `d` of source `s` and collection `c`, whose content is served since
    `since`."""
    return f"""
        CASE WHEN num_nonnulls(d.retention_days, d.retain_until) > 0 THEN {_end("d", since)}
             WHEN num_nonnulls(s.retention_days, s.retain_until) > 0 THEN {_end("s", since)}
             ELSE {_end("c", since)} END
    """


def instead(where: str) -> str:
    """Returns SQL for the retention columns: `:days` and `:until` in rows that match `where`, else stored values."""
    return f"""
        CASE WHEN {where} THEN CAST(:days AS integer) ELSE retention_days END AS retention_days,
        CASE WHEN {where} THEN CAST(:until AS timestamptz) ELSE retain_until END AS retain_until
    """


# Unchanged documents are never activated again, so a new retention is applied to them here. Locked in the order of ids,
# as everywhere.
_RENEW = text(f"""
    WITH due AS (
        SELECT d.document_id, {expiry("d.served_since")} AS expires_at
        FROM documents d JOIN sources s USING (source_id) JOIN collections c ON c.collection_id = d.collection_id
        WHERE d.collection_id = :collection_id AND (CAST(:source_id AS uuid) IS NULL OR d.source_id = :source_id)
          AND (CAST(:document_id AS uuid) IS NULL OR d.document_id = :document_id)
          AND d.served_since IS NOT NULL AND d.expires_at IS DISTINCT FROM {expiry("d.served_since")}
        ORDER BY d.document_id FOR NO KEY UPDATE OF d)
    UPDATE documents d SET expires_at = due.expires_at FROM due WHERE d.document_id = due.document_id
""")


def keep_retention(connection: Connection, collection_id: UUID) -> None:
    """Prevents changes of retention in this collection until the transaction ends. Take it before a lock on documents:
    a change of retention locks documents last."""
    connection.execute(_KEEP, {"collection_id": collection_id})


def change_retention(connection: Connection, collection_id: UUID) -> None:
    """Prevents activations in this collection until the transaction ends. Call it after locking the source and before
    locking documents or the collection."""
    connection.execute(text(f"SET LOCAL statement_timeout = '{_TIMEOUT}'"))
    connection.execute(_CHANGE, {"collection_id": collection_id})


def renew_expiry(
    connection: Connection, collection_id: UUID, source_id: UUID | None = None, document_id: UUID | None = None
) -> int:
    """Recomputes the expiry of documents: of a collection, or of one source or document in it. Returns how many
    changed."""
    values: dict[str, Any] = {"collection_id": collection_id, "source_id": source_id, "document_id": document_id}
    return connection.execute(_RENEW, values).rowcount
