"""How many documents, chunks and open quarantine records there are; counted, not remembered."""

from __future__ import annotations

from sqlalchemy import Connection, text

from sluice.model.generation import Generation
from sluice.model.run import Counts, Run

# `OFFSET 0`: a look-up by key for each row, whatever the planner believes of fresh tables.
CHUNKS = "coalesce(sum((SELECT count(*) FROM chunks k WHERE k.version_id = v.version_id)), 0) AS chunks"
_SERVED = f"""
    SELECT count(*) AS documents, {CHUNKS}
    FROM (SELECT version_id, document_id FROM versions
          WHERE collection_id = :collection_id AND generation = :generation AND state = 'active' OFFSET 0) v
    CROSS JOIN LATERAL (SELECT tenant_id, deleted_at FROM documents WHERE document_id = v.document_id OFFSET 0) d
    WHERE d.deleted_at IS NULL
"""  # noqa: S608
_OPEN = """
    SELECT count(*) FROM quarantine q JOIN sources s USING (source_id)
    WHERE s.collection_id = :collection_id AND q.resolved_at IS NULL
"""
SERVED = text(_SERVED)
SERVED_OF_TENANT = text(f"{_SERVED} AND d.tenant_id = :tenant")
OPEN = text(_OPEN)
OPEN_OF_TENANT = text(f"{_OPEN} AND s.tenant_id = :tenant")
SERVED_OF_SOURCE = text(f"""
    SELECT count(*) AS documents, {CHUNKS}
    FROM (SELECT document_id FROM documents
          WHERE tenant_id = :tenant AND source_id = :source_id AND deleted_at IS NULL OFFSET 0) d
    CROSS JOIN LATERAL (SELECT version_id FROM versions
                        WHERE document_id = d.document_id AND generation = :generation AND state = 'active' OFFSET 0) v
""")  # noqa: S608
OPEN_OF_SOURCE = text("SELECT count(*) FROM quarantine WHERE source_id = :source_id AND resolved_at IS NULL")

QUEUED = text("""
    SELECT coalesce(sum(cardinality(chunk_ids)), 0) FROM outbox WHERE collection_id = :collection_id
""")
REASONS_OF_SOURCE = text("""
    SELECT code, count(*) AS documents FROM quarantine
    WHERE source_id = :source_id AND resolved_at IS NULL GROUP BY code ORDER BY code
""")


def counts(connection: Connection, generation: Generation, tenant: str | None) -> Counts:
    values = {"collection_id": generation.collection_id, "generation": generation.number, "tenant": tenant}
    served = connection.execute(SERVED if tenant is None else SERVED_OF_TENANT, values).one()
    quarantined = connection.execute(OPEN if tenant is None else OPEN_OF_TENANT, values).scalar_one()
    return Counts(served.documents, int(served.chunks), quarantined)


def reasons(connection: Connection, run: Run) -> dict[str, int]:
    rows = connection.execute(REASONS_OF_SOURCE, {"source_id": run.source.source_id})
    return {row.code: row.documents for row in rows}


def run_counts(connection: Connection, run: Run) -> Counts:
    source = run.source
    values = {
        "tenant": source.spec.tenant,
        "source_id": source.source_id,
        "generation": source.generation.number,
    }
    served = connection.execute(SERVED_OF_SOURCE, values).one()
    quarantined = connection.execute(OPEN_OF_SOURCE, values).scalar_one()
    return Counts(served.documents, int(served.chunks), quarantined)


def queued(connection: Connection, generation: Generation) -> int:
    return int(connection.execute(QUEUED, {"collection_id": generation.collection_id}).scalar_one())
