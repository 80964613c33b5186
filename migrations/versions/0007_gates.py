"""Gates: overrides by collection, rows that failed, and signatures for finding near-duplicates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_VIEW = {
    "run_id": "The run.",
    "batch": "From 0; -1: the whole run.",
    "stage": "After which stage the gate stands.",
    "document_id": "The document.",
    "ordinal": "The chunk, from 0; null: the document as a whole.",
    "suite": "Name of the suite.",
    "code": "Stable name of the check.",
    "expectation": "Name of the expectation.",
    "observed": "What was found: numbers, types and places, never text.",
    "recorded_at": "When the gate reported.",
}


def upgrade() -> None:
    op.create_table(
        "gate_overrides",
        sa.Column("collection_id", sa.Uuid(), nullable=False, comment="The collection."),
        sa.Column("suite", sa.Text(), nullable=False, comment="documents, chunks or vectors."),
        sa.Column("code", sa.Text(), nullable=False, comment="Stable name of the check."),
        sa.Column("action", sa.Text(), nullable=True, comment="off, flag, mask or block; null: as the suite says."),
        sa.Column("limit_value", sa.Double(), nullable=True, comment="The check's limit; null: as the suite says."),
        sa.Column(
            "options",
            postgresql.ARRAY(sa.Text()),
            nullable=True,
            comment="What the check looks for (types, languages); null: as the suite says.",
        ),
        sa.Column(
            "updated_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was last set.",
        ),
        sa.CheckConstraint("action IN ('off', 'flag', 'mask', 'block')", name="action"),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collections.collection_id"], name="fk_gate_overrides_collection_id"
        ),
        sa.PrimaryKeyConstraint("collection_id", "suite", "code", name="pk_gate_overrides"),
        comment="Where a collection departs from the suites of the gates.",
    )
    op.create_table(
        "gate_rows",
        sa.Column("run_id", sa.Uuid(), nullable=False, comment="The run."),
        sa.Column("batch", sa.Integer(), autoincrement=False, nullable=False, comment="From 0; -1: the whole run."),
        sa.Column("stage", sa.Text(), nullable=False, comment="After which stage the gate stands."),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False, comment="From 0, as judged."),
        sa.Column("document_id", sa.Uuid(), nullable=False, comment="The document."),
        sa.Column("ordinal", sa.Integer(), nullable=True, comment="The chunk, from 0; null: the document as a whole."),
        sa.Column("suite", sa.Text(), nullable=False, comment="Name of the suite."),
        sa.Column("code", sa.Text(), nullable=False, comment="Stable name of the check."),
        sa.Column("expectation", sa.Text(), nullable=False, comment="Name of the expectation."),
        sa.Column(
            "observed",
            postgresql.JSONB(none_as_null=True),
            nullable=True,
            comment="What was found: numbers, types and places, never text.",
        ),
        sa.Column(
            "recorded_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the gate reported.",
        ),
        sa.CheckConstraint("ordinal >= 0", name="ordinal"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_gate_rows_run_id"),
        sa.PrimaryKeyConstraint("run_id", "batch", "stage", "position", name="pk_gate_rows"),
        comment="Rows that failed an expectation, the first of each check and batch; a retry replaces them.",
    )
    op.create_table(
        "signatures",
        sa.Column("document_id", sa.Uuid(), nullable=False, comment="The document."),
        sa.Column("run_id", sa.Uuid(), nullable=False, comment="The run that last read it."),
        sa.Column("signature", sa.LargeBinary(), nullable=False, comment="64 minima of keyed hashes, uint32."),
        sa.Column("bands", postgresql.ARRAY(sa.BigInteger()), nullable=False, comment="Keyed hashes of its parts."),
        sa.CheckConstraint("octet_length(signature) = 256", name="signature"),
        sa.ForeignKeyConstraint(["document_id"], ["documents.document_id"], name="fk_signatures_document_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_signatures_run_id"),
        sa.PrimaryKeyConstraint("document_id", name="pk_signatures"),
        comment="What near-duplicates are found by. Keyed with the tenant's index key: no words can be told from it.",
    )
    # Without a list of pending entries, which every search would have to read through.
    op.create_index(
        "ix_signatures_bands",
        "signatures",
        ["bands"],
        unique=False,
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
    )
    op.execute(f"CREATE VIEW analyst.gate_rows AS SELECT {', '.join(_VIEW)} FROM gate_rows")  # noqa: S608
    op.execute("COMMENT ON VIEW analyst.gate_rows IS 'Documents and chunks that failed an expectation.'")
    for column, comment in _VIEW.items():
        op.execute(f"COMMENT ON COLUMN analyst.gate_rows.{column} IS '{comment}'")


def downgrade() -> None:
    op.execute("DROP VIEW analyst.gate_rows")
    op.drop_table("signatures")
    op.drop_table("gate_rows")
    op.drop_table("gate_overrides")
