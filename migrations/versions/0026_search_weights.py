"""Weights of searches that were learned from golden sets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_TABLE = "search_weights"
_CHANGED = "SELECT DISTINCT collection_id FROM changed_rows"
_ROWS = {
    "INSERT": "NEW TABLE AS changed_rows",
    "UPDATE": "NEW TABLE AS changed_rows",
    "DELETE": "OLD TABLE AS changed_rows",
}


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("collection_id", sa.Uuid(), nullable=False, comment="The collection."),
        sa.Column("generation", sa.Integer(), nullable=False, comment="The generation that was searched."),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="Whose judgements they were, and whose searches."),
        sa.Column("dense", sa.Double(), nullable=False, comment="Share of the dense retriever in the fused score."),
        sa.Column("pairs", sa.Double(), nullable=False, comment="Weight of pairs of words."),
        sa.Column("resemblance", sa.Double(), nullable=False, comment="Weight of similar passages."),
        sa.Column("queries", sa.Integer(), nullable=False, comment="Questions from which they were learned."),
        sa.Column("gain", sa.Double(), nullable=False, comment="Of nDCG@10 on questions that were left out."),
        sa.Column("p", sa.Double(), nullable=False, comment="Probability of such a gain by chance."),
        sa.Column(
            "learned_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When they were learned.",
        ),
        sa.CheckConstraint("dense >= 0 AND dense <= 1", name=op.f("ck_search_weights_dense")),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collections.collection_id"], name="fk_search_weights_collection_id_collections"
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name="fk_search_weights_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("collection_id", "generation", "tenant_id", name="pk_search_weights"),
        comment="Weights of a tenant's searches that were learned from its golden sets; without a row: the default.",
    )
    for event, rows in _ROWS.items():
        op.execute(
            f"CREATE TRIGGER {_TABLE}_{event.lower()}_epoch AFTER {event} ON {_TABLE} REFERENCING {rows} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION change_epochs('{_CHANGED}')"
        )


def downgrade() -> None:
    op.drop_table(_TABLE)
