"""Gates: departures of collections from the suites, rows that failed, signatures of documents."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Double, ForeignKey, Index, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sluice.adapters.postgres.tables.base import LedgerBase, Moment, OfDocument, OfRun


class GateOverrideRow(LedgerBase):
    __tablename__ = "gate_overrides"
    __table_args__ = (
        CheckConstraint("action IN ('off', 'flag', 'mask', 'block')", name="action"),
        {"comment": "Where a collection departs from the suites of the gates."},
    )

    collection_id: Mapped[UUID] = mapped_column(
        ForeignKey("collections.collection_id"), primary_key=True, comment="The collection."
    )
    suite: Mapped[str] = mapped_column(primary_key=True, comment="documents, chunks or vectors.")
    code: Mapped[str] = mapped_column(primary_key=True, comment="Stable name of the check.")
    action: Mapped[str | None] = mapped_column(comment="off, flag, mask or block; null: as the suite says.")
    limit_value: Mapped[float | None] = mapped_column(Double(), comment="The check's limit; null: as the suite says.")
    options: Mapped[list[str] | None] = mapped_column(
        comment="What the check looks for (types, languages); null: as the suite says."
    )
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), comment="When it was last set.")


class GateRowRow(LedgerBase):
    __tablename__ = "gate_rows"
    __table_args__ = (
        CheckConstraint("ordinal >= 0", name="ordinal"),
        {"comment": "Rows that failed an expectation, the first of each check and batch; a retry replaces them."},
    )

    run_id: Mapped[OfRun] = mapped_column(primary_key=True, comment="The run.")
    batch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="From 0; -1: the whole run.")
    stage: Mapped[str] = mapped_column(primary_key=True, comment="After which stage the gate stands.")
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="From 0, as evaluated.")
    document_id: Mapped[UUID] = mapped_column(comment="The document.")
    ordinal: Mapped[int | None] = mapped_column(comment="The chunk, from 0; null: the document as a whole.")
    suite: Mapped[str] = mapped_column(comment="Name of the suite.")
    code: Mapped[str] = mapped_column(comment="Stable name of the check.")
    expectation: Mapped[str] = mapped_column(comment="Name of the expectation.")
    observed: Mapped[Any | None] = mapped_column(
        JSONB(none_as_null=True), comment="What was found: numbers, types and places, never text."
    )
    recorded_at: Mapped[Moment] = mapped_column(comment="When the gate reported.")


class SignatureRow(LedgerBase):
    __tablename__ = "signatures"
    __table_args__ = (
        CheckConstraint("octet_length(signature) = 256", name="signature"),
        Index("ix_signatures_run", "run_id"),
        Index("ix_signatures_bands", "bands", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
        {
            "comment": "What near-duplicates are found by. Keyed with the tenant's index key: no words can be told "
            "from it."
        },
    )

    document_id: Mapped[OfDocument] = mapped_column(primary_key=True, comment="The document.")
    run_id: Mapped[OfRun] = mapped_column(comment="The run that last read it.")
    signature: Mapped[bytes] = mapped_column(comment="64 minima of keyed hashes, uint32.")
    bands: Mapped[list[int]] = mapped_column(ARRAY(BigInteger()), comment="Keyed hashes of its parts.")
