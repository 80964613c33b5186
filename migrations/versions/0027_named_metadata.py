"""The weight of metadata that a question names."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_DEFAULT = sa.text("0.3")  # with which weights that were learned before are used


def upgrade() -> None:
    op.add_column(
        "search_weights",
        sa.Column(
            "metadata",
            sa.Double(),
            server_default=_DEFAULT,
            nullable=False,
            comment="Weight of metadata that the question names.",
        ),
    )
    op.alter_column("search_weights", "metadata", server_default=None)


def downgrade() -> None:
    op.drop_column("search_weights", "metadata")
