"""Typed relations between two entities, by chunk."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "relations",
        sa.Column("version_id", sa.Uuid(), nullable=False, comment="The chunk's version."),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False, comment="The chunk's ordinal."),
        sa.Column("head_id", sa.Uuid(), nullable=False, comment="The entity of which it is said."),
        sa.Column("kind", sa.Text(), nullable=False, comment="citizen_of, located_in."),
        sa.Column("tail_id", sa.Uuid(), nullable=False, comment="The other entity."),
        sa.CheckConstraint("head_id <> tail_id", name=op.f("ck_relations_ends")),
        sa.ForeignKeyConstraint(
            ["version_id", "ordinal"],
            ["chunks.version_id", "chunks.ordinal"],
            name="fk_relations_chunk",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("version_id", "ordinal", "head_id", "kind", "tail_id", name="pk_relations"),
        comment="What a chunk says of two entities, both of which it mentions; once, however often it says it.",
    )


def downgrade() -> None:
    op.drop_table("relations")
