"""Reads for callers on PostgreSQL. Each query decides by itself which rows the caller may read now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from sluice.adapters.postgres import passage_lineage, quality_results
from sluice.adapters.postgres.collections import (
    BY_LANGUAGE,
    GENERATION_COLUMNS,
    TOGETHER,
    generation_of,
    values_of,
)
from sluice.adapters.postgres.failures import ping
from sluice.adapters.postgres.sources import SAVED, THERE, saved_of
from sluice.adapters.postgres.transactions import Transactions
from sluice.errors import NotFound
from sluice.model.catalog import CollectionInfo, DocumentInfo, Live
from sluice.model.gates import RunGates
from sluice.model.generation import Generation
from sluice.model.grants import Principal
from sluice.model.passage import PassageLineage
from sluice.model.quarantine import QuarantineRecord
from sluice.model.search import Hydrated, Neighbour
from sluice.model.source import SavedSource
from sluice.model.weights import DEFAULT, Weights

_MAY = "(:all_groups OR {0} = '{{}}' OR {0} && CAST(:groups AS text[]))"
_READABLE = f"""
    d.tenant_id = :tenant AND d.deleted_at IS NULL AND (d.expires_at IS NULL OR d.expires_at > now())
    AND d.purged_hash IS NULL AND {_MAY.format("coalesce(d.access_groups, s.access_groups)")}
"""
# A document's own groups may permit readers who may not read the rest of its source.
_OPEN_SOURCE = f"""
    s.tenant_id = :tenant AND ({_MAY.format("s.access_groups")}
        OR EXISTS (SELECT FROM documents d WHERE d.source_id = s.source_id AND d.deleted_at IS NULL
                   AND d.access_groups IS NOT NULL AND {_MAY.format("d.access_groups")}))
"""
# Read first, and in one statement: no later read of the same search can see an older state than this epoch's.
LIVE = text(f"""
    SELECT {GENERATION_COLUMNS}, now() AS read_at,
           ARRAY(SELECT token FROM collection_epochs e WHERE e.collection_id = c.collection_id ORDER BY slot) AS epoch,
           (SELECT json_build_object('dense', dense, 'pairs', pairs, 'resemblance', resemblance, 'metadata', metadata)
            FROM search_weights w
            WHERE w.collection_id = c.collection_id AND w.generation = c.live_generation
              AND w.tenant_id = :tenant) AS weights
    FROM collections c JOIN generations g ON g.collection_id = c.collection_id AND g.generation = c.live_generation
    WHERE c.name = :name
""")
# The expiry after the transaction began, so not after any time that the search will compare with.
SOURCES = text(f"""
    SELECT s.source_id, (SELECT d.expires_at FROM documents d WHERE d.source_id = s.source_id AND d.expires_at > now()
                         AND d.purged_hash IS NULL ORDER BY d.expires_at LIMIT 1) AS next_expiry
    FROM sources s WHERE s.collection_id = :collection_id AND {_OPEN_SOURCE} ORDER BY s.source_id
""")
_SAVED = text(f"""
    {SAVED} WHERE {THERE} AND s.tenant_id = :tenant AND {_MAY.format("s.access_groups")}
    AND (CAST(:collection AS text) IS NULL OR c.name = :collection)
    ORDER BY c.name COLLATE "C", s.uri COLLATE "C"
""")
# Each `OFFSET 0` forces a lookup by key for each row: without statistics the planner assumes that new tables are nearly
# empty, and would read all active versions for each chunk.
HYDRATE = text(f"""
    SELECT k.chunk_id, d.document_id, d.external_id, d.uri, v.number AS version, v.generation, v.run_id,
           k.start_char AS start, k.end_char AS "end", k.page, v.mime, k.sealed_text, k.sealed_headings,
           v.sealed_title, v.sealed_metadata
    FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS asked (chunk_id, place)
    CROSS JOIN LATERAL (SELECT * FROM chunks WHERE chunk_id = asked.chunk_id OFFSET 0) k
    CROSS JOIN LATERAL (SELECT * FROM versions WHERE version_id = k.version_id OFFSET 0) v
    CROSS JOIN LATERAL (SELECT * FROM documents WHERE document_id = v.document_id OFFSET 0) d
    CROSS JOIN LATERAL (SELECT * FROM sources WHERE source_id = d.source_id OFFSET 0) s
    WHERE v.state = 'active' AND v.collection_id = :collection_id AND v.generation = :generation AND {_READABLE}
    ORDER BY asked.place
