"""What the projections of a generation must hold, page by page, and what comparing them found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from sluice.adapters.postgres.collections import values_of
from sluice.adapters.postgres.leases import RUNNING
from sluice.adapters.postgres.transactions import Transactions
from sluice.model.chunk import Relation
from sluice.model.generation import Generation
from sluice.model.points import EncryptedMention, LedgerChunk, SourceDocument
from sluice.model.text import json_text

# Each `OFFSET 0` forces a lookup by key for the rows of one page; without statistics the planner may not choose it.
_SERVED = f"""
    SELECT c.chunk_id, c.version_id, c.document_id, d.source_id, d.tenant_id AS tenant, c.ordinal, c.text_hash, v.mime,
           v.sealed_title, v.sealed_metadata, v.language, c.sealed_text, c.sealed_headings, c.sealed_names,
           (SELECT json_agg(json_build_object('entity_id', m.entity_id, 'kind', e.kind, 'occurrences', m.occurrences,
                                              'about', m.about) ORDER BY m.entity_id)
            FROM mentions m JOIN entities e USING (entity_id)
            WHERE m.version_id = c.version_id AND m.ordinal = c.ordinal) AS mentions,
           (SELECT json_agg(json_build_object('head_id', r.head_id, 'kind', r.kind, 'tail_id', r.tail_id))
            FROM relations r
            WHERE r.version_id = c.version_id AND r.ordinal = c.ordinal) AS relations,
           EXISTS (SELECT FROM versions p JOIN runs r USING (run_id)
                   WHERE p.document_id = c.document_id AND p.generation = c.generation AND p.number IS NULL
                     AND {RUNNING} OFFSET 0) AS changing
    FROM (SELECT k.* FROM chunks k
          CROSS JOIN LATERAL (SELECT state FROM versions WHERE version_id = k.version_id OFFSET 0) s
          WHERE k.collection_id = :collection_id AND k.generation = :generation AND s.state = 'active' AND %s
          ORDER BY k.chunk_id LIMIT :limit) c
    CROSS JOIN LATERAL (SELECT mime, sealed_title, sealed_metadata, language FROM versions
                        WHERE version_id = c.version_id OFFSET 0) v
    CROSS JOIN LATERAL (SELECT source_id, tenant_id FROM documents WHERE document_id = c.document_id OFFSET 0) d
    ORDER BY c.chunk_id
"""
AFTER = text(_SERVED % "k.chunk_id > :after")
FIRST = text(_SERVED % "true")
OF = text(_SERVED % "k.chunk_id = ANY(CAST(:ids AS uuid[]))")
# One statement, so one snapshot: an id that moves between a version and the outbox is never missed. The outbox is
# almost always nearly empty, so its arrays need no index.
CLAIMED = text("""
    SELECT chunk_id FROM chunks
    WHERE chunk_id = ANY(CAST(:ids AS uuid[])) AND collection_id = :collection_id AND generation = :generation
    UNION
    SELECT q.chunk_id FROM outbox o CROSS JOIN LATERAL unnest(o.chunk_ids) AS q (chunk_id)
    WHERE o.collection_id = :collection_id AND o.generation = :generation AND q.chunk_id = ANY(CAST(:ids AS uuid[]))
""")
DOCUMENTS_FROM = text("""
    SELECT d.document_id, d.tenant_id AS tenant, c.name AS collection, d.external_id
    FROM documents d JOIN sources s USING (source_id) JOIN collections c ON c.collection_id = s.collection_id
    WHERE starts_with(s.uri, :scheme || '://') AND c.name = coalesce(:collection, c.name)
      AND d.deleted_at IS NULL AND d.document_id > :after
      AND EXISTS (SELECT FROM versions v WHERE v.document_id = d.document_id AND v.state = 'active')
    ORDER BY d.document_id LIMIT :limit
