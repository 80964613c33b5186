"""Renames: a document that vanished under one name and appeared under another keeps its id and its history.

The scan registers a document of its own (the placeholder) for each new name. If a placeholder matches a document that
the same scan did not list, that document takes over the new name and the placeholder is deleted. Nothing is ever served
under a placeholder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

from sluice.adapters.postgres.expiry import keep_retention
from sluice.adapters.postgres.pending_versions import lock_documents, superseded_documents
from sluice.adapters.postgres.sources import alone
from sluice.adapters.postgres.transactions import Transactions
from sluice.model.run import Run
from sluice.model.scan import paired

_KEEP = text("""
    INSERT INTO vanished (run_id, document_id) SELECT :run_id, unnest(CAST(:ids AS uuid[])) ON CONFLICT DO NOTHING
""")
_FORGET = text("DELETE FROM vanished WHERE run_id = :run_id")
# The documents that an earlier run missed may be back. A cleared task of that run must not use its old list.
_FORGET_ALL = text("DELETE FROM vanished v USING runs r WHERE r.source_id = :source_id AND v.run_id = r.run_id")
_VANISHED = text("""
    SELECT v.document_id FROM vanished v JOIN documents d USING (document_id)
    WHERE v.run_id = :run_id AND d.deleted_at IS NULL ORDER BY v.document_id
""")
_KNOWN = text("""
    SELECT placeholder_id, document_id FROM moves
    WHERE run_id = :run_id AND placeholder_id = ANY(CAST(:ids AS uuid[]))
""")
_FREE = """
    SELECT n.document_id, v.version_id, v.raw_hash, d.external_id
    FROM vanished n
    JOIN documents d ON d.document_id = n.document_id AND d.deleted_at IS NULL
    JOIN versions v ON v.document_id = n.document_id AND v.generation = :generation AND v.state = 'active'
    WHERE n.run_id = :run_id
"""
# A purged document has no version; it is matched by its stored hash, so a new name does not bring expired content back.
SAME_CONTENT = text(f"""
    SELECT w.placeholder_id, f.document_id, f.external_id AS previous, 1.0 AS score
    FROM unnest(CAST(:ids AS uuid[]), CAST(:hashes AS bytea[])) AS w (placeholder_id, raw_hash)
    JOIN (SELECT document_id, raw_hash, external_id FROM ({_FREE}) a
          UNION ALL
          SELECT d.document_id, d.purged_hash, d.external_id FROM vanished n JOIN documents d USING (document_id)
          WHERE n.run_id = :run_id AND d.deleted_at IS NULL AND d.purged_hash IS NOT NULL) f
      ON f.raw_hash = w.raw_hash
""")
MISSED = text(f"""
    SELECT f.document_id, v.sealed_text FROM ({_FREE}) f JOIN versions v USING (version_id)
    ORDER BY f.document_id LIMIT :limit
""")
SIMILAR_DOCUMENTS = text(f"""
    SELECT w.placeholder_id, f.document_id, f.external_id AS previous, w.score
    FROM unnest(CAST(:ids AS uuid[]), CAST(:others AS uuid[]), CAST(:scores AS float8[]))
         AS w (placeholder_id, document_id, score)
    JOIN ({_FREE}) f USING (document_id)
""")
# Only placeholders with nothing but a name: one with a version or a record of its own stays a document.
_BARE = text("""
    SELECT d.document_id, d.external_id, d.uri FROM documents d
    WHERE d.document_id = ANY(CAST(:ids AS uuid[])) AND d.deleted_at IS NULL AND d.source_id = :source_id
      AND NOT EXISTS (SELECT FROM versions v WHERE v.document_id = d.document_id)
      AND NOT EXISTS (SELECT FROM quarantine q WHERE q.document_id = d.document_id)
      AND NOT EXISTS (SELECT FROM outbox o WHERE o.document_id = d.document_id)
""")
_RECORD = text("""
    INSERT INTO moves (run_id, document_id, placeholder_id, former_external_id, external_id, how)
    VALUES (:run_id, :document_id, :placeholder_id, :former, :external_id, :how)
""")
_DROP = text("DELETE FROM documents WHERE document_id = :placeholder_id")
# No fingerprint: until the new version is active, every scan finds it changed.
_RENAME = text("""
    UPDATE documents SET external_id = :external_id, uri = :uri, fingerprint = NULL WHERE document_id = :document_id
