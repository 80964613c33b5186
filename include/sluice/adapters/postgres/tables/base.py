"""What all tables share: names of constraints, and how Python types are stored."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import TIMESTAMP, BigInteger, CheckConstraint, LargeBinary, MetaData, Text, Uuid, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

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
    dict[str, Any]: JSONB(),
}

Moment = Annotated[datetime, mapped_column(server_default=func.now())]
"""Set by the server to the start of the transaction that adds the row."""
Big = Annotated[int, mapped_column(BigInteger())]
RETENTION_DAYS = "Days of readable life from when content is first served; 0: for ever; null: what is wider decides."
RETAIN_UNTIL = "Unreadable from then on, instead of days; null: by days, or what is wider decides."


def retention() -> tuple[CheckConstraint, CheckConstraint]:
    """Of a table with `retention_days` and `retain_until`: at most one is set."""
    return (
        CheckConstraint("retention_days >= 0", name="retention_days"),
        CheckConstraint("retention_days IS NULL OR retain_until IS NULL", name="retention"),
    )


class LedgerBase(DeclarativeBase):
    """Tables of the ledger's database."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = TYPES


class KeysBase(DeclarativeBase):
    """Tables of the key database, which is never part of a data backup."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = TYPES
