"""Activation of versions and deletion of documents; removed chunks are queued in the outbox.

Chunk rows of a superseded version are deleted in the same transaction: hydration reads active versions only, and the
outbox has the ids that the projections still hold, so nothing needs the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, text

from sluice.adapters.postgres import entities, golden, quality, quotas, staging
from sluice.adapters.postgres.entities import IDS
from sluice.adapters.postgres.expiry import expiry, keep_retention
from sluice.adapters.postgres.leases import RUNNING
from sluice.adapters.postgres.pending_versions import (
    SCANNED_LATER,
    UNNUMBERED,
    current,
    drop,
    drop_pending,
    lock_documents,
    run_values,
    superseded_documents,
)
from sluice.adapters.postgres.sources import alone
from sluice.adapters.postgres.transactions import Transactions
from sluice.errors import Terminal
from sluice.model.points import EncryptedVersion
from sluice.model.run import Run
from sluice.model.scan import WorkItem

PENDING = text(f"""
    SELECT v.version_id, v.document_id, v.size_bytes, d.deleted_at IS NOT NULL AS deleted
    FROM unnest(CAST(:ids AS uuid[])) AS i (document_id)
    CROSS JOIN LATERAL ({UNNUMBERED}) v
    JOIN documents d ON d.document_id = i.document_id
    WHERE v.run_id = :run_id
""")
# Pending versions of this source that no run will activate: those of this run, and of runs whose lease has expired.
LEFTOVERS = text(f"""
    SELECT v.version_id, v.document_id
    FROM (SELECT run_id FROM runs r WHERE source_id = :source_id AND (run_id = :run_id OR NOT {RUNNING}) OFFSET 0) o
    CROSS JOIN LATERAL (SELECT version_id, document_id FROM versions
                        WHERE run_id = o.run_id AND state = 'pending' OFFSET 0) v
""")
LATER_SCAN = text(f"SELECT EXISTS ({SCANNED_LATER})")
SUPERSEDE = text(f"""
    UPDATE versions SET state = 'superseded'
    WHERE document_id = {IDS} AND generation = :generation AND state = 'active' RETURNING version_id
""")
_QUEUE = text("""
    INSERT INTO outbox (collection_id, generation, document_id, chunk_ids, document_gone)
    SELECT :collection_id, :generation, c.document_id, array_agg(c.chunk_id ORDER BY c.ordinal), false
    FROM chunks c
    WHERE c.version_id = ANY(CAST(:former AS uuid[]))
      AND NOT EXISTS (SELECT FROM chunks k
                      WHERE k.chunk_id = c.chunk_id AND k.version_id = ANY(CAST(:next AS uuid[])))
    GROUP BY c.document_id
""")
_DROP_CHUNKS = text("DELETE FROM chunks WHERE version_id = ANY(CAST(:former AS uuid[]))")
_ACTIVATE = text("""
    UPDATE versions v SET state = 'active', activated_at = now(), number = 1 + coalesce(
        (SELECT max(o.number) FROM versions o WHERE o.document_id = v.document_id AND o.generation = v.generation), 0)
    WHERE v.version_id = ANY(CAST(:next AS uuid[]))
""")
# Content that was served before (read again by a full run, or restored) keeps its first time of service: reading it
# again does not extend its retention.
_REMEMBER = text(f"""
    UPDATE documents d
    SET fingerprint = k.fingerprint, purged_hash = NULL, removed_at = NULL,
        served_since = k.since, expires_at = {expiry("k.since")}
    FROM (SELECT v.document_id, v.fingerprint,
                 CASE WHEN v.raw_hash = l.raw_hash THEN o.served_since ELSE now() END AS since
          FROM versions v JOIN documents o USING (document_id)
          LEFT JOIN LATERAL (SELECT raw_hash FROM versions
                             WHERE document_id = v.document_id AND number IS NOT NULL AND version_id <> v.version_id
                             ORDER BY activated_at DESC, number DESC LIMIT 1) l ON true
          WHERE v.version_id = ANY(CAST(:next AS uuid[]))) k,
         sources s, collections c
    WHERE d.document_id = k.document_id AND s.source_id = d.source_id AND c.collection_id = d.collection_id
""")
_RESOLVE = text(f"""
    UPDATE quarantine SET resolved_at = now() WHERE document_id = {IDS} AND resolved_at IS NULL
""")
_DELETE = text(f"""
    UPDATE documents SET deleted_at = now(), deleted_by = :run_id
    WHERE document_id = {IDS} AND source_id = :source_id AND deleted_at IS NULL RETURNING document_id
""")
# One row for each generation that has, or may have, chunks of the document.
_QUEUE_GONE = text(f"""
    INSERT INTO outbox (collection_id, generation, document_id, chunk_ids, document_gone)
    SELECT v.collection_id, v.generation, v.document_id,
           coalesce(array_agg(DISTINCT c.chunk_id) FILTER (WHERE c.chunk_id IS NOT NULL), '{{}}'), true
    FROM versions v LEFT JOIN chunks c USING (version_id)
    WHERE v.document_id = {IDS} AND v.state IN ('active', 'pending')
    GROUP BY v.collection_id, v.generation, v.document_id
""")
_HELD = text(f"SELECT version_id FROM versions WHERE document_id = {IDS} AND state <> 'superseded'")
_FORGET = text(f"DELETE FROM versions WHERE document_id = {IDS} AND state = 'pending'")
DELETED_BY = text("SELECT count(*) FROM documents WHERE deleted_by = :run_id")
_RETIRE = text(f"""
    UPDATE versions SET state = 'superseded' WHERE document_id = {IDS} AND state = 'active' RETURNING version_id
