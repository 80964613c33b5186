"""Lineage: every OpenLineage event, and whether Marquez has it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from sluice.adapters.postgres.tables.base import LedgerBase, Moment


class LineageEventRow(LedgerBase):
    __tablename__ = "lineage_events"
    __table_args__ = (
        CheckConstraint("attempts >= 0", name="attempts"),
        CheckConstraint("sent_at IS NULL OR parked IS NULL", name="parked"),
        Index("ix_lineage_events_unsent", "event_id", postgresql_where=text("sent_at IS NULL AND parked IS NULL")),
        Index("ix_lineage_events_sluice_run", "sluice_run_id", postgresql_where=text("sluice_run_id IS NOT NULL")),
        Index("ix_lineage_events_datasets", "inputs", "outputs", postgresql_using="gin"),
        {"comment": "Every OpenLineage event, in order; the outbox of what Marquez does not have yet."},
    )

    event_id: Mapped[int] = mapped_column(
        BigInteger(), Identity(always=True), primary_key=True, comment="Order of arrival, and of sending."
    )
    ol_run_id: Mapped[UUID | None] = mapped_column(comment="OpenLineage's run: one try of one task or DAG run.")
    sluice_run_id: Mapped[UUID | None] = mapped_column(comment="The run that it belongs to, where it says so.")
    job_namespace: Mapped[str] = mapped_column(comment="Namespace of the job.")
    job_name: Mapped[str] = mapped_column(comment="The job: dag or dag.task.")
    event_type: Mapped[str] = mapped_column(comment="START, RUNNING, COMPLETE, FAIL, ABORT or OTHER.")
    event_time: Mapped[datetime] = mapped_column(comment="When it happened, as the event says.")
    inputs: Mapped[list[str]] = mapped_column(comment="Datasets read, as namespace:name.")
    outputs: Mapped[list[str]] = mapped_column(comment="Datasets written, as namespace:name.")
    body: Mapped[dict[str, Any]] = mapped_column(comment="The whole event, cleaned.")
    recorded_at: Mapped[Moment] = mapped_column(comment="When it came in.")
    attempts: Mapped[int] = mapped_column(server_default=text("0"), comment="Times that Marquez failed on it.")
    sent_at: Mapped[datetime | None] = mapped_column(comment="When Marquez took it; null: not yet.")
    parked: Mapped[str | None] = mapped_column(comment="Why it is not sent again; null: it is not parked.")
