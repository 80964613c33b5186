"""Leases of sources, what the last scan of each missed, and renames."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from sluice.adapters.postgres.tables.base import LedgerBase, Moment, OfDocument, OfRun


class ClaimRow(LedgerBase):
    __tablename__ = "claims"
    __table_args__ = (
        {"comment": "Leases of sources. At most one run holds one; others wait until it ends or expires."},
    )

    source_id: Mapped[UUID] = mapped_column(ForeignKey("sources.source_id"), primary_key=True, comment="The source.")
    run_id: Mapped[OfRun] = mapped_column(comment="The run that holds the lease.")
    claimed_at: Mapped[Moment] = mapped_column(comment="Since when.")
    lapses_at: Mapped[datetime] = mapped_column(comment="When it expires, unless the run renews it.")
    in_session: Mapped[bool] = mapped_column(
        server_default=text("false"),
        comment="Whether one process does the whole run and holds its advisory lock while it lives.",
    )


class VanishedRow(LedgerBase):
    __tablename__ = "vanished"
    __table_args__ = (
        {
            "comment": "Documents that a run's scan did not list: gone, or moved. Dropped when the run succeeds or a "
            "later one has scanned."
        },
    )

    run_id: Mapped[OfRun] = mapped_column(primary_key=True, comment="The run.")
    document_id: Mapped[OfDocument] = mapped_column(primary_key=True, comment="The document.")


class MoveRow(LedgerBase):
    __tablename__ = "moves"
    __table_args__ = (
        CheckConstraint("how IN ('source', 'content', 'similarity')", name="how"),
        Index(
            "uq_moves_placeholder_id",
            "placeholder_id",
            unique=True,
            postgresql_where=text("placeholder_id IS NOT NULL"),
        ),
        {"comment": "Renamed documents. They have their id and history as before."},
    )

    run_id: Mapped[OfRun] = mapped_column(primary_key=True, comment="The run that saw it.")
    document_id: Mapped[OfDocument] = mapped_column(primary_key=True, comment="The document.")
    placeholder_id: Mapped[UUID | None] = mapped_column(
        comment="Id that the new name had until the rename was matched; null: the source reported it."
    )
    former_external_id: Mapped[str] = mapped_column(comment="Its name before.")
    external_id: Mapped[str] = mapped_column(comment="Its name since.")
    how: Mapped[str] = mapped_column(comment="source (reported), content (same bytes) or similarity (similar text).")
    moved_at: Mapped[Moment] = mapped_column(comment="When it was matched.")
