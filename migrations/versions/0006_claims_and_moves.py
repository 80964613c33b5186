"""Leases of sources, documents that a scan did not list, and renames."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "claims",
        sa.Column("source_id", sa.Uuid(), nullable=False, comment="The source."),
        sa.Column("run_id", sa.Uuid(), nullable=False, comment="The run that holds it."),
        sa.Column(
            "claimed_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Since when.",
        ),
        sa.Column(
            "lapses_at",
            sa.TIMESTAMP(timezone=True),
            nullable=False,
            comment="Until when, unless it gives a sign of life.",
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_claims_run_id"),
        sa.ForeignKeyConstraint(["source_id"], ["sources.source_id"], name="fk_claims_source_id"),
        sa.PrimaryKeyConstraint("source_id", name="pk_claims"),
        comment="The run that works on a source. At most one; others wait until it ends or lapses.",
    )
    op.create_table(
        "vanished",
        sa.Column("run_id", sa.Uuid(), nullable=False, comment="The run."),
        sa.Column("document_id", sa.Uuid(), nullable=False, comment="The document."),
        sa.ForeignKeyConstraint(["document_id"], ["documents.document_id"], name="fk_vanished_document_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_vanished_run_id"),
        sa.PrimaryKeyConstraint("run_id", "document_id", name="pk_vanished"),
        comment="Documents that a run's scan did not list: gone, or moved. Dropped when it ends.",
    )
    op.create_table(
        "moves",
        sa.Column("run_id", sa.Uuid(), nullable=False, comment="The run that saw it."),
        sa.Column("document_id", sa.Uuid(), nullable=False, comment="The document."),
        sa.Column(
            "placeholder_id",
            sa.Uuid(),
            nullable=True,
            comment="Id that the new name had until the move was found; null: the source said it at once.",
        ),
        sa.Column("former_external_id", sa.Text(), nullable=False, comment="Its name before."),
        sa.Column("external_id", sa.Text(), nullable=False, comment="Its name since."),
        sa.Column(
            "how",
            sa.Text(),
            nullable=False,
            comment="source (told), content (same bytes) or similarity (shared chunks).",
        ),
        sa.Column(
            "moved_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was found.",
        ),
        sa.CheckConstraint("how IN ('source', 'content', 'similarity')", name=op.f("ck_moves_how")),
        sa.ForeignKeyConstraint(["document_id"], ["documents.document_id"], name="fk_moves_document_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_moves_run_id"),
        sa.PrimaryKeyConstraint("run_id", "document_id", name="pk_moves"),
        comment="Documents that kept their id and history under another name.",
    )
    op.create_index(
        "uq_moves_placeholder_id",
        "moves",
        ["placeholder_id"],
        unique=True,
        postgresql_where=sa.text("placeholder_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("moves")
    op.drop_table("vanished")
    op.drop_table("claims")
