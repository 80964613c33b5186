"""Costs and budgets of runs, quotas of tenants."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_VIEW = {
    "run_id": "The run.",
    "batch": "From 0.",
    "texts": "Texts that were computed.",
    "tokens": "Tokens, as the embedder counts them.",
    "seconds": "Wall time in the embedder.",
    "money": "US dollars; null: not priced.",
    "updated_at": "When it was last added to.",
}


def upgrade() -> None:
    op.add_column(
        "tenants",
        sa.Column("max_documents", sa.BigInteger(), comment="Documents that may be served; null: any number."),
    )
    op.add_column(
        "tenants",
        sa.Column(
            "max_bytes", sa.BigInteger(), comment="Raw bytes of the documents that may be served; null: any number."
        ),
    )
    op.create_check_constraint(op.f("ck_tenants_quota"), "tenants", "max_documents >= 0 AND max_bytes >= 0")
    op.add_column(
        "runs",
        sa.Column("max_tokens", sa.BigInteger(), comment="Tokens that embedding may take; null: any number."),
    )
    op.add_column(
        "runs",
        sa.Column(
            "token_price", sa.Float(), comment="US dollars per million tokens, as of its start; null: not priced."
        ),
    )
    op.add_column(
        "runs",
        sa.Column("stopped", sa.Text(), comment="Why it took on nothing more: budget; null: it was not stopped."),
    )
    op.create_check_constraint(op.f("ck_runs_budget"), "runs", "max_tokens >= 0 AND token_price >= 0")
    _costs()


def _costs() -> None:
    zero = sa.text("0")
    op.create_table(
        "run_costs",
        sa.Column("run_id", sa.Uuid(), nullable=False, comment="The run."),
        sa.Column("batch", sa.Integer(), autoincrement=False, nullable=False, comment="From 0."),
        sa.Column(
            "reserved_tokens",
            sa.BigInteger(),
            server_default=zero,
            nullable=False,
            comment="Set aside for a call of the embedder that is not over.",
        ),
        sa.Column("texts", sa.BigInteger(), server_default=zero, nullable=False, comment="Texts that were computed."),
        sa.Column(
            "tokens",
            sa.BigInteger(),
            server_default=zero,
            nullable=False,
            comment="Tokens, as the embedder counts them.",
        ),
        sa.Column("seconds", sa.Float(), server_default=zero, nullable=False, comment="Wall time in the embedder."),
        sa.Column(
            "updated_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was last added to.",
        ),
        sa.CheckConstraint(
            "reserved_tokens >= 0 AND texts >= 0 AND tokens >= 0 AND seconds >= 0", name=op.f("ck_run_costs_numbers")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_run_costs_run_id"),
        sa.PrimaryKeyConstraint("run_id", "batch", name="pk_run_costs"),
        comment="What embedding one batch has cost, in all attempts; only added to.",
    )
    op.execute(
        "CREATE VIEW analyst.run_costs AS SELECT c.run_id, c.batch, c.texts, c.tokens, c.seconds, "
        "c.tokens * r.token_price / 1e6 AS money, c.updated_at FROM run_costs c JOIN runs r USING (run_id)"
    )
    op.execute("COMMENT ON VIEW analyst.run_costs IS 'What embedding one batch has cost, in all attempts.'")
    for column, comment in _VIEW.items():
        op.execute(f"COMMENT ON COLUMN analyst.run_costs.{column} IS '{comment}'")


def downgrade() -> None:
    op.execute("DROP VIEW analyst.run_costs")
    op.drop_table("run_costs")
    op.drop_constraint(op.f("ck_runs_budget"), "runs", type_="check")
    op.drop_column("runs", "stopped")
    op.drop_column("runs", "token_price")
    op.drop_column("runs", "max_tokens")
    op.drop_constraint(op.f("ck_tenants_quota"), "tenants", type_="check")
    op.drop_column("tenants", "max_bytes")
    op.drop_column("tenants", "max_documents")
