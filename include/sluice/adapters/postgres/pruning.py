"""Pruning of ledger rows that are no longer needed. Each kind has one set of statements, safe to repeat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from sluice.adapters.postgres.golden import FORGET, LOCK_QUESTIONS, UNUSED
from sluice.adapters.postgres.quality import BY_INDEX
from sluice.adapters.postgres.transactions import Transactions
from sluice.model.retention import Prunable

# Superseded before `:before`: by then a later version was active, or the document was deleted.
_VERSIONS = """
    SELECT v.version_id FROM versions v JOIN documents d USING (document_id)
    WHERE v.state = 'superseded' AND v.sealed_text <> '' AND v.activated_at < :before
      AND (d.deleted_at < :before
           OR EXISTS (SELECT FROM versions n WHERE n.document_id = v.document_id AND n.generation = v.generation
                        AND n.number > v.number AND n.activated_at < :before OFFSET 0))
"""
_QUARANTINE = "SELECT quarantine_id FROM quarantine WHERE resolved_at < :before AND kept_bytes IS NULL"
_PARTS = ("run_stages", "gate_results", "gate_rows", "run_costs", "vanished")
_HAS_PARTS = " OR ".join(f"EXISTS (SELECT FROM {table} t WHERE t.run_id = r.run_id OFFSET 0)" for table in _PARTS)
# Rows that refer to a run: it created a version, or quarantined, renamed, deleted or purged a document.
_REFERRED = " OR ".join(
    f"EXISTS (SELECT FROM {table} t WHERE t.{column} = r.run_id OFFSET 0)"
    for table, column in (
        ("versions", "run_id"),
        ("quarantine", "run_id"),
        ("moves", "run_id"),
        ("documents", "deleted_by"),
        ("purged_documents", "run_id"),
        ("signatures", "run_id"),
        ("claims", "run_id"),
    )
)
# Only if a later run has succeeded: it has the state of the source, and shows older runs that they are superseded.
# A run whose versions are served is kept whole: it is part of the lineage of their answers.
_RUNS = f"""
    SELECT r.run_id FROM runs r
    WHERE r.state <> 'running' AND r.finished_at < :before
      AND EXISTS (SELECT FROM runs n WHERE n.source_id = r.source_id AND n.started_at > r.started_at
                    AND n.state = 'succeeded' AND n.scanned_at IS NOT NULL OFFSET 0)
      AND NOT EXISTS (SELECT FROM claims t WHERE t.run_id = r.run_id OFFSET 0)
      AND NOT EXISTS (SELECT FROM versions t WHERE t.run_id = r.run_id AND t.state = 'active' OFFSET 0)
      AND ({_HAS_PARTS} OR NOT ({_REFERRED}))
"""
# The latest reconciliation of each collection stays: it shows whether the stores agree.
_RECONCILIATIONS = """
    SELECT reconciliation_id FROM reconciliations r
    WHERE r.finished_at < :before
      AND EXISTS (SELECT FROM reconciliations n WHERE n.collection_id = r.collection_id
                    AND n.finished_at > r.finished_at)
"""
# The latest of each golden set and embedder stays, and the one that the next evaluation is compared with.
_LATER = """
    SELECT FROM evaluations n
    WHERE n.collection_id = e.collection_id AND n.tenant_id = e.tenant_id AND n.golden_set = e.golden_set
      AND n.embedder = e.embedder AND n.evaluation_id > e.evaluation_id
"""
_PASSED = "coalesce({0}.comparison->>'result', 'passed') = 'passed'"
_EVALUATIONS = f"""
    SELECT e.evaluation_id FROM evaluations e
    WHERE e.evaluated_at < :before AND EXISTS ({_LATER})
      AND (NOT {_PASSED.format("e")} OR EXISTS ({_LATER} AND n.top_k = e.top_k AND {_PASSED.format("n")}))
"""
# In the order of the key the oldest come first, so reading the first rows is enough.
LINEAGE = text("""
    DELETE FROM lineage_events WHERE event_id IN (
        SELECT event_id FROM (SELECT event_id, recorded_at FROM lineage_events ORDER BY event_id LIMIT :limit) oldest
        WHERE recorded_at < :before)
