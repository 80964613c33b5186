"""Retained bytes in quarantine, and runs that replay them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_BEFORE = "incremental, or full (nothing counts as unchanged)."
_NOW = "incremental, full (nothing counts as unchanged), or replay (of what quarantine keeps)."


def upgrade() -> None:
    op.add_column(
        "quarantine",
        sa.Column(
            "kept_bytes",
            sa.BigInteger(),
            comment="Size of the document's bytes, kept sealed in object storage; null: they are not.",
        ),
    )
    op.create_check_constraint(op.f("ck_quarantine_kept_bytes"), "quarantine", "kept_bytes >= 0")
    op.create_index(
        "ix_quarantine_released",
        "quarantine",
        ["source_id"],
        postgresql_where=sa.text("resolved_at IS NOT NULL AND kept_bytes IS NOT NULL"),
    )
    op.drop_constraint(op.f("ck_runs_mode"), "runs", type_="check")
    op.create_check_constraint(op.f("ck_runs_mode"), "runs", "mode IN ('incremental', 'full', 'replay')")
    op.alter_column("runs", "mode", existing_type=sa.Text(), comment=_NOW, existing_comment=_BEFORE)


def downgrade() -> None:
    op.execute("UPDATE runs SET mode = 'full' WHERE mode = 'replay'")
    op.alter_column("runs", "mode", existing_type=sa.Text(), comment=_BEFORE, existing_comment=_NOW)
    op.drop_constraint(op.f("ck_runs_mode"), "runs", type_="check")
    op.create_check_constraint(op.f("ck_runs_mode"), "runs", "mode IN ('incremental', 'full')")
    op.drop_index("ix_quarantine_released", "quarantine")
    op.drop_constraint(op.f("ck_quarantine_kept_bytes"), "quarantine", type_="check")
    op.drop_column("quarantine", "kept_bytes")
