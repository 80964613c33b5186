"""Leases record whether one process does the whole run. Documents that a scan did not list stay recorded after a
failed run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_BEFORE = "Documents that a run's scan did not list: gone, or moved. Dropped when it ends."
_SINCE = (
    "Documents that a run's scan did not list: gone, or moved. Dropped when the run succeeds or a later one has "
    "scanned."
)


def upgrade() -> None:
    op.add_column(
        "claims",
        sa.Column(
            "in_session",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether one process does the whole run and holds its advisory lock while it lives.",
        ),
    )
    op.create_table_comment("vanished", _SINCE, existing_comment=_BEFORE)


def downgrade() -> None:
    op.create_table_comment("vanished", _BEFORE, existing_comment=_SINCE)
    op.drop_column("claims", "in_session")
