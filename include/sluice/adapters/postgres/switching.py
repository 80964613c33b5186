"""The switch from one version to the next, and the end of documents; what goes is queued in the outbox.

Chunk rows of a superseded version are deleted in the same transaction: hydration asks for active versions only, and
the outbox knows the ids that the projections still hold, so nothing needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from sluice.adapters.postgres import entities, gates, quotas
from sluice.adapters.postgres.expiry import expiry, keep_retention
from sluice.adapters.postgres.rules import superseded
from sluice.adapters.postgres.runs import RUNNING
from sluice.adapters.postgres.sources import alone, changed
from sluice.model.run import Run

_IDS = "ANY(CAST(:ids AS uuid[]))"
# Always in the order of ids and before anything else, so that two runs never wait for each other in a circle.
_LOCK = text(f"SELECT FROM documents WHERE document_id = {_IDS} ORDER BY document_id FOR NO KEY UPDATE")
# By document and `number IS NULL`, which is what pending versions are: the index by run still holds an entry for every
# version that was pending since the last vacuum.
_UNNUMBERED = """
    SELECT * FROM versions WHERE document_id = i.document_id AND generation = :generation AND number IS NULL OFFSET 0
"""
PENDING_OF = text(f"""
    SELECT v.version_id FROM unnest(CAST(:ids AS uuid[])) AS i (document_id) CROSS JOIN LATERAL ({_UNNUMBERED}) v
""")  # noqa: S608
PENDING = text(f"""
    SELECT v.version_id, v.document_id, v.size_bytes, d.deleted_at IS NOT NULL AS gone
    FROM unnest(CAST(:ids AS uuid[])) AS i (document_id)
    CROSS JOIN LATERAL ({_UNNUMBERED}) v
    JOIN documents d ON d.document_id = i.document_id
    WHERE v.run_id = :run_id
""")  # noqa: S608
# Of this source: what its own run will not come back to, and what no living run will.
LEFTOVERS = text(f"""
    SELECT v.version_id, v.document_id
    FROM (SELECT run_id FROM runs r WHERE source_id = :source_id AND (run_id = :run_id OR NOT {RUNNING}) OFFSET 0) o
    CROSS JOIN LATERAL (SELECT version_id, document_id FROM versions
                        WHERE run_id = o.run_id AND state = 'pending' OFFSET 0) v
""")  # noqa: S608
# The chunk rows go by cascade after this statement has read them.
DROP_PENDING = text(f"""
    WITH dropped AS (
        DELETE FROM versions WHERE version_id = {_IDS} AND state = 'pending'
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
""")  # noqa: S608
# Runs of one source are ordered by their start; one that scans again knows what the runs between had seen.
_SCANNED = "coalesce((SELECT scanned_at FROM runs WHERE run_id = :run_id), '-infinity')"
_LATER = "r.source_id = :source_id AND r.started_at > :started_at"
_SCANNED_LATER = f"SELECT FROM runs r WHERE {_LATER} AND r.scanned_at > {_SCANNED} OFFSET 0"
# A later run has listed the source, has made a version of the document active, is about to (while it lives), or has
# purged it; or somebody has deleted it since. A replay lists nothing: what it works on is superseded when its record is
# closed or is a later run's.
SUPERSEDED = text(f"""
    SELECT i.document_id FROM unnest(CAST(:ids AS uuid[])) AS i (document_id)
    WHERE (NOT :replay AND EXISTS ({_SCANNED_LATER}))
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
""")  # noqa: S608
LATER_SCAN = text(f"SELECT EXISTS ({_SCANNED_LATER})")
SUPERSEDE = text(f"""
    UPDATE versions SET state = 'superseded'
    WHERE document_id = {_IDS} AND generation = :generation AND state = 'active' RETURNING version_id
""")  # noqa: S608
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
# Content that was served before (read again by a full run, or come back) keeps its first moment: reading it once more
# does not make it live longer.
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
""")  # noqa: S608
_RESOLVE = text(f"""
    UPDATE quarantine SET resolved_at = now() WHERE document_id = {_IDS} AND resolved_at IS NULL
""")  # noqa: S608
_DELETE = text(f"""
    UPDATE documents SET deleted_at = now(), deleted_by = :run_id
    WHERE document_id = {_IDS} AND source_id = :source_id AND deleted_at IS NULL RETURNING document_id
""")  # noqa: S608
# One row for each generation that holds, or may hold, something of the document.
_QUEUE_GONE = text(f"""
    INSERT INTO outbox (collection_id, generation, document_id, chunk_ids, document_gone)
    SELECT v.collection_id, v.generation, v.document_id,
           coalesce(array_agg(DISTINCT c.chunk_id) FILTER (WHERE c.chunk_id IS NOT NULL), '{{}}'), true
    FROM versions v LEFT JOIN chunks c USING (version_id)
    WHERE v.document_id = {_IDS} AND v.state IN ('active', 'pending')
    GROUP BY v.collection_id, v.generation, v.document_id
""")  # noqa: S608
_HELD = text(f"SELECT version_id FROM versions WHERE document_id = {_IDS} AND state <> 'superseded'")  # noqa: S608
_FORGET = text(f"DELETE FROM versions WHERE document_id = {_IDS} AND state = 'pending'")  # noqa: S608
DELETED_BY = text("SELECT count(*) FROM documents WHERE deleted_by = :run_id")
_RETIRE = text(f"""
    UPDATE versions SET state = 'superseded' WHERE document_id = {_IDS} AND state = 'active' RETURNING version_id
""")  # noqa: S608


