"""Quarantine, and the outbox of pending removals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "quarantine",
        sa.Column(
            "quarantine_id",
            sa.Uuid(),
            server_default=sa.text("uuidv7()"),
            nullable=False,
            comment="Assigned by the ledger.",
        ),
        sa.Column("document_id", sa.Uuid(), nullable=False, comment="The document."),
        sa.Column("source_id", sa.Uuid(), nullable=False, comment="Its source."),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="Who it belongs to."),
        sa.Column("run_id", sa.Uuid(), nullable=False, comment="The run that refused it."),
        sa.Column("stage", sa.Text(), nullable=False, comment="Where it failed."),
        sa.Column("code", sa.Text(), nullable=False, comment="Stable name of the reason."),
        sa.Column(
            "reason", sa.Text(), nullable=False, comment="What is wrong and what to do; never the document's text."
        ),
        sa.Column(
            "fingerprint", sa.Text(), nullable=False, comment="The state that failed; not tried again until it changes."
        ),
        sa.Column(
            "created_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was quarantined.",
        ),
        sa.Column(
            "resolved_at",
            sa.TIMESTAMP(timezone=True),
            nullable=True,
            comment="When it became active or was gone; null: open.",
        ),
        sa.ForeignKeyConstraint(["document_id"], ["documents.document_id"], name="fk_quarantine_document_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_quarantine_run_id"),
        sa.ForeignKeyConstraint(["source_id"], ["sources.source_id"], name="fk_quarantine_source_id"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name="fk_quarantine_tenant_id"),
        sa.PrimaryKeyConstraint("quarantine_id", name="pk_quarantine"),
        comment="Documents that could not be processed, with the reason. At most one open record a document.",
    )
    op.create_index(
        "ix_quarantine_open_by_source",
        "quarantine",
        ["source_id"],
        unique=False,
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_index(
        "uq_quarantine_open",
        "quarantine",
        ["document_id"],
        unique=True,
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_table(
        "outbox",
        sa.Column("outbox_id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Order of work."),
        sa.Column("collection_id", sa.Uuid(), nullable=False, comment="The collection."),
        sa.Column("generation", sa.Integer(), nullable=False, comment="The generation to take them out of."),
        sa.Column("document_id", sa.Uuid(), nullable=False, comment="The document."),
        sa.Column("chunk_ids", postgresql.ARRAY(sa.Uuid()), nullable=False, comment="Chunks to take out."),
        sa.Column("document_gone", sa.Boolean(), nullable=False, comment="Whether the document itself is gone, too."),
        sa.Column(
            "created_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was queued.",
        ),
        sa.ForeignKeyConstraint(
            ["collection_id", "generation"],
            ["generations.collection_id", "generations.generation"],
            name="fk_outbox_generation",
        ),
        sa.ForeignKeyConstraint(["document_id"], ["documents.document_id"], name="fk_outbox_document_id"),
        sa.PrimaryKeyConstraint("outbox_id", name="pk_outbox"),
        comment="Chunks to be taken out of vectors and graph; struck off when that is done.",
    )
    op.create_index("ix_outbox_work", "outbox", ["collection_id", "outbox_id"], unique=False)


def downgrade() -> None:
    op.drop_table("outbox")
    op.drop_table("quarantine")
