"""Runs with their stages and gate results."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("run_id", sa.Uuid(), nullable=False, comment="Given by whoever starts the run."),
        sa.Column("source_id", sa.Uuid(), nullable=False, comment="What it reads."),
        sa.Column("collection_id", sa.Uuid(), nullable=False, comment="What it writes to."),
        sa.Column("generation", sa.Integer(), nullable=False, comment="The generation that it writes."),
        sa.Column("mode", sa.Text(), nullable=False, comment="incremental, or full (nothing counts as unchanged)."),
        sa.Column("orchestrator", sa.Text(), nullable=True, comment="Who runs it: airflow:<dag>/<run>, cli."),
        sa.Column(
            "state",
            sa.Text(),
            server_default=sa.text("'running'"),
            nullable=False,
            comment="running, succeeded, failed.",
        ),
        sa.Column(
            "started_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was first started.",
        ),
        sa.Column(
            "scanned_at",
            sa.TIMESTAMP(timezone=True),
            nullable=True,
            comment="When its scan was complete and compared; null: not yet.",
        ),
        sa.Column(
            "finished_at", sa.TIMESTAMP(timezone=True), nullable=True, comment="When it ended; null while it runs."
        ),
        sa.Column(
            "summary",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="Counts and seconds, as the run reported them.",
        ),
        sa.CheckConstraint("(finished_at IS NULL) = (state = 'running')", name=op.f("ck_runs_finished_at")),
        sa.CheckConstraint("mode IN ('incremental', 'full')", name=op.f("ck_runs_mode")),
        sa.CheckConstraint("state IN ('running', 'succeeded', 'failed')", name=op.f("ck_runs_state")),
        sa.ForeignKeyConstraint(
            ["collection_id", "generation"],
            ["generations.collection_id", "generations.generation"],
            name="fk_runs_generation",
        ),
        sa.ForeignKeyConstraint(["source_id"], ["sources.source_id"], name="fk_runs_source_id"),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
        comment="One pass over one source.",
    )
    op.create_index("ix_runs_source", "runs", ["source_id", "started_at"], unique=False)
    op.create_table(
        "run_stages",
        sa.Column("run_id", sa.Uuid(), nullable=False, comment="The run."),
        sa.Column("batch", sa.Integer(), autoincrement=False, nullable=False, comment="From 0; -1: the whole run."),
        sa.Column("stage", sa.Text(), nullable=False, comment="scan, extract, …"),
        sa.Column("seconds", sa.Double(), nullable=False, comment="Wall time."),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="Numbers by name."),
        sa.Column(
            "recorded_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the stage reported.",
        ),
        sa.CheckConstraint("seconds >= 0", name=op.f("ck_run_stages_seconds")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_run_stages_run_id"),
        sa.PrimaryKeyConstraint("run_id", "batch", "stage", name="pk_run_stages"),
        comment="What one stage did with one batch; a retry replaces it.",
    )
    op.create_table(
        "gate_results",
        sa.Column("run_id", sa.Uuid(), nullable=False, comment="The run."),
        sa.Column("batch", sa.Integer(), autoincrement=False, nullable=False, comment="From 0; -1: the whole run."),
        sa.Column("stage", sa.Text(), nullable=False, comment="After which stage the gate stands."),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False, comment="From 0, as evaluated."),
        sa.Column("suite", sa.Text(), nullable=False, comment="Name of the suite."),
        sa.Column("expectation", sa.Text(), nullable=False, comment="Name of the expectation."),
        sa.Column("column_name", sa.Text(), nullable=True, comment="Column it looks at; null: the table."),
        sa.Column("success", sa.Boolean(), nullable=False, comment="Whether it was met."),
        sa.Column("blocking", sa.Boolean(), nullable=False, comment="Whether failing it keeps rows out."),
        sa.Column("evaluated", sa.BigInteger(), nullable=False, comment="Rows looked at."),
        sa.Column("unexpected", sa.BigInteger(), nullable=False, comment="Rows that failed it."),
        sa.Column(
            "observed",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=True,
            comment="Observed value, a number or bounds.",
        ),
        sa.Column(
            "recorded_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the gate reported.",
        ),
        sa.CheckConstraint("evaluated >= 0 AND unexpected >= 0", name=op.f("ck_gate_results_counts")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_gate_results_run_id"),
        sa.PrimaryKeyConstraint("run_id", "batch", "stage", "position", name="pk_gate_results"),
        comment="Every expectation of every gate on every batch; a retry replaces them.",
    )


def downgrade() -> None:
    op.drop_table("gate_results")
    op.drop_table("run_stages")
    op.drop_table("runs")
