"""Quarantine on PostgreSQL: documents that failed a stage or a gate."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text

from sluice.adapters.postgres import entities
from sluice.adapters.postgres.pending_versions import current, drop_pending
from sluice.adapters.postgres.scans import work_item
from sluice.adapters.postgres.transactions import Transactions
from sluice.model.quarantine import QuarantineEntry
from sluice.model.run import Run
from sluice.model.scan import WorkItem
from sluice.model.text import storable

_QUARANTINE = text("""
    INSERT INTO quarantine (document_id, source_id, tenant_id, run_id, stage, code, reason, fingerprint, kept_bytes,
                            raw_hash)
    SELECT d.document_id, d.source_id, d.tenant_id, :run_id, f.stage, f.code, f.reason, f.fingerprint, f.kept_bytes,
           f.raw_hash
    FROM unnest(CAST(:ids AS uuid[]), CAST(:stages AS text[]), CAST(:codes AS text[]), CAST(:reasons AS text[]),
                CAST(:fingerprints AS text[]), CAST(:kept_bytes AS bigint[]), CAST(:raw_hashes AS bytea[]))
         AS f (document_id, stage, code, reason, fingerprint, kept_bytes, raw_hash)
    JOIN documents d ON d.document_id = f.document_id AND d.source_id = :source_id AND d.deleted_at IS NULL
    ON CONFLICT (document_id) WHERE resolved_at IS NULL DO UPDATE
    SET run_id = excluded.run_id, stage = excluded.stage, code = excluded.code, reason = excluded.reason,
        fingerprint = excluded.fingerprint, created_at = excluded.created_at, kept_bytes = excluded.kept_bytes,
        raw_hash = excluded.raw_hash
    WHERE (quarantine.run_id, quarantine.stage, quarantine.code, quarantine.reason, quarantine.fingerprint,
           quarantine.kept_bytes, quarantine.raw_hash)
       IS DISTINCT FROM (excluded.run_id, excluded.stage, excluded.code, excluded.reason, excluded.fingerprint,
           excluded.kept_bytes, excluded.raw_hash)
""")
_REMEMBER = text("""
    UPDATE documents d SET fingerprint = f.fingerprint
    FROM unnest(CAST(:ids AS uuid[]), CAST(:remembered AS text[])) AS f (document_id, fingerprint)
    WHERE d.document_id = f.document_id AND d.source_id = :source_id AND d.deleted_at IS NULL
      AND d.fingerprint IS DISTINCT FROM f.fingerprint
""")
ITEMS = text("""
    SELECT d.document_id, d.external_id, d.uri, q.fingerprint, q.kept_bytes AS size_bytes,
           NOT EXISTS (SELECT FROM versions v WHERE v.document_id = d.document_id AND v.number IS NOT NULL OFFSET 0)
           AS new
    FROM (SELECT * FROM quarantine WHERE source_id = :source_id AND resolved_at IS NULL AND kept_bytes IS NOT NULL
          OFFSET 0) q
    CROSS JOIN LATERAL (SELECT * FROM documents WHERE document_id = q.document_id OFFSET 0) d
    WHERE d.deleted_at IS NULL AND (CAST(:ids AS uuid[]) IS NULL OR d.document_id = ANY(CAST(:ids AS uuid[])))
    ORDER BY d.document_id
""")
RESOLVED_WITH_BYTES = text("""
    SELECT DISTINCT q.document_id FROM quarantine q
    WHERE q.source_id = :source_id AND q.resolved_at IS NOT NULL AND q.kept_bytes IS NOT NULL
      AND NOT EXISTS (SELECT FROM quarantine o WHERE o.document_id = q.document_id AND o.resolved_at IS NULL
                      AND o.kept_bytes IS NOT NULL OFFSET 0)
    ORDER BY q.document_id LIMIT :limit
""")
_RETAINED_DELETED = text("""
    UPDATE quarantine SET kept_bytes = NULL
    WHERE document_id = ANY(CAST(:ids AS uuid[])) AND resolved_at IS NOT NULL AND kept_bytes IS NOT NULL
""")
REASONS_OF_SOURCE = text("""
    SELECT code, count(*) AS documents FROM quarantine
    WHERE source_id = :source_id AND resolved_at IS NULL GROUP BY code ORDER BY code
""")


class PostgresQuarantine(Transactions):
    """`sluice.ports.quarantine.QuarantineRecords`."""

    def add(self, run: Run, failures: Sequence[QuarantineEntry]) -> set[UUID]:
        """Also deletes versions of the same documents that an earlier, interrupted run staged."""
        if not failures:
            return set()
        with self._writing(run) as connection:
            by_document = {failure.item.document_id: failure for failure in failures}
            by_id = {each: by_document[each] for each in current(connection, run, list(by_document))}
            values = {
                "run_id": run.run_id,
                "source_id": run.source.source_id,
                "ids": list(by_id),
                "stages": [failure.stage for failure in by_id.values()],
                "codes": [failure.code for failure in by_id.values()],
                "reasons": [storable(failure.reason) for failure in by_id.values()],
                "fingerprints": [failure.item.entry.fingerprint for failure in by_id.values()],
                "kept_bytes": [failure.retained_bytes for failure in by_id.values()],
                "raw_hashes": [failure.raw_hash for failure in by_id.values()],
                # Without a stored fingerprint the next scan treats it as changed, and it is tried again.
                "remembered": [None if failure.retry else failure.item.entry.fingerprint for failure in by_id.values()],
            }
            unmentioned = drop_pending(connection, run, list(by_id))
            connection.execute(_QUARANTINE, values)
            connection.execute(_REMEMBER, values)
            entities.forget(connection, unmentioned)
            return by_document.keys() - by_id.keys()

    def items(self, run: Run, document_ids: Sequence[UUID] | None = None) -> list[WorkItem]:
        ids = None if document_ids is None else list(document_ids)
        return [work_item(row) for row in self._rows(ITEMS, {"source_id": run.source.source_id, "ids": ids})]

    def resolved(self, source_id: UUID, limit: int) -> list[UUID]:
        return list(self._scalars(RESOLVED_WITH_BYTES, {"source_id": source_id, "limit": limit}))

    def delete_retained(self, document_ids: Sequence[UUID]) -> None:
        if document_ids:
            self._execute(_RETAINED_DELETED, {"ids": list(document_ids)})

    def reasons(self, run: Run) -> dict[str, int]:
        rows = self._rows(REASONS_OF_SOURCE, {"source_id": run.source.source_id})
        return {row.code: row.documents for row in rows}