""")
_TOUCH = text("""
    UPDATE documents d SET fingerprint = t.fingerprint, uri = t.uri
    FROM unnest(CAST(:ids AS uuid[]), CAST(:fingerprints AS text[]), CAST(:uris AS text[]))
         AS t (document_id, fingerprint, uri)
    WHERE d.document_id = t.document_id AND d.source_id = :source_id AND d.deleted_at IS NULL
      AND (d.fingerprint, d.uri) IS DISTINCT FROM (t.fingerprint, t.uri)
""")


class PostgresVersions(Transactions):
    """`sluice.ports.versions.Versions`."""

    def superseded(self, run: Run, document_ids: Sequence[UUID]) -> set[UUID]:
        if not document_ids:
            return set()
        with self._transaction() as connection:
            return superseded_documents(connection, run, document_ids)

    def touch(self, run: Run, items: Sequence[WorkItem]) -> set[UUID]:
        """Also closes an open quarantine record: the source has the served content again."""
        if not items:
            return set()
        with self._writing(run) as connection:
            entry_of = {item.document_id: item.entry for item in items}
            by_id = {each: entry_of[each] for each in current(connection, run, list(entry_of))}
            values = {
                "source_id": run.source.source_id,
                "ids": list(by_id),
                "fingerprints": [entry.fingerprint for entry in by_id.values()],
                "uris": [entry.uri for entry in by_id.values()],
            }
            unmentioned = drop_pending(connection, run, list(by_id))
            connection.execute(_TOUCH, values)
            resolve(connection, list(by_id))
            entities.forget(connection, unmentioned)
            return entry_of.keys() - by_id.keys()

    def stage(self, run: Run, versions: Sequence[EncryptedVersion]) -> set[UUID]:
        if not versions:
            return set()
        with self._writing(run) as connection:
            return staging.stage(connection, run, versions)

    def activate(self, run: Run, document_ids: Sequence[UUID]) -> list[UUID]:
        if not document_ids:
            return []
        with self._writing(run) as connection:
            keep_retention(connection, run.source.generation.collection_id)
            wanted = set(current(connection, run, document_ids))
            rows = {row.document_id: row for row in connection.execute(PENDING, run_values(run, document_ids))}
            pending = [rows[document_id] for document_id in document_ids if document_id in rows]
            sizes = {
                row.document_id: row.size_bytes for row in pending if row.document_id in wanted and not row.deleted
            }
            beyond = quotas.beyond(connection, run, sizes, lock=True)
            dropped = [row.version_id for row in pending if row.document_id in beyond or row.document_id not in sizes]
            touched = drop(connection, dropped)
            activated = [row for row in pending if row.version_id not in set(dropped)]
            if activated:
                ids = [row.document_id for row in activated]
                values = {**run_values(run, ids), "next": [row.version_id for row in activated]}
                if previous := list(connection.execute(SUPERSEDE, values).scalars()):
                    touched += entities.mentioned(connection, previous)
                    connection.execute(_QUEUE, {**values, "former": previous})
                    connection.execute(_DROP_CHUNKS, {"former": previous})
                connection.execute(_ACTIVATE, values)
                connection.execute(_REMEMBER, values)
                resolve(connection, ids)
            entities.forget(connection, touched)
            return [row.document_id for row in pending if row.document_id in beyond]

    def remove(self, run: Run, document_ids: Sequence[UUID]) -> int:
        if not document_ids:
            return 0
        with self._writing(run) as connection:
            alone(connection, run.source.source_id)
            values = run_values(run, document_ids)
            if connection.execute(LATER_SCAN, values).scalar():
                raise Terminal("The run is superseded by a later run. Nothing was deleted. Trigger a new run.")
            keep_retention(connection, run.source.generation.collection_id)
            lock_documents(connection, document_ids)
            deleted = list(connection.execute(_DELETE, values).scalars())
            if deleted:
                retire(connection, run, deleted)
            return len(deleted)

    def deleted_by(self, run: Run) -> int:
        return int(self._value(DELETED_BY, {"run_id": run.run_id}))

    def drop_abandoned(self, run: Run) -> int:
        with self._writing(run) as connection:
            values = {"source_id": run.source.source_id, "run_id": run.run_id}
            if not (abandoned := connection.execute(LEFTOVERS, values).all()):
                return 0
            lock_documents(connection, [row.document_id for row in abandoned])
            # Read again: one of them may have been activated during the wait for the locks.
            version_ids = [row.version_id for row in connection.execute(LEFTOVERS, values)]
            entities.forget(connection, drop(connection, version_ids))
            return len(version_ids)


def retire(connection: Connection, run: Run, document_ids: Sequence[UUID]) -> None:
    """Stops serving the documents: deletes chunk rows, signatures, judgements and feedback, closes open quarantine
    records and queues the removal from the projections. Call it as the last step of a transaction that has locked the
    documents."""
    values = {"ids": list(document_ids)}
    touched = entities.mentioned(connection, list(connection.execute(_HELD, values).scalars()))
    connection.execute(_QUEUE_GONE, values)
    connection.execute(_FORGET, values)
    previous = list(connection.execute(_RETIRE, values).scalars())
    connection.execute(_DROP_CHUNKS, {"former": previous})
    connection.execute(quality.FORGET, values)
    for statement in golden.FORGET_DOCUMENTS:
        connection.execute(statement, values)
    resolve(connection, document_ids)
    entities.forget(connection, touched)


def resolve(connection: Connection, document_ids: Sequence[UUID]) -> None:
    """Closes the documents' open quarantine records."""
    connection.execute(_RESOLVE, {"ids": list(document_ids)})
