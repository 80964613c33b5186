"""Keyed terms of chunks: full text for searches while Qdrant does not answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, REAL

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_TERMS = "Keyed hashes of its words, mixed with the generation, so that each generation has its own."


def upgrade() -> None:
    op.create_table(
        "chunk_terms",
        sa.Column("version_id", sa.Uuid(), nullable=False, comment="The chunk's version."),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False, comment="The chunk's ordinal."),
        sa.Column("chunk_id", sa.Uuid(), nullable=False, comment="The chunk."),
        sa.Column("collection_id", sa.Uuid(), nullable=False, comment="The collection."),
        sa.Column("generation", sa.Integer(), nullable=False, comment="The generation."),
        sa.Column("source_id", sa.Uuid(), nullable=False, comment="The source of its document."),
        sa.Column("terms", ARRAY(sa.Integer()), nullable=False, comment=_TERMS),
        sa.Column("weights", ARRAY(REAL()), nullable=False, comment="BM25 weights of the terms, without IDF."),
        sa.CheckConstraint("cardinality(terms) = cardinality(weights)", name=op.f("ck_chunk_terms_weights")),
        sa.ForeignKeyConstraint(
            ["version_id", "ordinal"],
            ["chunks.version_id", "chunks.ordinal"],
            name="fk_chunk_terms_chunk",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("version_id", "ordinal", name="pk_chunk_terms"),
        comment="Words of chunks as keyed hashes, for full text while Qdrant does not answer.",
    )
    op.create_index("ix_chunk_terms_sample", "chunk_terms", ["collection_id", "generation", "chunk_id"])
    # A search reads the entries that are still unsorted one by one, so there may only be few (KiB).
    op.create_index(
        "ix_chunk_terms_terms",
        "chunk_terms",
        ["terms"],
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": 1024},
    )
    op.add_column(
        "generations",
        sa.Column(
            "terms_complete",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="Whether all its chunks have terms; not those that older releases loaded, until a repair.",
        ),
    )


def downgrade() -> None:
    op.drop_column("generations", "terms_complete")
    op.drop_table("chunk_terms")
