"""Views for analysts: documents, runs and costs, without encrypted columns."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# view → (what it is, its columns with their expressions and comments, where they come from)
VIEWS: dict[str, tuple[str, dict[str, tuple[str, str]], str]] = {
    "collections": (
        "Collections with their live generation and what it holds.",
        {
            "collection": ("c.name", "Name."),
            "generation": ("c.live_generation", "Live generation."),
            "chunker": ("g.chunker", "Profile of the live generation."),
            "embedder": ("g.embedder", "Profile of the live generation."),
            "entities": ("g.entities", "Profile of the live generation."),
            "documents": (
                "(SELECT count(*) FROM versions v JOIN documents d USING (document_id) "
                "WHERE v.collection_id = c.collection_id AND v.generation = c.live_generation "
                "AND v.state = 'active' AND d.deleted_at IS NULL)",
                "Living documents that are served.",
            ),
            "created_at": ("c.created_at", "When it was made."),
        },
        "collections c JOIN generations g ON g.collection_id = c.collection_id AND g.generation = c.live_generation",
    ),
    "runs": (
        "Passes over sources.",
        {
            "run_id": ("r.run_id", "The run."),
            "tenant": ("s.tenant_id", "Who the source belongs to."),
            "collection": ("c.name", "What it wrote to."),
            "generation": ("r.generation", "The generation that it wrote."),
            "source_uri": ("s.uri", "What it read."),
            "mode": ("r.mode", "incremental or full."),
            "orchestrator": ("r.orchestrator", "Who ran it."),
            "state": ("r.state", "running, succeeded, failed."),
            "started_at": ("r.started_at", "When it started."),
            "finished_at": ("r.finished_at", "When it ended."),
            "seconds": ("extract(epoch FROM r.finished_at - r.started_at)", "Wall time."),
            "summary": ("r.summary", "Counts and seconds, as the run reported them."),
        },
        "runs r JOIN sources s USING (source_id) JOIN collections c ON c.collection_id = r.collection_id",
    ),
    "documents": (
        "Documents with the version that is served now.",
        {
            "document_id": ("d.document_id", "The document."),
            "tenant": ("d.tenant_id", "Who it belongs to."),
            "collection": ("c.name", "Where it is served."),
            "external_id": ("d.external_id", "Its name within the source."),
            "uri": ("d.uri", "Its address."),
            "version": ("v.number", "Served version; null: none."),
            "mime": ("v.mime", "Kind of the raw bytes."),
            "size_bytes": ("v.size_bytes", "Size of the raw bytes."),
            "first_seen_at": ("d.first_seen_at", "When a scan first listed it."),
            "activated_at": ("v.activated_at", "When the version began to be served."),
            "expires_at": ("d.expires_at", "Unreadable from then on."),
            "deleted_at": ("d.deleted_at", "When it was gone."),
        },
        "documents d JOIN collections c USING (collection_id) LEFT JOIN versions v "
        "ON v.document_id = d.document_id AND v.generation = c.live_generation AND v.state = 'active'",
    ),
    "quarantine": (
        "Documents that could not be processed.",
        {
            "quarantine_id": ("q.quarantine_id", "The record."),
            "document_id": ("q.document_id", "The document."),
            "tenant": ("q.tenant_id", "Who it belongs to."),
            "external_id": ("d.external_id", "Its name within the source."),
            "run_id": ("q.run_id", "The run that refused it."),
            "stage": ("q.stage", "Where it failed."),
            "code": ("q.code", "Stable name of the reason."),
            "reason": ("q.reason", "What is wrong and what to do."),
            "created_at": ("q.created_at", "When it was quarantined."),
            "resolved_at": ("q.resolved_at", "When that ended; null: open."),
        },
        "quarantine q JOIN documents d USING (document_id)",
    ),
    "gate_results": (
        "Expectations of gates on batches.",
        {
            "run_id": ("run_id", "The run."),
            "batch": ("batch", "From 0; -1: the whole run."),
            "stage": ("stage", "After which stage the gate stands."),
            "suite": ("suite", "Name of the suite."),
            "expectation": ("expectation", "Name of the expectation."),
            "column_name": ("column_name", "Column it looks at; null: the table."),
            "success": ("success", "Whether it was met."),
            "blocking": ("blocking", "Whether failing it keeps rows out."),
            "evaluated": ("evaluated", "Rows looked at."),
            "unexpected": ("unexpected", "Rows that failed it."),
            "recorded_at": ("recorded_at", "When the gate reported."),
        },
        "gate_results",
    ),
    "stage_costs": (
        "Seconds and counts by run, batch and stage.",
        {
            "run_id": ("run_id", "The run."),
            "batch": ("batch", "From 0; -1: the whole run."),
            "stage": ("stage", "Name of the stage."),
            "seconds": ("seconds", "Wall time."),
            "counts": ("counts", "Numbers by name."),
            "recorded_at": ("recorded_at", "When the stage reported."),
        },
        "run_stages",
    ),
}


def upgrade() -> None:
    op.execute("CREATE SCHEMA analyst")
    op.execute("COMMENT ON SCHEMA analyst IS 'Read-only views; nothing sealed is in them.'")
    for name, (about, columns, origin) in VIEWS.items():
        listed = ", ".join(f"{expression} AS {column}" for column, (expression, _) in columns.items())
        op.execute(f"CREATE VIEW analyst.{name} AS SELECT {listed} FROM {origin}")  # noqa: S608
        op.execute(f"COMMENT ON VIEW analyst.{name} IS '{about}'")
        for column, (_, comment) in columns.items():
            op.execute(f"COMMENT ON COLUMN analyst.{name}.{column} IS '{comment}'")


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW analyst.{name}")
    op.execute("DROP SCHEMA analyst")
