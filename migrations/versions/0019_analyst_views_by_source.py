"""Views for analysts: adds tenant, collection and source to each view; adds views of chunks, sources and purges."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# One that was removed by hand is there as long as its documents are.
_THERE = (
    "(s.removed_at IS NULL OR EXISTS (SELECT FROM documents d WHERE d.source_id = s.source_id "
    "AND d.deleted_at IS NULL AND d.removed_at IS NULL))"
)
_OF_THE_RUN = (
    "JOIN runs r USING (run_id) JOIN sources s USING (source_id) "
    "JOIN collections c ON c.collection_id = r.collection_id"
)
_TENANT = ("s.tenant_id", "Who the source belongs to.")
_COLLECTION = ("c.name", "Where its documents are served.")
_WRITTEN = ("c.name", "What the run wrote to.")
_READ = ("s.uri", "The source that the run read.")
_BY_RUN = {"tenant": _TENANT, "collection": _WRITTEN, "source_uri": _READ}

# view → (its columns so far, new ones with their expressions and comments, where they come from)
CHANGED: dict[str, tuple[str, dict[str, tuple[str, str]], str]] = {
    "collections": (
        "c.name AS collection, c.live_generation AS generation, g.chunker AS chunker, g.embedder AS embedder, "
        "g.entities AS entities, (SELECT count(*) FROM versions v JOIN documents d USING (document_id) "
        "WHERE v.collection_id = c.collection_id AND v.generation = c.live_generation AND v.state = 'active' "
        "AND d.deleted_at IS NULL) AS documents, c.created_at AS created_at",
        {
            "tenants": (
                "ARRAY(SELECT DISTINCT s.tenant_id FROM sources s WHERE s.collection_id = c.collection_id "  # noqa: S608
                f"AND {_THERE} ORDER BY 1)",
                "Who has sources in it.",
            ),
            "source_uris": (
                "ARRAY(SELECT DISTINCT s.uri FROM sources s WHERE s.collection_id = c.collection_id "  # noqa: S608
                f"AND {_THERE} ORDER BY 1)",
                "Sources that it is made from.",
            ),
        },
        "collections c JOIN generations g ON g.collection_id = c.collection_id AND g.generation = c.live_generation",
    ),
    "documents": (
        "d.document_id AS document_id, d.tenant_id AS tenant, c.name AS collection, d.external_id AS external_id, "
        "d.uri AS uri, v.number AS version, v.mime AS mime, v.size_bytes AS size_bytes, "
        "d.first_seen_at AS first_seen_at, v.activated_at AS activated_at, d.expires_at AS expires_at, "
        "d.deleted_at AS deleted_at",
        {"source_uri": ("s.uri", "The source that it comes from.")},
        "documents d JOIN collections c USING (collection_id) LEFT JOIN versions v "
        "ON v.document_id = d.document_id AND v.generation = c.live_generation AND v.state = 'active' "
        "JOIN sources s ON s.source_id = d.source_id",
    ),
    "quarantine": (
        "q.quarantine_id AS quarantine_id, q.document_id AS document_id, q.tenant_id AS tenant, "
        "d.external_id AS external_id, q.run_id AS run_id, q.stage AS stage, q.code AS code, q.reason AS reason, "
        "q.created_at AS created_at, q.resolved_at AS resolved_at",
        {"collection": _COLLECTION, "source_uri": ("s.uri", "The source that it comes from.")},
        "quarantine q JOIN documents d USING (document_id) JOIN sources s ON s.source_id = d.source_id "
        "JOIN collections c ON c.collection_id = d.collection_id",
    ),
    "gate_results": (
        "x.run_id AS run_id, x.batch AS batch, x.stage AS stage, x.suite AS suite, x.expectation AS expectation, "
        "x.column_name AS column_name, x.success AS success, x.blocking AS blocking, x.evaluated AS evaluated, "
        "x.unexpected AS unexpected, x.recorded_at AS recorded_at",
        _BY_RUN,
        f"gate_results x {_OF_THE_RUN}",
    ),
    "gate_rows": (
        "x.run_id AS run_id, x.batch AS batch, x.stage AS stage, x.document_id AS document_id, x.ordinal AS ordinal, "
        "x.suite AS suite, x.code AS code, x.expectation AS expectation, x.observed AS observed, "
        "x.recorded_at AS recorded_at",
        _BY_RUN,
        f"gate_rows x {_OF_THE_RUN}",
    ),
    "stage_costs": (
        "x.run_id AS run_id, x.batch AS batch, x.stage AS stage, x.seconds AS seconds, x.counts AS counts, "
        "x.recorded_at AS recorded_at",
        _BY_RUN,
        f"run_stages x {_OF_THE_RUN}",
    ),
    "run_costs": (
        "x.run_id AS run_id, x.batch AS batch, x.texts AS texts, x.tokens AS tokens, x.seconds AS seconds, "
        "x.tokens * r.token_price / 1e6 AS money, x.updated_at AS updated_at",
        _BY_RUN,
        f"run_costs x {_OF_THE_RUN}",
    ),
    "deletions": (
        "x.deletion_id AS deletion_id, x.kind AS kind, x.tenant AS tenant, x.collection AS collection, "
        "x.name AS name, x.actor AS actor, x.documents AS documents, x.chunks AS chunks, x.deleted_at AS deleted_at",
        {
            "source_uri": (
                "CASE x.kind WHEN 'source' THEN x.name WHEN 'document' THEN (SELECT s.uri FROM documents d "
                "JOIN sources s USING (source_id) WHERE d.document_id = CASE WHEN x.name ~ "
                "'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN CAST(x.name AS uuid) END) END",
                "The source, or the one that the document came from; null: another kind, or not known any more.",
            )
        },
        "deletions x",
    ),
}
# view → (what it is, its columns with their expressions and comments, where they come from)
NEW: dict[str, tuple[str, dict[str, tuple[str, str]], str]] = {
    "sources": (
        "Sources with their rules and what is served from them.",
        {
            "tenant": ("s.tenant_id", "Who it belongs to."),
            "collection": _COLLECTION,
            "source_uri": ("s.uri", "Address without a password."),
            "access_groups": ("s.access_groups", "Groups that may read it; empty: everyone in the tenant."),
            "retention_days": (
                "s.retention_days",
                "Days of readable life, as set for the source; 0: for ever; null: not set here.",
            ),
            "retain_until": ("s.retain_until", "Unreadable from then on, as set for the source; null: not set here."),
            "schedule": ("s.schedule", "When it is due: five fields of cron, UTC; null: every night."),
            "paused": ("s.paused", "Whether it is left out of runs that nobody asks for."),
            "documents": (
                "(SELECT count(*) FROM documents d JOIN versions v ON v.document_id = d.document_id "
                "AND v.generation = c.live_generation AND v.state = 'active' "
                "WHERE d.source_id = s.source_id AND d.deleted_at IS NULL)",
                "Living documents that are served.",
            ),
            "quarantined": (
                "(SELECT count(*) FROM quarantine q WHERE q.source_id = s.source_id AND q.resolved_at IS NULL)",
                "Documents in quarantine now.",
            ),
            "last_success_at": (
                "(SELECT max(r.finished_at) FROM runs r WHERE r.source_id = s.source_id AND r.state = 'succeeded')",
                "When its last run that succeeded ended; null: none is recorded.",
            ),
            "created_at": ("s.created_at", "When it was first opened."),
            "removed_at": ("s.removed_at", "When it was removed by hand; null: it was not."),
        },
        "sources s JOIN collections c USING (collection_id)",
    ),
    "chunks": (
        "Passages of the documents that are served now, without their text.",
        {
            "chunk_id": ("k.chunk_id", "The same in all stores."),
            "tenant": ("d.tenant_id", "Who its document belongs to."),
            "collection": ("c.name", "Where it is served."),
            "source_uri": ("s.uri", "The source that its document comes from."),
            "document_id": ("d.document_id", "Its document."),
            "external_id": ("d.external_id", "Name of the document within the source."),
            "version": ("v.number", "The served version of the document."),
            "generation": ("k.generation", "The live generation."),
            "ordinal": ("k.ordinal", "From 0, in text order."),
            "start_char": ("k.start_char", "First character in the extracted text."),
            "end_char": ("k.end_char", "One after the last character."),
            "page": ("k.page", "From 1; null: the format has no pages."),
            "entities": (
                "(SELECT count(*) FROM mentions m WHERE m.version_id = k.version_id AND m.ordinal = k.ordinal "
                "AND m.occurrences > 0)",
                "Entities that its text mentions.",
            ),
            "run_id": ("v.run_id", "The run that made the version."),
            "activated_at": ("v.activated_at", "When the version began to be served."),
            "expires_at": ("d.expires_at", "Unreadable from then on; null: never."),
        },
        "chunks k JOIN versions v ON v.version_id = k.version_id AND v.state = 'active' "
        "JOIN collections c ON c.collection_id = k.collection_id AND c.live_generation = k.generation "
        "JOIN documents d ON d.document_id = k.document_id AND d.deleted_at IS NULL "
        "JOIN sources s ON s.source_id = d.source_id",
    ),
    "purges": (
        "Documents that a purge took out because they had expired.",
        {
            "run_id": ("p.run_id", "The purge, a run of the source."),
            "tenant": _TENANT,
            "collection": ("c.name", "Where it was served."),
            "source_uri": ("s.uri", "The source that it came from."),
            "document_id": ("p.document_id", "The document."),
            "external_id": ("d.external_id", "Its name within the source."),
            "orchestrator": ("r.orchestrator", "Who ran the purge."),
            "expired_at": ("p.expired_at", "Since when it could not be read."),
            "purged_at": ("p.purged_at", "When it was taken out."),
            "chunks": ("p.chunks", "Chunks of it that went."),
        },
        "purged_documents p JOIN documents d USING (document_id) JOIN runs r ON r.run_id = p.run_id "
        "JOIN sources s ON s.source_id = d.source_id JOIN collections c ON c.collection_id = d.collection_id",
    ),
}


def upgrade() -> None:
    for name, (kept, added, origin) in CHANGED.items():
        # In place: the view keeps its comments and whatever was granted on it.
        op.execute(f"CREATE OR REPLACE VIEW analyst.{name} AS SELECT {kept}, {_listed(added)} FROM {origin}")  # noqa: S608
        _comment(name, added)
    for name, (about, columns, origin) in NEW.items():
        op.execute(f"CREATE VIEW analyst.{name} AS SELECT {_listed(columns)} FROM {origin}")  # noqa: S608
        op.execute(f"COMMENT ON VIEW analyst.{name} IS '{about}'")
        _comment(name, columns)


def downgrade() -> None:
    for name in reversed(NEW):
        op.execute(f"DROP VIEW analyst.{name}")
    for name, (kept, added, origin) in CHANGED.items():
        again = [each for each in _spoken(name) if each[0] not in added]
        readers = _readers(name)
        op.execute(f"DROP VIEW analyst.{name}")
        op.execute(f"CREATE VIEW analyst.{name} AS SELECT {kept} FROM {origin}")  # noqa: S608
        for column, comment in again:
            place = f"COLUMN analyst.{name}.{column}" if column else f"VIEW analyst.{name}"
            op.execute(f"COMMENT ON {place} IS {comment}")
        for reader in readers:
            op.execute(f"GRANT SELECT ON analyst.{name} TO {reader}")


def _listed(columns: dict[str, tuple[str, str]]) -> str:
    return ", ".join(f"{expression} AS {column}" for column, (expression, _) in columns.items())


def _comment(name: str, columns: dict[str, tuple[str, str]]) -> None:
    for column, (_, comment) in columns.items():
        op.execute(f"COMMENT ON COLUMN analyst.{name}.{column} IS '{comment}'")


def _spoken(name: str) -> list[tuple[str, str]]:
    """(column, or '' for the view; its comment as a literal)."""
    found = op.get_bind().execute(
        sa.text("""
            SELECT coalesce(a.attname, ''), quote_literal(d.description) FROM pg_description d
            LEFT JOIN pg_attribute a ON a.attrelid = d.objoid AND a.attnum = d.objsubid AND d.objsubid > 0
            WHERE d.objoid = to_regclass(:view) AND d.classoid = 'pg_class'::regclass ORDER BY d.objsubid
        """),
        {"view": f"analyst.{name}"},
    )
    return [(column, comment) for column, comment in found]


def _readers(name: str) -> list[str]:
    """Roles that may read the view, beside its owner, quoted."""
    found = op.get_bind().execute(
        sa.text("""
            SELECT a.grantee::regrole::text FROM pg_class c, aclexplode(c.relacl) a
            WHERE c.oid = to_regclass(:view) AND a.privilege_type = 'SELECT' AND a.grantee NOT IN (0, c.relowner)
        """),
        {"view": f"analyst.{name}"},
    )
    return [role for (role,) in found]