""")
_FIRST = UUID(int=0)
# `greatest` ignores NULL.
LAST_HEARTBEATS = text("""
    SELECT r.run_id, greatest(r.started_at, r.scanned_at, r.finished_at,
        (SELECT max(recorded_at) FROM run_stages WHERE run_id = r.run_id),
        (SELECT lapses_at FROM claims c WHERE c.source_id = r.source_id AND c.run_id = r.run_id)) AS seen_at
    FROM runs r WHERE r.run_id = ANY(CAST(:ids AS uuid[]))
""")
IN_QUARANTINE = text("""
    SELECT i.document_id FROM unnest(CAST(:ids AS uuid[])) AS i (document_id)
    WHERE NOT EXISTS (SELECT FROM documents d WHERE d.document_id = i.document_id OFFSET 0)
       OR EXISTS (SELECT FROM quarantine q WHERE q.document_id = i.document_id AND q.resolved_at IS NULL OFFSET 0)
       OR EXISTS (SELECT FROM documents d JOIN claims c USING (source_id)
                  WHERE d.document_id = i.document_id AND c.lapses_at > clock_timestamp() OFFSET 0)
""")
_RECORD = text("""
    INSERT INTO reconciliations (collection_id, generation, started_at, repair, found)
    SELECT collection_id, :generation, :started_at, :repair, CAST(:found AS jsonb)
    FROM (SELECT collection_id FROM collections WHERE collection_id = :collection_id AND dropping_since IS NULL
          FOR KEY SHARE) c
""")


class PostgresReconciliation(Transactions):
    """`sluice.ports.reconciliation.Reconciliation`."""

    def chunks_after(self, generation: Generation, after: UUID | None, limit: int) -> list[LedgerChunk]:
        values = {**values_of(generation), "after": after, "limit": limit}
        return [_chunk(row) for row in self._rows(FIRST if after is None else AFTER, values)]

    def chunks_of(self, generation: Generation, chunk_ids: Sequence[UUID]) -> list[LedgerChunk]:
        if not chunk_ids:
            return []
        values = {**values_of(generation), "ids": list(chunk_ids), "limit": len(chunk_ids)}
        return [_chunk(row) for row in self._rows(OF, values)]

    def claimed(self, generation: Generation, chunk_ids: Sequence[UUID]) -> set[UUID]:
        if not chunk_ids:
            return set()
        values = {**values_of(generation), "ids": list(chunk_ids)}
        return set(self._scalars(CLAIMED, values))

    def documents_from(
        self, scheme: str, collection: str | None, after: UUID | None, limit: int
    ) -> list[SourceDocument]:
        values = {"scheme": scheme, "collection": collection, "after": after or _FIRST, "limit": limit}
        return [SourceDocument(**row._mapping) for row in self._rows(DOCUMENTS_FROM, values)]

    def last_active(self, run_ids: Sequence[UUID]) -> dict[UUID, datetime]:
        if not run_ids:
            return {}
        return {row.run_id: row.seen_at for row in self._rows(LAST_HEARTBEATS, {"ids": list(run_ids)})}

    def in_quarantine(self, document_ids: Sequence[UUID]) -> set[UUID]:
        if not document_ids:
            return set()
        return set(self._scalars(IN_QUARANTINE, {"ids": list(document_ids)}))

    def record(self, generation: Generation, started_at: datetime, repair: bool, report: Mapping[str, Any]) -> bool:
        values = {**values_of(generation), "started_at": started_at, "repair": repair, "found": json_text(report)}
        return self._execute(_RECORD, values) > 0


def _chunk(row: Row[Any]) -> LedgerChunk:
    mentions = tuple(EncryptedMention(**_with_ids(each, "entity_id")) for each in row.mentions or ())
    relations = tuple(sorted(Relation(**_with_ids(each, "head_id", "tail_id")) for each in row.relations or ()))
    return LedgerChunk(**{**row._mapping, "mentions": mentions, "relations": relations})


def _with_ids(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {**values, **{name: UUID(values[name]) for name in names}}
