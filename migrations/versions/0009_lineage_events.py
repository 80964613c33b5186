"""Lineage events, which are also the outbox to Marquez."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_MOMENT = sa.TIMESTAMP(timezone=True)
_NAMES = postgresql.ARRAY(sa.Text())


def upgrade() -> None:
    op.create_table(
        "lineage_events",
        sa.Column(
            "event_id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="Order of arrival, and of sending.",
        ),
        sa.Column("ol_run_id", sa.Uuid(), comment="OpenLineage's run: one try of one task or DAG run."),
        sa.Column("sluice_run_id", sa.Uuid(), comment="The run that it belongs to, where it says so."),
        sa.Column("job_namespace", sa.Text(), nullable=False, comment="Namespace of the job."),
        sa.Column("job_name", sa.Text(), nullable=False, comment="The job: dag or dag.task."),
        sa.Column("event_type", sa.Text(), nullable=False, comment="START, RUNNING, COMPLETE, FAIL, ABORT or OTHER."),
        sa.Column("event_time", _MOMENT, nullable=False, comment="When it happened, as the event says."),
        sa.Column("inputs", _NAMES, nullable=False, comment="Datasets read, as namespace:name."),
        sa.Column("outputs", _NAMES, nullable=False, comment="Datasets written, as namespace:name."),
        sa.Column("body", postgresql.JSONB(), nullable=False, comment="The whole event, cleaned."),
        sa.Column("recorded_at", _MOMENT, server_default=sa.text("now()"), nullable=False, comment="When it came in."),
        sa.Column(
            "attempts",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Times that Marquez failed on it.",
        ),
        sa.Column("sent_at", _MOMENT, comment="When Marquez took it; null: not yet."),
        sa.Column("parked", sa.Text(), comment="Why it is not sent again; null: it is not parked."),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_lineage_events_attempts")),
        sa.CheckConstraint("sent_at IS NULL OR parked IS NULL", name=op.f("ck_lineage_events_parked")),
        sa.PrimaryKeyConstraint("event_id", name="pk_lineage_events"),
        comment="Every OpenLineage event, in order; the outbox of what Marquez does not have yet.",
    )
    op.create_index(
        "ix_lineage_events_unsent",
        "lineage_events",
        ["event_id"],
        postgresql_where=sa.text("sent_at IS NULL AND parked IS NULL"),
    )
    op.create_index(
        "ix_lineage_events_sluice_run",
        "lineage_events",
        ["sluice_run_id"],
        postgresql_where=sa.text("sluice_run_id IS NOT NULL"),
    )
    op.create_index("ix_lineage_events_datasets", "lineage_events", ["inputs", "outputs"], postgresql_using="gin")


def downgrade() -> None:
    op.drop_table("lineage_events")