""")
# `OFFSET 0` as above.
NEIGHBOURS = text(f"""
    SELECT k.chunk_id AS passage_id, v.number AS version, n.chunk_id, n.document_id, n.ordinal - k.ordinal AS distance,
           n.start_char AS start, n.end_char AS "end", n.sealed_text
    FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS asked (chunk_id, place)
    CROSS JOIN LATERAL (SELECT * FROM chunks WHERE chunk_id = asked.chunk_id OFFSET 0) k
    CROSS JOIN LATERAL (SELECT * FROM versions WHERE version_id = k.version_id OFFSET 0) v
    CROSS JOIN LATERAL (SELECT * FROM documents WHERE document_id = v.document_id OFFSET 0) d
    CROSS JOIN LATERAL (SELECT * FROM sources WHERE source_id = d.source_id OFFSET 0) s
    CROSS JOIN LATERAL (SELECT * FROM chunks WHERE version_id = k.version_id AND ordinal <> k.ordinal
                        AND ordinal BETWEEN k.ordinal - :count AND k.ordinal + :count OFFSET 0) n
    WHERE v.state = 'active' AND v.collection_id = :collection_id AND v.generation = :generation AND {_READABLE}
    ORDER BY asked.place, distance
""")
_DOCUMENT = """
    SELECT d.document_id, d.external_id, d.uri, c.name AS collection, v.number AS version, v.generation, v.run_id,
           v.mime, v.size_bytes, (SELECT count(*) FROM chunks k WHERE k.version_id = v.version_id) AS chunks,
           d.first_seen_at, v.activated_at, d.expires_at, q.reason AS quarantine, v.sealed_title
    FROM documents d
    JOIN sources s ON s.source_id = d.source_id
    JOIN collections c ON c.collection_id = d.collection_id
    LEFT JOIN LATERAL (SELECT * FROM versions WHERE document_id = d.document_id AND generation = c.live_generation
                       AND state = 'active' OFFSET 0) v ON true
    LEFT JOIN LATERAL (SELECT reason FROM quarantine WHERE document_id = d.document_id AND resolved_at IS NULL
                       OFFSET 0) q ON true
"""
PAGE = text(f"""
    {_DOCUMENT} WHERE d.collection_id = :collection_id AND {_READABLE}
    AND d.document_id > coalesce(CAST(:after AS uuid), '00000000-0000-0000-0000-000000000000')
    ORDER BY d.document_id LIMIT :limit
""")
_ONE = text(f"{_DOCUMENT} WHERE d.document_id = :document_id AND {_READABLE}")
# Counts of the tenant's own documents and records; `OFFSET 0` as above.
READABLE_SERVED = text(f"""
    {TOGETHER} FROM (
        SELECT {BY_LANGUAGE}
        FROM (SELECT d.document_id FROM documents d JOIN sources s USING (source_id)
              WHERE d.collection_id = :collection_id AND {_READABLE} OFFSET 0) r
        CROSS JOIN LATERAL (SELECT version_id, language FROM versions
                            WHERE document_id = r.document_id AND generation = :generation AND state = 'active'
                            OFFSET 0) v
        GROUP BY v.language) l
""")
READABLE_OPEN = text(f"""
    SELECT count(*) FROM sources s
    CROSS JOIN LATERAL (SELECT document_id FROM quarantine WHERE source_id = s.source_id AND resolved_at IS NULL
                        OFFSET 0) q
    CROSS JOIN LATERAL (SELECT * FROM documents WHERE document_id = q.document_id OFFSET 0) d
    WHERE s.tenant_id = :tenant AND s.collection_id = :collection_id AND {_READABLE}
""")
_COLLECTIONS = text(f"""
    SELECT {GENERATION_COLUMNS}
    FROM collections c JOIN generations g ON g.collection_id = c.collection_id AND g.generation = c.live_generation
    WHERE EXISTS (SELECT FROM sources s WHERE s.collection_id = c.collection_id AND {_OPEN_SOURCE})
    ORDER BY c.name