""")
_FOUND = text("DELETE FROM vanished WHERE run_id = :run_id AND document_id = :document_id")
_MOVED = text("SELECT document_id FROM moves WHERE run_id = :run_id")


class PostgresRenames(Transactions):
    """`sluice.ports.renames.Renames`."""

    def match_same_content(self, run: Run, hashes: Mapping[UUID, bytes]) -> dict[UUID, UUID]:
        if not hashes:
            return {}

        def find(ids: Sequence[UUID]) -> dict[str, Any]:
            return {"ids": list(ids), "hashes": [hashes[each] for each in ids]}

        with self._writing(run) as connection:
            return _match(connection, run, list(hashes), SAME_CONTENT, find, "content")

    def match_similar(self, run: Run, scores: Mapping[UUID, Mapping[UUID, float]]) -> dict[UUID, UUID]:
        if not scores:
            return {}

        def find(ids: Sequence[UUID]) -> dict[str, Any]:
            pairs = [(each, other, score) for each in ids for other, score in scores[each].items()]
            columns: tuple[Sequence[Any], ...] = tuple(zip(*pairs, strict=True)) or ((), (), ())
            return dict(zip(("ids", "others", "scores"), map(list, columns), strict=True))

        with self._writing(run) as connection:
            return _match(connection, run, list(scores), SIMILAR_DOCUMENTS, find, "similarity")

    def missed(self, run: Run, limit: int) -> list[tuple[UUID, bytes]]:
        values = {"run_id": run.run_id, "generation": run.source.generation.number, "limit": limit}
        return [(row.document_id, bytes(row.sealed_text)) for row in self._rows(MISSED, values)]

    def matched(self, run: Run) -> set[UUID]:
        return set(self._scalars(_MOVED, {"run_id": run.run_id}))

    def vanished(self, run: Run) -> list[UUID]:
        return list(self._scalars(_VANISHED, {"run_id": run.run_id}))


def keep_vanished(connection: Connection, run: Run, document_ids: Sequence[UUID]) -> None:
    """Replaces the source's list of vanished documents by that of this run."""
    connection.execute(_FORGET_ALL, {"source_id": run.source.source_id})
    if document_ids:
        connection.execute(_KEEP, {"run_id": run.run_id, "ids": list(document_ids)})


def forget_vanished(connection: Connection, run: Run) -> None:
    """Deletes this run's list of vanished documents."""
    connection.execute(_FORGET, {"run_id": run.run_id})


def _match(
    connection: Connection,
    run: Run,
    ids: Sequence[UUID],
    query: TextClause,
    find: Callable[[Sequence[UUID]], dict[str, Any]],
    how: str,
) -> dict[UUID, UUID]:
    """Returns placeholder → the document that it turned out to be. Safe to repeat: the run's earlier matches are
    returned again."""
    values = {"run_id": run.run_id, "generation": run.source.generation.number, "source_id": run.source.source_id}
    known = {
        row.placeholder_id: row.document_id
        for row in connection.execute(_KNOWN, {"run_id": run.run_id, "ids": sorted(ids)})
    }
    newer = superseded_documents(connection, run, ids)  # a later run may have listed it under yet another name
    wanted = [each for each in ids if each not in known and each not in newer]
    if not wanted:
        return known
    alone(connection, run.source.source_id)  # two batches of a run must not take the same document
    bare = {row.document_id: row for row in connection.execute(_BARE, {**values, "ids": wanted})}
    candidates = connection.execute(query, {**values, **find([each for each in wanted if each in bare])}).all()
    matches = paired(
        (float(row.score), bare[row.placeholder_id].external_id, row.previous, row.placeholder_id, row.document_id)
        for row in candidates
    )
    if matches:
        keep_retention(connection, run.source.generation.collection_id)
        lock_documents(connection, sorted([*matches.keys(), *matches.values()]))
        previous = {row.document_id: row.previous for row in candidates}
        for placeholder_id, document_id in matches.items():
            move = {
                **values,
                "document_id": document_id,
                "placeholder_id": placeholder_id,
                "former": previous[document_id],
                "external_id": bare[placeholder_id].external_id,
                "uri": bare[placeholder_id].uri,
                "how": how,
            }
            for statement in (_DROP, _RENAME, _RECORD, _FOUND):
                connection.execute(statement, move)
    return {**known, **matches}
