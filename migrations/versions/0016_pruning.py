"""Pruning: since when vectors are unused, when keys were destroyed, and indexes for finding old rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_MOMENT = sa.TIMESTAMP(timezone=True)
_INDEXES = (
    ("ix_versions_superseded", "versions", "activated_at", "state = 'superseded' AND sealed_text <> ''"),
    ("ix_versions_run", "versions", "run_id", None),
    ("ix_quarantine_run", "quarantine", "run_id", None),
    ("ix_quarantine_resolved", "quarantine", "resolved_at", "resolved_at IS NOT NULL AND kept_bytes IS NULL"),
    ("ix_signatures_run", "signatures", "run_id", None),
    ("ix_documents_keyed", "documents", "deleted_at", "deleted_at IS NOT NULL AND key_destroyed_at IS NULL"),
)


def upgrade() -> None:
    op.add_column(
        "documents",
        sa.Column(
            "key_destroyed_at", _MOMENT, comment="When its key was destroyed, after it was gone; null: it was not."
        ),
    )
    op.create_table(
        "unused_embeddings",
        sa.Column("embedder", sa.Text(), nullable=False, comment="Profile of the embedder."),
        sa.Column("text_hash", sa.LargeBinary(), nullable=False, comment="Keyed hash of the embedded text."),
        sa.Column(
            "since", _MOMENT, server_default=sa.text("now()"), nullable=False, comment="When it was first found unused."
        ),
        sa.ForeignKeyConstraint(
            ["embedder", "text_hash"],
            ["embeddings.embedder", "embeddings.text_hash"],
            name="fk_unused_embeddings_embedding",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("embedder", "text_hash", name="pk_unused_embeddings"),
        comment="Cached vectors that no chunk uses; they are removed after a while unless one does again.",
    )
    for name, table, column, where in _INDEXES:
        op.create_index(name, table, [column], postgresql_where=sa.text(where) if where else None)


def downgrade() -> None:
    for name, table, _, _ in reversed(_INDEXES):
        op.drop_index(name, table_name=table)
    op.drop_table("unused_embeddings")
    op.drop_column("documents", "key_destroyed_at")
