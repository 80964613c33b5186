"""Pending versions of documents, and which runs may still write them.

A run that writes documents first locks them with `current` and skips those that a later run has superseded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from sluice.adapters.postgres import entities
from sluice.adapters.postgres.entities import IDS
from sluice.adapters.postgres.leases import RUNNING
from sluice.model.run import Run

# Always in the order of ids and before any other lock, so that two runs never deadlock.
_LOCK = text(f"SELECT FROM documents WHERE document_id = {IDS} ORDER BY document_id FOR NO KEY UPDATE")
# By document and `number IS NULL`, which identifies pending versions: the index by run still has an entry for every
# version that was pending since the last vacuum.
UNNUMBERED = """
    SELECT * FROM versions WHERE document_id = i.document_id AND generation = :generation AND number IS NULL OFFSET 0
"""
PENDING_OF = text(f"""
    SELECT v.version_id FROM unnest(CAST(:ids AS uuid[])) AS i (document_id) CROSS JOIN LATERAL ({UNNUMBERED}) v
""")
# The chunk rows are deleted by cascade after this statement has read them.
DROP_PENDING = text(f"""
    WITH dropped AS (
        DELETE FROM versions WHERE version_id = {IDS} AND state = 'pending'
        RETURNING version_id, document_id, collection_id, generation)
    INSERT INTO outbox (collection_id, generation, document_id, chunk_ids, document_gone)
    SELECT o.collection_id, o.generation, o.document_id, array_agg(DISTINCT c.chunk_id),
           NOT EXISTS (SELECT FROM versions a WHERE a.document_id = o.document_id AND a.state = 'active')
    FROM dropped o JOIN chunks c USING (version_id)
    WHERE NOT EXISTS (
        SELECT FROM chunks k JOIN versions a USING (version_id)
        WHERE k.chunk_id = c.chunk_id AND a.document_id = o.document_id AND a.generation = o.generation
          AND a.state = 'active')
    GROUP BY o.collection_id, o.generation, o.document_id
""")
# Runs of one source are ordered by their start. A run that scans again also sees the changes of the runs in between.
_SCANNED = "coalesce((SELECT scanned_at FROM runs WHERE run_id = :run_id), '-infinity')"
_LATER = "r.source_id = :source_id AND r.started_at > :started_at"
SCANNED_LATER = f"SELECT FROM runs r WHERE {_LATER} AND r.scanned_at > {_SCANNED} OFFSET 0"
# Superseded: a later run has listed the source, has activated a version of the document, is about to do so (while its
# lease holds), or has purged the document; or somebody has deleted the document since. A replay lists nothing: its
# documents are superseded when their record is closed or belongs to a later run.
SUPERSEDED = text(f"""
    SELECT i.document_id FROM unnest(CAST(:ids AS uuid[])) AS i (document_id)
    WHERE (NOT :replay AND EXISTS ({SCANNED_LATER}))
       OR EXISTS (SELECT FROM versions v JOIN runs r USING (run_id)
                  WHERE v.document_id = i.document_id AND v.generation = :generation AND {_LATER}
                    AND (v.state = 'active' AND v.activated_at > {_SCANNED} OR v.state = 'pending' AND {RUNNING})
                  OFFSET 0)
       OR EXISTS (SELECT FROM documents d WHERE d.document_id = i.document_id
                    AND d.removed_at > coalesce((SELECT scanned_at FROM runs WHERE run_id = :run_id), :started_at)
                  OFFSET 0)
       OR EXISTS (SELECT FROM purged_documents p
                  WHERE p.run_id = ANY(ARRAY(SELECT r.run_id FROM runs r WHERE {_LATER} AND r.mode = 'purge'
                                             AND r.started_at > {_SCANNED}))
                    AND p.document_id = i.document_id OFFSET 0)
       OR (:replay
           AND NOT EXISTS (SELECT FROM quarantine q JOIN runs r USING (run_id)
                           WHERE q.document_id = i.document_id AND q.resolved_at IS NULL
                             AND r.started_at <= :started_at OFFSET 0)
           AND NOT EXISTS (SELECT FROM versions v WHERE v.document_id = i.document_id AND v.generation = :generation
                             AND v.state = 'active' AND v.run_id = :run_id OFFSET 0))
""")


def lock_documents(connection: Connection, document_ids: Sequence[UUID]) -> None:
    """Locks documents until the transaction ends."""
    connection.execute(_LOCK, {"ids": list(document_ids)})


def current(connection: Connection, run: Run, document_ids: Sequence[UUID]) -> list[UUID]:
    """Locks the documents and returns those that no later run of the same source has superseded."""
    lock_documents(connection, document_ids)
    newer = superseded_documents(connection, run, document_ids)
    return [each for each in document_ids if each not in newer]


def superseded_documents(connection: Connection, run: Run, document_ids: Sequence[UUID]) -> set[UUID]:
    """Returns those documents that a later run supersedes; see `Versions.superseded`."""
    return set(connection.execute(SUPERSEDED, run_values(run, document_ids)).scalars())


def drop_pending(connection: Connection, run: Run, document_ids: Sequence[UUID]) -> list[UUID]:
    """Deletes pending versions and queues the removal of their chunks from the projections, except chunks that are
    served. Returns the entities that they mentioned; pass these to `entities.forget`."""
    return drop(connection, list(connection.execute(PENDING_OF, run_values(run, document_ids)).scalars()))


def drop(connection: Connection, version_ids: Sequence[UUID]) -> list[UUID]:
    """Deletes pending versions by id; otherwise as `drop_pending`."""
    if not version_ids:
        return []
    mentioned = entities.mentioned(connection, version_ids)
    connection.execute(DROP_PENDING, {"ids": list(version_ids)})
    return mentioned


def run_values(run: Run, document_ids: Sequence[UUID]) -> dict[str, Any]:
    """Returns the values of a run and of documents for the parameters of a statement."""
    generation = run.source.generation
    return {
        "ids": list(document_ids),
        "collection_id": generation.collection_id,
        "generation": generation.number,
        "run_id": run.run_id,
        "source_id": run.source.source_id,
        "started_at": run.started_at,
        "replay": run.mode == "replay",
    }