""")
# Of the live generation. `OFFSET 0` as above.
LINEAGE = text(f"""
    SELECT k.chunk_id, k.ordinal, d.document_id, d.external_id, d.uri, s.uri AS source_uri, c.name AS collection,
           d.first_seen_at, d.expires_at, v.number AS version, v.generation, g.physical AS backing_collection,
           g.chunker, g.embedder, g.entities, g.dim, v.run_id, r.orchestrator, r.state AS run_state, r.started_at,
           r.finished_at
    FROM (SELECT * FROM chunks WHERE chunk_id = :chunk_id OFFSET 0) k
    CROSS JOIN LATERAL (SELECT * FROM versions WHERE version_id = k.version_id OFFSET 0) v
    CROSS JOIN LATERAL (SELECT * FROM documents WHERE document_id = v.document_id OFFSET 0) d
    CROSS JOIN LATERAL (SELECT * FROM sources WHERE source_id = d.source_id OFFSET 0) s
    JOIN collections c ON c.collection_id = v.collection_id AND c.live_generation = v.generation
    JOIN generations g ON g.collection_id = v.collection_id AND g.generation = v.generation
    JOIN runs r ON r.run_id = v.run_id
    WHERE v.state = 'active' AND {_READABLE}
""")
_RECORD = f"""
    SELECT d.document_id, d.external_id, d.uri, c.name AS collection, s.uri AS source_uri, q.run_id, q.stage, q.code,
           q.reason, q.created_at AS quarantined_at, q.kept_bytes AS retained_bytes
    FROM quarantine q
    JOIN documents d ON d.document_id = q.document_id
    JOIN sources s ON s.source_id = d.source_id
    JOIN collections c ON c.collection_id = d.collection_id
    WHERE q.resolved_at IS NULL AND {_READABLE}
"""
RECORDS = text(f"""
    {_RECORD} AND (CAST(:collection AS text) IS NULL OR c.name = :collection)
    AND (CAST(:code AS text) IS NULL OR q.code = :code)
    AND (CAST(:run_id AS uuid) IS NULL OR q.run_id = :run_id)
    AND q.document_id > coalesce(CAST(:after AS uuid), '00000000-0000-0000-0000-000000000000')
    ORDER BY q.document_id LIMIT :limit
""")
_ONE_RECORD = text(f"{_RECORD} AND q.document_id = :document_id")
RUN_GATES = text(f"""
    SELECT r.run_id, c.name AS collection, s.uri AS source_uri, r.mode, r.orchestrator, r.state, r.started_at,
           r.finished_at
    FROM runs r JOIN sources s USING (source_id) JOIN collections c ON c.collection_id = r.collection_id
    WHERE r.run_id = :run_id AND s.tenant_id = :tenant AND {_MAY.format("s.access_groups")}
""")
FAILED_ROWS = f"""
    FROM gate_rows w JOIN documents d USING (document_id) JOIN sources s ON s.source_id = d.source_id
    WHERE w.run_id = :run_id AND {_READABLE}