def lock_documents(connection: Connection, document_ids: Sequence[UUID]) -> None:
    connection.execute(_LOCK, {"ids": list(document_ids)})


def current(connection: Connection, run: Run, document_ids: Sequence[UUID]) -> list[UUID]:
    """Locks the documents; those of which a later run of the same source knows more are left out."""
    lock_documents(connection, document_ids)
    newer = superseded_documents(connection, run, document_ids)
    return [each for each in document_ids if each not in newer]


def superseded_documents(connection: Connection, run: Run, document_ids: Sequence[UUID]) -> set[UUID]:
    return set(connection.execute(SUPERSEDED, _values(run, document_ids)).scalars())


def drop_pending(connection: Connection, run: Run, document_ids: Sequence[UUID]) -> list[UUID]:
    """Forget what was staged and never activated; its chunks leave the projections unless they are served. Returns
    the entities that were mentioned there: to be given to `entities.forget` at the end."""
    return _drop(connection, list(connection.execute(PENDING_OF, _values(run, document_ids)).scalars()))


def _drop(connection: Connection, version_ids: Sequence[UUID]) -> list[UUID]:
    if not version_ids:
        return []
    mentioned = entities.mentioned(connection, version_ids)
    connection.execute(DROP_PENDING, {"ids": list(version_ids)})
    return mentioned


def drop_leftovers(connection: Connection, run: Run) -> int:
    values = {"source_id": run.source.source_id, "run_id": run.run_id}
    if not (found := connection.execute(LEFTOVERS, values).all()):
        return 0
    lock_documents(connection, [row.document_id for row in found])
    # Asked again: while this waited for the locks, one of them may have become active.
    version_ids = [row.version_id for row in connection.execute(LEFTOVERS, values)]
    entities.forget(connection, _drop(connection, version_ids))
    return len(version_ids)


def activate(connection: Connection, run: Run, document_ids: Sequence[UUID]) -> list[UUID]:
    keep_retention(connection, run.source.generation.collection_id)
    wanted = set(current(connection, run, document_ids))
    found = {row.document_id: row for row in connection.execute(PENDING, _values(run, document_ids))}
    pending = [found[each] for each in document_ids if each in found]
    sizes = {row.document_id: row.size_bytes for row in pending if row.document_id in wanted and not row.gone}
    refused = quotas.beyond(connection, run, sizes, lock=True)
    dropped = [row.version_id for row in pending if row.document_id in refused or row.document_id not in sizes]
    touched = _drop(connection, dropped)
    kept = [row for row in pending if row.version_id not in set(dropped)]
    if kept:
        ids = [row.document_id for row in kept]
        values = {**_values(run, ids), "next": [row.version_id for row in kept]}
        if former := list(connection.execute(SUPERSEDE, values).scalars()):
            touched += entities.mentioned(connection, former)
            connection.execute(_QUEUE, {**values, "former": former})
            connection.execute(_DROP_CHUNKS, {"former": former})
        connection.execute(_ACTIVATE, values)
        connection.execute(_REMEMBER, values)
        resolve(connection, ids)
        changed(connection, run.source.generation.collection_id)
    entities.forget(connection, touched)
    return [row.document_id for row in pending if row.document_id in refused]


def remove_documents(connection: Connection, run: Run, document_ids: Sequence[UUID]) -> int:
    alone(connection, run.source.source_id)
    values = _values(run, document_ids)
    if connection.execute(LATER_SCAN, values).scalar():
        raise superseded()
    keep_retention(connection, run.source.generation.collection_id)
    lock_documents(connection, document_ids)
    deleted = list(connection.execute(_DELETE, values).scalars())
    if deleted:
        retire(connection, run, deleted)
    return len(deleted)


def retire(connection: Connection, run: Run, document_ids: Sequence[UUID]) -> None:
    """Nothing of these is served any more: chunk rows, signatures and open records go, and what the projections hold is
    queued. To be the last step of a transaction that has locked them."""
    values = {"ids": list(document_ids)}
    touched = entities.mentioned(connection, list(connection.execute(_HELD, values).scalars()))
    connection.execute(_QUEUE_GONE, values)
    connection.execute(_FORGET, values)
    former = list(connection.execute(_RETIRE, values).scalars())
    connection.execute(_DROP_CHUNKS, {"former": former})
    connection.execute(gates.FORGET, values)
    resolve(connection, document_ids)
    changed(connection, run.source.generation.collection_id)
    entities.forget(connection, touched)


def deleted_by(connection: Connection, run: Run) -> int:
    return int(connection.execute(DELETED_BY, {"run_id": run.run_id}).scalar_one())


def resolve(connection: Connection, document_ids: Sequence[UUID]) -> None:
    """Close open quarantine records."""
    connection.execute(_RESOLVE, {"ids": list(document_ids)})


def _values(run: Run, document_ids: Sequence[UUID]) -> dict[str, Any]:
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
