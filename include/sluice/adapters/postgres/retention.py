"""Retention of collections, sources and documents, and the purge of expired documents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from sluice.adapters.postgres.collections import GENERATION_COLUMNS, generation_of
from sluice.adapters.postgres.expiry import change_retention, keep_retention, renew_expiry
from sluice.adapters.postgres.leases import RUNNING
from sluice.adapters.postgres.pending_versions import lock_documents
from sluice.adapters.postgres.sources import SPEC_COLUMNS, alone, spec_of
from sluice.adapters.postgres.transactions import Transactions
from sluice.adapters.postgres.versions import retire
from sluice.errors import NotFound
from sluice.model.retention import ExpiredDocument, Retention, RetentionScope, RetentionSetting
from sluice.model.run import Run
from sluice.model.source import Source

_SET = "SET retention_days = :days, retain_until = :until WHERE"
_COLLECTION = text(
    "SELECT collection_id, NULL AS source_id, NULL AS document_id FROM collections WHERE name = :collection"
)
_SOURCE = text("""
    SELECT collection_id, s.source_id, NULL AS document_id FROM sources s JOIN collections c USING (collection_id)
    WHERE c.name = :collection AND s.tenant_id = :tenant AND s.uri = :source
""")
_LOCK_SOURCE = text("SELECT FROM sources WHERE source_id = :source_id FOR NO KEY UPDATE")
_DOCUMENT = text("""
    SELECT collection_id, NULL AS source_id, document_id FROM documents WHERE document_id = :document_id
""")
_SET_COLLECTION = text(f"UPDATE collections {_SET} collection_id = :collection_id")
_SET_SOURCE = text(f"UPDATE sources {_SET} source_id = :source_id")
_SET_DOCUMENT = text(f"UPDATE documents {_SET} document_id = :document_id")
_IS_SET = "num_nonnulls({0}.retention_days, {0}.retain_until) > 0 AND :collection IN ('', c.name)"
_SETTINGS = text(f"""
    SELECT 0 AS level, c.name AS collection, '' AS tenant, '' AS source, NULL::uuid AS document_id, c.retention_days,
           c.retain_until
    FROM collections c WHERE {_IS_SET.format("c")}
    UNION ALL
    SELECT 1, c.name, s.tenant_id, s.uri, NULL, s.retention_days, s.retain_until
    FROM sources s JOIN collections c USING (collection_id) WHERE {_IS_SET.format("s")}
    UNION ALL
    SELECT 2, c.name, d.tenant_id, s.uri, d.document_id, d.retention_days, d.retain_until
    FROM documents d JOIN sources s USING (source_id) JOIN collections c ON c.collection_id = d.collection_id
    WHERE {_IS_SET.format("d")}
    ORDER BY level, collection, tenant, source, document_id
""")
_CLOCK = text("SELECT clock_timestamp()")
# A document that a run with a valid lease has staged has new content: that run decides about the document.
_DUE = f"""
    d.source_id = :source_id AND d.expires_at <= least(CAST(:as_of AS timestamptz), now()) AND d.purged_hash IS NULL
    AND d.served_since IS NOT NULL
    AND NOT EXISTS (SELECT FROM versions p JOIN runs r USING (run_id)
                    WHERE p.document_id = d.document_id AND p.number IS NULL AND {RUNNING} OFFSET 0)
"""
EXPIRED_SOURCES = text(f"""
    SELECT {SPEC_COLUMNS}, {GENERATION_COLUMNS}
    FROM sources s JOIN collections c USING (collection_id)
    JOIN generations g ON g.collection_id = c.collection_id AND g.generation = c.live_generation
    WHERE (CAST(:collection AS text) IS NULL OR c.name = :collection)
      AND EXISTS (SELECT FROM documents d WHERE {_DUE.replace(":source_id", "s.source_id")} OFFSET 0)
    ORDER BY c.name, s.tenant_id, s.uri
""")
_CHUNKS = """
    (SELECT count(*) FROM versions v JOIN chunks k USING (version_id)
     WHERE v.document_id = d.document_id AND v.state = 'active')
"""
EXPIRED = text(f"""
    SELECT d.document_id, d.external_id, c.name AS collection, d.tenant_id AS tenant, d.expires_at AS expired_at,
           {_CHUNKS} AS chunks
    FROM (SELECT d.* FROM documents d
          WHERE {_DUE} AND (d.expires_at, d.document_id)
              > (coalesce(CAST(:since AS timestamptz), '-infinity'),
                 coalesce(CAST(:after AS uuid), '00000000-0000-0000-0000-000000000000'))
          ORDER BY d.expires_at, d.document_id LIMIT :limit) d
    JOIN collections c USING (collection_id) ORDER BY d.expires_at, d.document_id