""")
_USED = """
    SELECT FROM chunks c JOIN generations g USING (collection_id, generation)
    WHERE c.text_hash = e.text_hash AND g.embedder = e.embedder
"""
_EMBEDDINGS = f"SELECT e.embedder, e.text_hash FROM unused_embeddings e WHERE since < :before AND NOT EXISTS ({_USED})"
_FIND = {
    "versions": _VERSIONS,
    "embeddings": _EMBEDDINGS,
    "runs": _RUNS,
    "reconciliations": _RECONCILIATIONS,
    "quarantine": _QUARANTINE,
    "lineage": "SELECT event_id FROM lineage_events WHERE recorded_at < :before",
    "evaluations": _EVALUATIONS,
    "feedback": "SELECT feedback_id FROM feedback WHERE given_at < :before",
}
COUNT = {kind: text(f"SELECT count(*) FROM ({query}) f") for kind, query in _FIND.items()}
# Rows that another transaction has locked are left to the next call.
VERSIONS = text(f"""
    UPDATE versions SET sealed_title = '', sealed_text = '', sealed_metadata = ''
    WHERE version_id IN ({_VERSIONS} LIMIT :limit FOR UPDATE OF v SKIP LOCKED)
""")
QUARANTINE = text(f"""
    DELETE FROM quarantine WHERE quarantine_id IN ({_QUARANTINE} LIMIT :limit FOR UPDATE SKIP LOCKED)
""")
_RECONCILED = text(f"DELETE FROM reconciliations WHERE reconciliation_id IN ({_RECONCILIATIONS} LIMIT :limit)")
_TAKE_EVALUATIONS = text(f"{_EVALUATIONS} ORDER BY e.evaluation_id LIMIT :limit FOR UPDATE OF e SKIP LOCKED")
_DROP_EVALUATIONS = tuple(
    text(f"DELETE FROM {table} WHERE evaluation_id = ANY(CAST(:ids AS uuid[]))")
    for table in ("evaluation_scores", "evaluations")
)
_FEEDBACK = text("""
    DELETE FROM feedback WHERE feedback_id IN (
        SELECT feedback_id FROM feedback WHERE given_at < :before LIMIT :limit FOR UPDATE SKIP LOCKED)
""")
_MARK = text(f"""
    INSERT INTO unused_embeddings (embedder, text_hash)
    SELECT e.embedder, e.text_hash FROM embeddings e WHERE NOT EXISTS ({_USED}) ON CONFLICT DO NOTHING
""")
_UNMARK = text(f"DELETE FROM unused_embeddings e WHERE EXISTS ({_USED})")
# `mark_unused` has just removed the marks of used vectors. Marks are deleted by cascade.
EMBEDDINGS = text("""
    DELETE FROM embeddings WHERE (embedder, text_hash) IN (
        SELECT embedder, text_hash FROM unused_embeddings WHERE since < :before LIMIT :limit)
""")
TAKE_RUNS = text(f"{_RUNS} ORDER BY r.run_id LIMIT :limit FOR UPDATE OF r SKIP LOCKED")
_DROP_PARTS = tuple(text(f"DELETE FROM {table} WHERE run_id = ANY(CAST(:ids AS uuid[]))") for table in _PARTS)
DROP_RUNS = text(f"DELETE FROM runs r WHERE run_id = ANY(CAST(:ids AS uuid[])) AND NOT ({_REFERRED})")
# Keys that no stored content needs any more, also of questions. The artefacts of a run also contain content of
# placeholders, encrypted with the placeholder's own key.
KEYED = text(f"""
    (SELECT d.document_id FROM documents d
     WHERE d.deleted_at < :before AND d.key_destroyed_at IS NULL
       AND NOT EXISTS (SELECT FROM versions v WHERE v.document_id = d.document_id AND v.sealed_text <> '' OFFSET 0)
       AND NOT EXISTS (SELECT FROM quarantine q WHERE q.document_id = d.document_id AND q.kept_bytes IS NOT NULL)
     ORDER BY d.deleted_at, d.document_id LIMIT :limit)
    UNION ALL
    (SELECT m.placeholder_id FROM moves m JOIN runs r USING (run_id)
     WHERE m.placeholder_id IS NOT NULL AND m.moved_at < :before AND r.finished_at < :before LIMIT :limit)
    UNION ALL
    (SELECT x.question_id FROM questions x WHERE x.used_at < :before AND {UNUSED} LIMIT :limit)
    LIMIT :limit
