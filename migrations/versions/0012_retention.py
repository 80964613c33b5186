"""Retention by collection, source and document, in days or by a date; purged documents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_MOMENT = sa.TIMESTAMP(timezone=True)
_TABLES = ("collections", "sources", "documents")
_DAYS = "Days of readable life from when content is first served; 0: for ever; null: what is wider decides."
_UNTIL = "Unreadable from then on, instead of days; null: by days, or what is wider decides."
_OLD_DAYS = "Days from activation to expiry; null: kept for ever."
_EXPIRES = "Unreadable from then on, by the narrowest retention that is set; null: never."
_MODE = (
    "incremental, full (nothing counts as unchanged), replay (of what quarantine keeps), or purge (of what expired)."
)
_OLD_MODE = "incremental, full (nothing counts as unchanged), or replay (of what quarantine keeps)."


def upgrade() -> None:
    _add_retention()
    op.add_column(
        "documents",
        sa.Column(
            "served_since",
            _MOMENT,
            comment="When the content of its last version was first served; retention counts from it; null: never "
            "served.",
        ),
    )
    op.add_column(
        "documents",
        sa.Column(
            "purged_hash",
            sa.LargeBinary(),
            comment="Keyed hash of the content that expired and was taken out; null: it was not.",
        ),
    )
    op.execute(
        "UPDATE documents d SET served_since = v.last_at "
        "FROM (SELECT document_id, max(activated_at) AS last_at FROM versions GROUP BY document_id) v "
        "WHERE v.document_id = d.document_id AND v.last_at IS NOT NULL"
    )
    op.create_index(
        "ix_documents_expiring",
        "documents",
        ["source_id", "expires_at", "document_id"],
        postgresql_where=sa.text("expires_at IS NOT NULL AND purged_hash IS NULL"),
    )
    op.alter_column("documents", "expires_at", comment=_EXPIRES, existing_type=_MOMENT)
    _modes("'incremental', 'full', 'replay', 'purge'", _MODE)
    op.create_table(
        "purged_documents",
        sa.Column("run_id", sa.Uuid(), nullable=False, comment="The purge."),
        sa.Column("document_id", sa.Uuid(), nullable=False, comment="The document."),
        sa.Column("expired_at", _MOMENT, nullable=False, comment="Since when it could not be read."),
        sa.Column("chunks", sa.Integer(), nullable=False, comment="Chunks of its active versions that went."),
        sa.Column(
            "purged_at", _MOMENT, server_default=sa.text("now()"), nullable=False, comment="When it was taken out."
        ),
        sa.CheckConstraint("chunks >= 0", name=op.f("ck_purged_documents_chunks")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_purged_documents_run_id"),
        sa.ForeignKeyConstraint(["document_id"], ["documents.document_id"], name="fk_purged_documents_document_id"),
        sa.PrimaryKeyConstraint("run_id", "document_id", name="pk_purged_documents"),
        comment="What a purge took out because it had expired. Where from and by whom: its run.",
    )


def downgrade() -> None:
    op.drop_table("purged_documents")
    op.execute("UPDATE runs SET mode = 'incremental' WHERE mode = 'purge'")
    _modes("'incremental', 'full', 'replay'", _OLD_MODE)
    op.alter_column("documents", "expires_at", comment="Unreadable from then on; null: never.", existing_type=_MOMENT)
    op.drop_index("ix_documents_expiring", table_name="documents")
    op.drop_column("documents", "purged_hash")
    op.drop_column("documents", "served_since")
    _drop_retention()


def _add_retention() -> None:
    op.drop_constraint(op.f("ck_sources_retention_days"), "sources")
    op.alter_column("sources", "retention_days", comment=_DAYS, existing_type=sa.Integer())
    for table in _TABLES:
        if table != "sources":
            op.add_column(table, sa.Column("retention_days", sa.Integer(), comment=_DAYS))
        op.add_column(table, sa.Column("retain_until", _MOMENT, comment=_UNTIL))
        op.create_check_constraint(op.f(f"ck_{table}_retention_days"), table, "retention_days >= 0")
        op.create_check_constraint(
            op.f(f"ck_{table}_retention"), table, "retention_days IS NULL OR retain_until IS NULL"
        )


def _drop_retention() -> None:
    for table in _TABLES:
        op.drop_constraint(op.f(f"ck_{table}_retention"), table)
        op.drop_constraint(op.f(f"ck_{table}_retention_days"), table)
        op.drop_column(table, "retain_until")
        if table != "sources":
            op.drop_column(table, "retention_days")
    op.execute("UPDATE sources SET retention_days = NULL WHERE retention_days = 0")
    op.alter_column("sources", "retention_days", comment=_OLD_DAYS, existing_type=sa.Integer())
    op.create_check_constraint(op.f("ck_sources_retention_days"), "sources", "retention_days >= 1")


def _modes(listed: str, comment: str) -> None:
    op.drop_constraint(op.f("ck_runs_mode"), "runs")
    op.create_check_constraint(op.f("ck_runs_mode"), "runs", f"mode IN ({listed})")
    op.alter_column("runs", "mode", comment=comment, existing_type=sa.Text())