"""


class PostgresCatalog(Transactions):
    """`sluice.ports.catalog.Catalog`."""

    def live(self, collection: str, principal: Principal) -> Live:
        with self._transaction() as connection:
            return _visible(connection, collection, principal)

    def hydrate(self, generation: Generation, chunk_ids: Sequence[UUID], principal: Principal) -> list[Hydrated]:
        values = {"ids": list(chunk_ids), **values_of(generation), **_who(principal)}
        return [Hydrated(**row._mapping) for row in self._rows(HYDRATE, values)]

    def neighbours(
        self, generation: Generation, chunk_ids: Sequence[UUID], count: int, principal: Principal
    ) -> list[Neighbour]:
        values = {"ids": list(chunk_ids), "count": count, **values_of(generation), **_who(principal)}
        return [Neighbour(**row._mapping) for row in self._rows(NEIGHBOURS, values)]

    def collections(self, principal: Principal) -> list[CollectionInfo]:
        with self._transaction() as connection:
            generations = [generation_of(row) for row in connection.execute(_COLLECTIONS, _who(principal))]
            return [_info(connection, generation, principal) for generation in generations]

    def sources(self, principal: Principal, collection: str | None = None) -> list[SavedSource]:
        values = {"collection": collection, **_who(principal)}
        return [saved_of(row) for row in self._rows(_SAVED, values)]

    def documents(
        self, principal: Principal, collection: str, limit: int, after: UUID | None = None
    ) -> list[DocumentInfo]:
        """Returns documents in the order in which they were first seen. `after`: the last id of the previous page."""
        with self._transaction() as connection:
            generation = _visible(connection, collection, principal).generation
            values = {"collection_id": generation.collection_id, "limit": limit, "after": after, **_who(principal)}
            return [DocumentInfo(**row._mapping) for row in connection.execute(PAGE, values)]

    def document(self, principal: Principal, document_id: UUID) -> DocumentInfo:
        with self._transaction() as connection:
            row = connection.execute(_ONE, {"document_id": document_id, **_who(principal)}).one_or_none()
        if row is None:
            raise NotFound(f"There is no document {document_id} that you may read.")
        return DocumentInfo(**row._mapping)

    def lineage(self, principal: Principal, chunk_id: UUID) -> PassageLineage:
        with self._transaction() as connection:
            lineage = passage_lineage.lineage(connection, LINEAGE, {"chunk_id": chunk_id, **_who(principal)})
        if lineage is None:
            raise NotFound(f"There is no passage {chunk_id} that you may read.")
        return lineage

    def quarantine_records(
        self,
        principal: Principal,
        collection: str | None = None,
        code: str | None = None,
        *,
        run_id: UUID | None = None,
        limit: int,
        after: UUID | None = None,
    ) -> list[QuarantineRecord]:
        values = {
            "collection": collection,
            "code": code,
            "run_id": run_id,
            "limit": limit,
            "after": after,
            **_who(principal),
        }
        return [QuarantineRecord(**row._mapping) for row in self._rows(RECORDS, values)]

    def quarantine_record(self, principal: Principal, document_id: UUID) -> QuarantineRecord:
        with self._transaction() as connection:
            record = quality_results.quarantine_record(
                connection, _ONE_RECORD, {"document_id": document_id, **_who(principal)}
            )
        if record is None:
            raise NotFound(f"There is no document {document_id} in quarantine that you may read.")
        return record

    def run_gates(self, principal: Principal, run_id: UUID, *, limit: int, offset: int = 0) -> RunGates:
        values = {"run_id": run_id, "limit": limit, "offset": offset, **_who(principal)}
        with self._transaction() as connection:
            gates = quality_results.run_gates(connection, RUN_GATES, FAILED_ROWS, values)
        if gates is None:
            raise NotFound(f"There is no run {run_id} of a source that you may read.")
        return gates

    def ping(self) -> str:
        return ping(self._engine, "PostgreSQL (ledger)")


def _visible(connection: Connection, collection: str, principal: Principal) -> Live:
    """Does the work of `Catalog.live` within a transaction. Raises NotFound if no source has something that the caller
    may read: with the same text after the same queries, whether nobody, another tenant or another group has the
    collection."""
    row = connection.execute(LIVE, {"name": collection, "tenant": principal.tenant}).one_or_none()
    values = {"collection_id": row.collection_id if row else UUID(int=0), **_who(principal)}
    sources = connection.execute(SOURCES, values).all()
    if row is None or not sources:
        raise NotFound(f"Tenant {principal.tenant!r} has no collection {collection!r} that you may read.")
    return Live(
        generation=generation_of(row),
        sources=tuple(each.source_id for each in sources),
        epoch=" ".join(map(str, row.epoch)),
        read_at=row.read_at,
        next_expiry=min((each.next_expiry for each in sources if each.next_expiry), default=None),
        weights=Weights(**row.weights) if row.weights else DEFAULT,
    )


def _who(principal: Principal) -> dict[str, Any]:
    groups = sorted(principal.groups)
    return {"tenant": principal.tenant, "groups": groups, "all_groups": principal.holds_all_groups}


def _info(connection: Connection, generation: Generation, principal: Principal) -> CollectionInfo:
    values = {**values_of(generation), **_who(principal)}
    served = connection.execute(READABLE_SERVED, values).one()
    quarantined = connection.execute(READABLE_OPEN, values).scalar_one()
    return CollectionInfo(
        generation.collection, generation.number, generation.profile, **served._mapping, quarantined=quarantined
    )
