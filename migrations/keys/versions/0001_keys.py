"""Wrapped keys of documents and tenants."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "document_keys",
        sa.Column("document_id", sa.Uuid(), nullable=False, comment="The ledger's document id."),
        sa.Column(
            "wrapped", sa.LargeBinary(), nullable=False, comment="AES-GCM of the 32-byte key under the master key."
        ),
        sa.Column(
            "created_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the key was made.",
        ),
        sa.CheckConstraint("octet_length(wrapped) >= 61", name=op.f("ck_document_keys_wrapped")),
        sa.PrimaryKeyConstraint("document_id", name=op.f("pk_document_keys")),
        comment="One key a document, wrapped by the master key. Deleting a row makes the document unreadable.",
    )
    op.create_table(
        "index_keys",
        sa.Column("tenant", sa.Text(), nullable=False, comment="The ledger's tenant id."),
        sa.Column(
            "wrapped", sa.LargeBinary(), nullable=False, comment="AES-GCM of the 32-byte key under the master key."
        ),
        sa.Column(
            "created_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the key was made.",
        ),
        sa.CheckConstraint("octet_length(wrapped) >= 61", name=op.f("ck_index_keys_wrapped")),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_index_keys")),
        comment="One key a tenant for keyed hashes, wrapped by the master key.",
    )


def downgrade() -> None:
    op.drop_table("index_keys")
    op.drop_table("document_keys")
