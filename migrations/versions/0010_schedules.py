"""Schedules of saved sources, and the cursor that each run reached."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "sources",
        sa.Column("schedule", sa.Text(), comment="When it is due: five fields of cron, UTC; null: every night."),
    )
    op.add_column(
        "sources",
        sa.Column(
            "paused",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether it is left out of runs that nobody asks for.",
        ),
    )
    op.add_column(
        "runs",
        sa.Column(
            "mark",
            sa.Text(),
            comment="What names the state that its scan listed, such as a commit; null: its source has no such name.",
        ),
    )


def downgrade() -> None:
    op.drop_column("runs", "mark")
    op.drop_column("sources", "paused")
    op.drop_column("sources", "schedule")