""")
_IN_USE = text(f"SELECT question_id FROM questions x WHERE question_id = ANY(CAST(:ids AS uuid[])) AND NOT ({UNUSED})")
_DESTROYED = text("""
    UPDATE documents SET key_destroyed_at = now()
    WHERE document_id = ANY(CAST(:ids AS uuid[])) AND key_destroyed_at IS NULL
""")
_FORGOTTEN = text("UPDATE moves SET placeholder_id = NULL WHERE placeholder_id = ANY(CAST(:ids AS uuid[]))")


_PRUNE = {
    "versions": VERSIONS,
    "embeddings": EMBEDDINGS,
    "reconciliations": _RECONCILED,
    "quarantine": QUARANTINE,
    "lineage": LINEAGE,
    "feedback": _FEEDBACK,
}


class PostgresPruning(Transactions):
    """`sluice.ports.pruning.Pruning`."""

    def prunable(self, kind: Prunable, before: datetime) -> int:
        with self._at_length() as connection:
            return int(connection.execute(COUNT[kind], {"before": before}).scalar_one())

    def prune(self, kind: Prunable, before: datetime, limit: int) -> int:
        values = {"before": before, "limit": limit}
        with self._at_length() as connection:
            if kind == "runs":
                return _prune_runs(connection, values)
            if kind == "evaluations":
                return _prune_evaluations(connection, values)
            return connection.execute(_PRUNE[kind], values).rowcount

    def mark_unused(self) -> None:
        with self._at_length() as connection:
            connection.execute(_UNMARK)
            connection.execute(_MARK)

    def keyed(self, before: datetime, limit: int) -> list[UUID]:
        with self._at_length() as connection:
            return list(connection.execute(KEYED, {"before": before, "limit": limit}).scalars())

    def key_destroyed(self, document_ids: Sequence[UUID]) -> None:
        if document_ids:
            with self._transaction() as connection:
                _destroyed(connection, document_ids)

    def destroy_keys(self, before: datetime, limit: int, destroy: Callable[[Sequence[UUID]], object]) -> int:
        with self._at_length() as connection:
            found = list(connection.execute(KEYED, {"before": before, "limit": limit}).scalars())
            if not found:
                return 0
            connection.execute(LOCK_QUESTIONS, {"ids": found})
            again = set(connection.execute(_IN_USE, {"ids": found}).scalars())  # since they were found
            ids = [each for each in found if each not in again]
            destroy(ids)  # before the rows, so that a repetition after a crash still finds them
            _destroyed(connection, ids)
            return len(found)


def _destroyed(connection: Connection, ids: Sequence[UUID]) -> None:
    for statement in (_DESTROYED, _FORGOTTEN, FORGET):
        connection.execute(statement, {"ids": list(ids)})


def _prune_runs(connection: Connection, values: Mapping[str, object]) -> int:
    # The planner expects a match among the first rows; for a run without one it would read the whole table.
    connection.execute(BY_INDEX)
    ids = list(connection.execute(TAKE_RUNS, values).scalars())
    if ids:
        for statement in (*_DROP_PARTS, DROP_RUNS):
            connection.execute(statement, {"ids": ids})
    return len(ids)


def _prune_evaluations(connection: Connection, values: Mapping[str, object]) -> int:
    ids = list(connection.execute(_TAKE_EVALUATIONS, values).scalars())
    for statement in _DROP_EVALUATIONS if ids else ():
        connection.execute(statement, {"ids": ids})
    return len(ids)
