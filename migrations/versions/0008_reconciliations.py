"""Reports of reconciliation, and an index for paging through the chunks of a generation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_chunks_pages", "chunks", ["collection_id", "generation", "chunk_id"], unique=False)
    op.create_table(
        "reconciliations",
        sa.Column(
            "reconciliation_id",
            sa.Uuid(),
            server_default=sa.text("uuidv7()"),
            nullable=False,
            comment="Assigned by the ledger.",
        ),
        sa.Column("collection_id", sa.Uuid(), nullable=False, comment="The collection."),
        sa.Column("generation", sa.Integer(), nullable=False, comment="The generation that was compared."),
        sa.Column("started_at", sa.TIMESTAMP(timezone=True), nullable=False, comment="When it began."),
        sa.Column(
            "finished_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was over.",
        ),
        sa.Column("repair", sa.Boolean(), nullable=False, comment="Whether it was to repair what it found."),
        sa.Column(
            "found",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Counts by store, as reported.",
        ),
        sa.ForeignKeyConstraint(
            ["collection_id", "generation"],
            ["generations.collection_id", "generations.generation"],
            name="fk_reconciliations_generation",
        ),
        sa.PrimaryKeyConstraint("reconciliation_id", name="pk_reconciliations"),
        comment="One comparison of a generation's projections with the ledger.",
    )


def downgrade() -> None:
    op.drop_table("reconciliations")
    op.drop_index("ix_chunks_pages", table_name="chunks")