""")
_TAKE = text(f"""
    UPDATE documents d SET purged_hash = (
        SELECT v.raw_hash FROM versions v WHERE v.document_id = d.document_id AND v.number IS NOT NULL
        ORDER BY v.activated_at DESC, v.number DESC LIMIT 1)
    WHERE d.document_id = ANY(CAST(:ids AS uuid[])) AND {_DUE} RETURNING d.document_id
""")
_RECORD = text(f"""
    INSERT INTO purged_documents (run_id, document_id, expired_at, chunks)
    SELECT :run_id, d.document_id, d.expires_at, {_CHUNKS} FROM documents d
    WHERE d.document_id = ANY(CAST(:ids AS uuid[])) ORDER BY d.document_id
""")
# The rows of the versions and their runs stay; the content of the versions is deleted.
BLANK = text("""
    UPDATE versions SET sealed_title = '', sealed_text = '', sealed_metadata = ''
    WHERE document_id = ANY(CAST(:ids AS uuid[]))
""")


class PostgresRetention(Transactions):
    """`sluice.ports.retention.RetentionRules`."""

    def assign(self, scope: RetentionScope, wanted: Retention | None) -> int:
        with self._transaction() as connection:
            if wanted is not None:
                wanted.check()
            ids = place_of(connection, scope)
            change = _SET_DOCUMENT if ids["document_id"] else _SET_SOURCE if ids["source_id"] else _SET_COLLECTION
            if ids["source_id"]:
                connection.execute(_LOCK_SOURCE, ids)
            change_retention(connection, ids["collection_id"])
            values = {"days": wanted and wanted.days, "until": wanted and wanted.until}
            connection.execute(change, {**values, **ids})
            return renew_expiry(connection, **ids)

    def assigned(self, collection: str | None = None) -> list[RetentionSetting]:
        with self._transaction() as connection:
            rows = connection.execute(_SETTINGS, {"collection": collection or ""})
            return [
                RetentionSetting(
                    scope=RetentionScope(
                        collection=row.collection,
                        tenant=row.tenant or "default",
                        source=row.source,
                        document_id=row.document_id,
                    ),
                    retention=Retention(days=row.retention_days, until=row.retain_until),
                )
                for row in rows
            ]

    def clock(self) -> datetime:
        now: datetime = self._value(_CLOCK)
        return now

    def expired_sources(self, as_of: datetime, collection: str | None = None) -> list[Source]:
        with self._transaction() as connection:
            rows = connection.execute(EXPIRED_SOURCES, {"as_of": as_of, "collection": collection})
            return [Source(source_id=row.source_id, spec=spec_of(row), generation=generation_of(row)) for row in rows]

    def expired(
        self, source: Source, as_of: datetime, after: ExpiredDocument | None, limit: int
    ) -> list[ExpiredDocument]:
        values: dict[str, Any] = {"source_id": source.source_id, "as_of": as_of, "limit": limit}
        values |= {"since": after and after.expired_at, "after": after and after.document_id}
        return [ExpiredDocument(**row._mapping) for row in self._rows(EXPIRED, values)]

    def purge(self, run: Run, document_ids: Sequence[UUID], as_of: datetime) -> list[UUID]:
        if not document_ids:
            return []
        with self._writing(run) as connection:
            alone(connection, run.source.source_id)
            keep_retention(connection, run.source.generation.collection_id)
            lock_documents(connection, document_ids)
            values = {"ids": list(document_ids), "source_id": run.source.source_id, "as_of": as_of}
            if taken := sorted(connection.execute(_TAKE, values).scalars()):
                connection.execute(_RECORD, {"run_id": run.run_id, "ids": taken})
                connection.execute(BLANK, {"ids": taken})
                retire(connection, run, taken)
            return taken


def place_of(connection: Connection, scope: RetentionScope) -> dict[str, Any]:
    """Returns the ids of the scope: `collection_id`, and `source_id` or `document_id` if the scope is one of these,
    else None. Raises NotFound."""
    find = _DOCUMENT if scope.document_id is not None else _SOURCE if scope.source else _COLLECTION
    values = {"collection": scope.collection, "tenant": scope.tenant, "source": scope.source}
    row = connection.execute(find, {**values, "document_id": scope.document_id}).one_or_none()
    if row is None:
        raise _missing(scope)
    return dict(row._mapping)


def _missing(scope: RetentionScope) -> NotFound:
    if scope.document_id is not None:
        return NotFound(f"There is no document {scope.document_id}. Nothing was changed.")
    if scope.source:
        return NotFound(
            f"Tenant {scope.tenant!r} has no source {scope.source} in collection {scope.collection!r}. Nothing was "
            "changed. Ingest the source first."
        )
    return NotFound(f"There is no collection {scope.collection!r}. Nothing was changed. An ingest creates it.")
