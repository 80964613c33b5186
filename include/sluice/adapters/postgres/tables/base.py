"""What all tables share: names of constraints, and how Python types are stored."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
TYPES: dict[Any, Any] = {
    str: Text(),
    bytes: LargeBinary(),
    UUID: Uuid(),
    datetime: TIMESTAMP(timezone=True),
    list[str]: ARRAY(Text()),
    list[UUID]: ARRAY(Uuid()),
    list[int]: ARRAY(Integer()),
    list[float]: ARRAY(REAL()),
    dict[str, Any]: JSONB(),
}

Moment = Annotated[datetime, mapped_column(server_default=func.now())]
"""Set by the server to the start of the transaction that adds the row."""
Big = Annotated[int, mapped_column(BigInteger())]
LedgerId = Annotated[
    UUID, mapped_column(primary_key=True, server_default=text("uuidv7()"), comment="Assigned by the ledger.")
]
OfDocument = Annotated[UUID, mapped_column(ForeignKey("documents.document_id"))]
OfRun = Annotated[UUID, mapped_column(ForeignKey("runs.run_id"))]


class Retained:
    """A table whose rows may have a retention of their own."""

    retention_days: Mapped[int | None] = mapped_column(
        comment="Days of readable life from when content is first served; 0: for ever; null: what is wider decides."
    )
    retain_until: Mapped[datetime | None] = mapped_column(
        comment="Unreadable from then on, instead of days; null: by days, or what is wider decides."
    )

    @staticmethod
    def checks() -> tuple[CheckConstraint, CheckConstraint]:
        """At most one of the two is set."""
        return (
            CheckConstraint("retention_days >= 0", name="retention_days"),
            CheckConstraint("retention_days IS NULL OR retain_until IS NULL", name="retention"),
        )


def generation_key(table: str) -> ForeignKeyConstraint:
    """Of a table whose rows belong to a generation."""
    columns = ("collection_id", "generation")
    return ForeignKeyConstraint(columns, [f"generations.{name}" for name in columns], name=f"fk_{table}_generation")


class LedgerBase(DeclarativeBase):
    """Tables of the ledger's database."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = TYPES


class KeysBase(DeclarativeBase):
    """Tables of the key database, which is never part of a data backup."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = TYPES
