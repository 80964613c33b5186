"""Deletions by hand, and how many documents a change of access or retention would hide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import text

from sluice.adapters.postgres import retention
from sluice.adapters.postgres.collections import CHUNKS
from sluice.adapters.postgres.expiry import expiry, instead, keep_retention
from sluice.adapters.postgres.pending_versions import lock_documents
from sluice.adapters.postgres.scans import GONE
from sluice.adapters.postgres.sources import alone, no_document, saved_source, sources_of
from sluice.adapters.postgres.transactions import Transactions
from sluice.adapters.postgres.versions import retire
from sluice.model.deletion import Deletion
from sluice.model.generation import Generation
from sluice.model.grants import narrows
from sluice.model.retention import Retention, RetentionScope
from sluice.model.run import Counts, Run
from sluice.model.source import Source, SourceSpec

_THERE = "d.deleted_at IS NULL AND d.removed_at IS NULL"
DELETABLE = text("""
    SELECT d.document_id FROM documents d WHERE d.source_id = :source_id AND d.deleted_at IS NULL
    AND d.document_id > coalesce(CAST(:after AS uuid), '00000000-0000-0000-0000-000000000000')
    ORDER BY d.document_id LIMIT :limit
""")
_NAMES = text(f"""
    SELECT d.external_id FROM documents d WHERE d.source_id = :source_id AND {_THERE}
    AND d.document_id = ANY(CAST(:ids AS uuid[]))
""")
_STILL_GONE = text(f"""
    SELECT d.document_id FROM documents d WHERE d.document_id = ANY(CAST(:ids AS uuid[])) AND {GONE}
""")
# Documents deleted for good, by hand or at the source, and the placeholders of their renames.
KEYED_IN = text("""
    (SELECT d.document_id FROM documents d
     WHERE d.deleted_at IS NOT NULL AND d.key_destroyed_at IS NULL AND d.collection_id = :collection_id
       AND (CAST(:source_id AS uuid) IS NULL OR d.source_id = :source_id)
     ORDER BY d.deleted_at, d.document_id LIMIT :limit)
    UNION ALL
    (SELECT m.placeholder_id FROM moves m JOIN documents d USING (document_id)
     WHERE m.placeholder_id IS NOT NULL AND d.deleted_at IS NOT NULL AND d.collection_id = :collection_id
       AND (CAST(:source_id AS uuid) IS NULL OR d.source_id = :source_id) LIMIT :limit)
    LIMIT :limit
""")
_CHOSEN = "(CAST(:ids AS uuid[]) IS NULL OR d.document_id = ANY(CAST(:ids AS uuid[])))"
_HELD = text(f"""
    SELECT (SELECT count(*) FROM documents d WHERE d.source_id = :source_id AND {_THERE} AND {_CHOSEN}) AS documents,
           (SELECT count(*) FROM quarantine q JOIN documents d USING (document_id)
            WHERE q.source_id = :source_id AND q.resolved_at IS NULL AND {_CHOSEN}) AS quarantined,
           {CHUNKS}
    FROM documents d JOIN versions v ON v.document_id = d.document_id AND v.state = 'active'
    WHERE d.source_id = :source_id AND {_THERE} AND {_CHOSEN}
""")
_LAST_HASH = """
    SELECT v.raw_hash FROM versions v WHERE v.document_id = d.document_id AND v.number IS NOT NULL
    ORDER BY v.activated_at DESC, v.number DESC LIMIT 1
"""
# The source's content is that of the open quarantine record, else of the last served version. A document that was never
# read has no hash; the empty hash equals no other.
_TAKE_LISTED = text(f"""
    UPDATE documents d SET removed_at = now(), fingerprint = coalesce((
        SELECT q.fingerprint FROM quarantine q WHERE q.document_id = d.document_id AND q.resolved_at IS NULL),
        d.fingerprint), purged_hash = coalesce((
        SELECT q.raw_hash FROM quarantine q WHERE q.document_id = d.document_id AND q.resolved_at IS NULL),
        ({_LAST_HASH}), d.purged_hash, '')
    WHERE d.document_id = ANY(CAST(:ids AS uuid[])) AND d.source_id = :source_id AND {_THERE} RETURNING d.document_id
""")
_TAKE = text("""
    UPDATE documents d SET deleted_at = now(), deleted_by = :run_id
    WHERE d.document_id = ANY(CAST(:ids AS uuid[])) AND d.source_id = :source_id AND d.deleted_at IS NULL
    RETURNING d.document_id
""")
_RESTORE = text(f"""
    UPDATE documents d SET removed_at = NULL, fingerprint = NULL,
        purged_hash = CASE WHEN d.expires_at <= now() THEN ({_LAST_HASH}) END
    WHERE d.document_id = :document_id AND d.removed_at IS NOT NULL AND d.deleted_at IS NULL
""")
_RECORD = text("""
    INSERT INTO deletions (kind, name, actor, tenant, collection, documents, chunks)
    VALUES (:kind, :name, :actor, :tenant, :collection, :documents, :chunks)
""")
# Before the active versions are retired.
_RECORD_DOCUMENTS = text("""
    INSERT INTO deletions (kind, name, actor, tenant, collection, documents, chunks)
    SELECT 'document', CAST(d.document_id AS text), CAST(:actor AS text), d.tenant_id, c.name, 1,
           (SELECT count(*) FROM versions v JOIN chunks k USING (version_id)
            WHERE v.document_id = d.document_id AND v.state = 'active')
    FROM documents d JOIN collections c USING (collection_id)
    WHERE d.document_id = ANY(CAST(:ids AS uuid[])) ORDER BY d.document_id
