"""What all tables share: names of constraints, and how Python types are stored."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import TIMESTAMP, BigInteger, LargeBinary, MetaData, Text, Uuid, func
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


class LedgerBase(DeclarativeBase):
    """Tables of the ledger's database."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = TYPES


class KeysBase(DeclarativeBase):
    """Tables of the key database, which is never part of a data backup."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = TYPES
