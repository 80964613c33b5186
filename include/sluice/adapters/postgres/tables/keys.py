"""The key database: two tables, nothing but wrapped keys."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from sluice.adapters.postgres.tables.base import KeysBase, Moment


class DocumentKey(KeysBase):
    __tablename__ = "document_keys"
    __table_args__ = (
        CheckConstraint("octet_length(wrapped) >= 61", name="wrapped"),
        {"comment": "One key a document, wrapped by the master key. Deleting a row makes the document unreadable."},
    )

    document_id: Mapped[UUID] = mapped_column(primary_key=True, comment="The ledger's document id.")
    wrapped: Mapped[bytes] = mapped_column(comment="AES-GCM of the 32-byte key under the master key.")
    created_at: Mapped[Moment] = mapped_column(comment="When the key was made.")


class IndexKey(KeysBase):
    __tablename__ = "index_keys"
    __table_args__ = (
        CheckConstraint("octet_length(wrapped) >= 61", name="wrapped"),
        {"comment": "One key a tenant for keyed hashes, wrapped by the master key."},
    )

    tenant: Mapped[str] = mapped_column(primary_key=True, comment="The ledger's tenant id.")
    wrapped: Mapped[bytes] = mapped_column(comment="AES-GCM of the 32-byte key under the master key.")
    created_at: Mapped[Moment] = mapped_column(comment="When the key was made.")