""")
_READABLE = """
    d.deleted_at IS NULL AND d.purged_hash IS NULL AND (d.expires_at IS NULL OR d.expires_at > now())
    AND EXISTS (SELECT FROM versions v WHERE v.document_id = d.document_id AND v.state = 'active' OFFSET 0)
"""
_HIDDEN_OF_SOURCE = text(f"""
    SELECT count(*) FROM sources s JOIN collections c USING (collection_id)
    JOIN documents d ON d.tenant_id = s.tenant_id AND d.source_id = s.source_id
    WHERE s.tenant_id = :tenant AND c.name = :collection AND s.uri = :uri AND {_READABLE}
      AND (:narrowed AND d.access_groups IS NULL
           OR :days > 0 AND num_nonnulls(d.retention_days, d.retain_until) = 0
              AND d.served_since + make_interval(days => :days) <= now())
""")
_COLLECTIONS = "CAST(:source_id AS uuid) IS NULL AND CAST(:document_id AS uuid) IS NULL"
# With the new retention in place of the stored one, at the level (collection, source, document) that it is for.
HIDDEN_BY_RETENTION = text(f"""
    SELECT count(*)
    FROM (SELECT document_id, source_id, collection_id, deleted_at, purged_hash, expires_at, served_since,
                 {instead("document_id = :document_id")}
          FROM documents WHERE collection_id = :collection_id
            AND (CAST(:source_id AS uuid) IS NULL OR source_id = :source_id)
            AND (CAST(:document_id AS uuid) IS NULL OR document_id = :document_id)) d
    JOIN (SELECT source_id, {instead("source_id = :source_id")} FROM sources) s USING (source_id)
    JOIN (SELECT collection_id, {instead(_COLLECTIONS)} FROM collections) c USING (collection_id)
    WHERE {_READABLE} AND {expiry("d.served_since")} <= now()
""")


class PostgresDeletions(Transactions):
    """`sluice.ports.deletions.Deletions`."""

    def deletable(self, source: Source, after: UUID | None, limit: int) -> list[UUID]:
        values = {"source_id": source.source_id, "after": after, "limit": limit}
        return list(self._scalars(DELETABLE, values))

    def deleted(self, document_ids: Sequence[UUID]) -> set[UUID]:
        if not document_ids:
            return set()
        return set(self._scalars(_STILL_GONE, {"ids": list(document_ids)}))

    def names_of(self, source: Source, document_ids: Sequence[UUID]) -> list[str]:
        return list(self._scalars(_NAMES, {"source_id": source.source_id, "ids": list(document_ids)}))

    def remaining_keys(self, generation: Generation, source_id: UUID | None, limit: int) -> list[UUID]:
        with self._at_length() as connection:
            values = {"collection_id": generation.collection_id, "source_id": source_id, "limit": limit}
            return list(connection.execute(KEYED_IN, values).scalars())

    def held(self, source: Source, document_ids: Sequence[UUID] | None = None) -> Counts:
        ids = None if document_ids is None else list(document_ids)
        (row,) = self._rows(_HELD, {"source_id": source.source_id, "ids": ids})
        return Counts(**row._mapping)

    def delete(
        self, run: Run, document_ids: Sequence[UUID], *, still_listed: bool, actor: str | None = None
    ) -> list[UUID]:
        if not document_ids:
            return []
        with self._writing(run) as connection:
            alone(connection, run.source.source_id)
            keep_retention(connection, run.source.generation.collection_id)
            lock_documents(connection, document_ids)
            values = {"ids": list(document_ids), "source_id": run.source.source_id, "run_id": run.run_id}
            taken = sorted(connection.execute(_TAKE_LISTED if still_listed else _TAKE, values).scalars())
            if taken:
                if actor is not None:
                    connection.execute(_RECORD_DOCUMENTS, {"ids": taken, "actor": actor})
                connection.execute(retention.BLANK, {"ids": taken})
                retire(connection, run, taken)
            return taken

    def restore(self, document_id: UUID) -> Source:
        with self._transaction() as connection:
            if not connection.execute(_RESTORE, {"document_id": document_id}).rowcount:
                raise no_document(document_id)
            return sources_of(connection, [document_id])[document_id]

    def record(self, deletion: Deletion) -> None:
        self._execute(_RECORD, asdict(deletion))

    def hidden_by(self, spec: SourceSpec) -> int:
        with self._transaction() as connection:
            saved = saved_source(connection, spec.tenant, spec.collection, spec.uri)
            if saved is None:
                return 0
            wanted = spec.over(saved)
            shorter = wanted.retention_days if wanted.retention_days != saved.retention_days else None
            narrowed = narrows(saved.access_groups, wanted.access_groups)
            if not narrowed and not shorter:  # most runs
                return 0
            values: dict[str, Any] = {"tenant": spec.tenant, "collection": spec.collection, "uri": spec.uri}
            values |= {"narrowed": narrowed, "days": shorter or 0}
            return int(connection.execute(_HIDDEN_OF_SOURCE, values).scalar_one())

    def hidden_by_retention(self, scope: RetentionScope, wanted: Retention | None) -> int:
        with self._transaction() as connection:
            if wanted is not None:
                wanted.check()
            values = {
                **retention.place_of(connection, scope),
                "days": wanted and wanted.days,
                "until": wanted and wanted.until,
            }
            return int(connection.execute(HIDDEN_BY_RETENTION, values).scalar_one())
