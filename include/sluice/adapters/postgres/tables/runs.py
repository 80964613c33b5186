"""Runs, their stages and gate results, quarantine, and the outbox."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sluice.adapters.postgres.tables.base import Big, LedgerBase, LedgerId, Moment, OfDocument, OfRun, generation_key

_OPEN = text("resolved_at IS NULL")


class RunRow(LedgerBase):
    __tablename__ = "runs"
    __table_args__ = (
        generation_key("runs"),
        CheckConstraint("mode IN ('incremental', 'full', 'replay', 'purge')", name="mode"),
        CheckConstraint("state IN ('running', 'succeeded', 'failed')", name="state"),
        CheckConstraint("(finished_at IS NULL) = (state = 'running')", name="finished_at"),
        CheckConstraint("max_tokens >= 0 AND token_price >= 0", name="budget"),
        Index("ix_runs_source", "source_id", "started_at"),
        {"comment": "One pass over one source."},
    )

    run_id: Mapped[UUID] = mapped_column(primary_key=True, comment="Given by whoever starts the run.")
    source_id: Mapped[UUID] = mapped_column(ForeignKey("sources.source_id"), comment="What it reads.")
    collection_id: Mapped[UUID] = mapped_column(comment="What it writes to.")
    generation: Mapped[int] = mapped_column(comment="The generation that it writes.")
    mode: Mapped[str] = mapped_column(
        comment="incremental, full (nothing counts as unchanged), replay (of what quarantine keeps), or purge (of what "
        "expired)."
    )
    orchestrator: Mapped[str | None] = mapped_column(comment="Who runs it: airflow:<dag>/<run>, cli.")
    state: Mapped[str] = mapped_column(server_default=text("'running'"), comment="running, succeeded, failed.")
    started_at: Mapped[Moment] = mapped_column(comment="When it was first started.")
    scanned_at: Mapped[datetime | None] = mapped_column(
        comment="When its scan was complete and compared; null: not yet."
    )
    mark: Mapped[str | None] = mapped_column(
        comment="Cursor: names the state that its scan listed, such as a commit; null: its source has none."
    )
    finished_at: Mapped[datetime | None] = mapped_column(comment="When it ended; null while it runs.")
    summary: Mapped[dict[str, Any] | None] = mapped_column(comment="Counts and seconds, as the run reported them.")
    max_tokens: Mapped[Big | None] = mapped_column(comment="Tokens that embedding may take; null: any number.")
    token_price: Mapped[float | None] = mapped_column(
        comment="US dollars per million tokens, as of its start; null: not priced."
    )
    stopped: Mapped[str | None] = mapped_column(comment="The limit that it exceeded: budget; null: none.")


class RunStageRow(LedgerBase):
    __tablename__ = "run_stages"
    __table_args__ = (
        CheckConstraint("seconds >= 0", name="seconds"),
        {"comment": "What one stage did with one batch; a retry replaces it."},
    )

    run_id: Mapped[OfRun] = mapped_column(primary_key=True, comment="The run.")
    batch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="From 0; -1: the whole run.")
    stage: Mapped[str] = mapped_column(primary_key=True, comment="scan, extract, …")
    seconds: Mapped[float] = mapped_column(comment="Wall time.")
    counts: Mapped[dict[str, Any]] = mapped_column(comment="Numbers by name.")
    recorded_at: Mapped[Moment] = mapped_column(comment="When the stage reported.")


class RunCostRow(LedgerBase):
    __tablename__ = "run_costs"
    __table_args__ = (
        CheckConstraint("reserved_tokens >= 0 AND texts >= 0 AND tokens >= 0 AND seconds >= 0", name="numbers"),
        {"comment": "What embedding one batch has cost, in all attempts; only added to."},
    )

    run_id: Mapped[OfRun] = mapped_column(primary_key=True, comment="The run.")
    batch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="From 0.")
    reserved_tokens: Mapped[Big] = mapped_column(
        server_default=text("0"), comment="Set aside for a call of the embedder that is not over."
    )
    texts: Mapped[Big] = mapped_column(server_default=text("0"), comment="Texts that were computed.")
    tokens: Mapped[Big] = mapped_column(server_default=text("0"), comment="Tokens, as the embedder counts them.")
    seconds: Mapped[float] = mapped_column(server_default=text("0"), comment="Wall time in the embedder.")
    updated_at: Mapped[Moment] = mapped_column(comment="When it was last added to.")


class QuarantineRow(LedgerBase):
    __tablename__ = "quarantine"
    __table_args__ = (
        Index("uq_quarantine_open", "document_id", unique=True, postgresql_where=_OPEN),
        Index("ix_quarantine_open_by_source", "source_id", postgresql_where=_OPEN),
        Index(
            "ix_quarantine_released",
            "source_id",
            postgresql_where=text("resolved_at IS NOT NULL AND kept_bytes IS NOT NULL"),
        ),
        Index("ix_quarantine_run", "run_id"),
        Index(
            "ix_quarantine_resolved",
            "resolved_at",
            postgresql_where=text("resolved_at IS NOT NULL AND kept_bytes IS NULL"),
        ),
        CheckConstraint("kept_bytes >= 0", name="kept_bytes"),
        {"comment": "Documents that could not be processed, with the reason. At most one open record a document."},
    )

    quarantine_id: Mapped[LedgerId]
    document_id: Mapped[OfDocument] = mapped_column(comment="The document.")
    source_id: Mapped[UUID] = mapped_column(ForeignKey("sources.source_id"), comment="Its source.")
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.tenant_id"), comment="Who it belongs to.")
    run_id: Mapped[OfRun] = mapped_column(comment="The run that quarantined it.")
    stage: Mapped[str] = mapped_column(comment="Where it failed.")
    code: Mapped[str] = mapped_column(comment="Stable name of the reason.")
    reason: Mapped[str] = mapped_column(comment="What is wrong and what to do; never the document's text.")
    fingerprint: Mapped[str] = mapped_column(comment="The state that failed; not tried again until it changes.")
    created_at: Mapped[Moment] = mapped_column(comment="When it was quarantined.")
    resolved_at: Mapped[datetime | None] = mapped_column(comment="When it became active or was deleted; null: open.")
    kept_bytes: Mapped[Big | None] = mapped_column(
        comment="Size of the document's bytes that are retained, encrypted, in object storage; null: they are not."
    )
    raw_hash: Mapped[bytes | None] = mapped_column(
        comment="Keyed hash of the content that was quarantined; null: it could not be read."
    )


class GateResultRow(LedgerBase):
    __tablename__ = "gate_results"
    __table_args__ = (
        CheckConstraint("evaluated >= 0 AND unexpected >= 0", name="counts"),
        {"comment": "Every expectation of every gate on every batch; a retry replaces them."},
    )

    run_id: Mapped[OfRun] = mapped_column(primary_key=True, comment="The run.")
    batch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="From 0; -1: the whole run.")
    stage: Mapped[str] = mapped_column(primary_key=True, comment="After which stage the gate stands.")
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, comment="From 0, as evaluated.")
    suite: Mapped[str] = mapped_column(comment="Name of the suite.")
    expectation: Mapped[str] = mapped_column(comment="Name of the expectation.")
    column_name: Mapped[str | None] = mapped_column(comment="Column it looks at; null: the table.")
    success: Mapped[bool] = mapped_column(comment="Whether it passed.")
    blocking: Mapped[bool] = mapped_column(comment="Whether failing it keeps rows out.")
    evaluated: Mapped[Big] = mapped_column(comment="Rows looked at.")
    unexpected: Mapped[Big] = mapped_column(comment="Rows that failed it.")
    observed: Mapped[Any | None] = mapped_column(
        JSONB(none_as_null=True), comment="Observed value, a number or bounds."
    )
    recorded_at: Mapped[Moment] = mapped_column(comment="When the gate reported.")


class OutboxRow(LedgerBase):
    __tablename__ = "outbox"
    __table_args__ = (
        generation_key("outbox"),
        Index("ix_outbox_work", "collection_id", "outbox_id"),
        {"comment": "Chunks to delete from vectors and graph; a row is deleted when that is done."},
    )

    outbox_id: Mapped[int] = mapped_column(
        BigInteger(), Identity(always=True), primary_key=True, comment="Order of work."
    )
    collection_id: Mapped[UUID] = mapped_column(comment="The collection.")
    generation: Mapped[int] = mapped_column(comment="The generation to delete them from.")
    document_id: Mapped[OfDocument] = mapped_column(comment="The document.")
    chunk_ids: Mapped[list[UUID]] = mapped_column(comment="Chunks to delete.")
    document_gone: Mapped[bool] = mapped_column(comment="Whether the document itself is deleted, too.")
    created_at: Mapped[Moment] = mapped_column(comment="When it was queued.")


class PurgedDocumentRow(LedgerBase):
    __tablename__ = "purged_documents"
    __table_args__ = (
        CheckConstraint("chunks >= 0", name="chunks"),
        {"comment": "Documents that a purge deleted because they had expired. Source and actor: its run."},
    )

    run_id: Mapped[OfRun] = mapped_column(primary_key=True, comment="The purge.")
    document_id: Mapped[OfDocument] = mapped_column(primary_key=True, comment="The document.")
    expired_at: Mapped[datetime] = mapped_column(comment="Since when it could not be read.")
    chunks: Mapped[int] = mapped_column(comment="Chunks of its active versions that were deleted.")
    purged_at: Mapped[Moment] = mapped_column(comment="When it was deleted.")


class ReconciliationRow(LedgerBase):
    __tablename__ = "reconciliations"
    __table_args__ = (
        generation_key("reconciliations"),
        {"comment": "One comparison of a generation's projections with the ledger."},
    )

    reconciliation_id: Mapped[LedgerId]
    collection_id: Mapped[UUID] = mapped_column(comment="The collection.")
    generation: Mapped[int] = mapped_column(comment="The generation that was compared.")
    started_at: Mapped[datetime] = mapped_column(comment="When it began.")
    finished_at: Mapped[Moment] = mapped_column(comment="When it was over.")
    repair: Mapped[bool] = mapped_column(comment="Whether it was to repair what it found.")
    found: Mapped[dict[str, Any]] = mapped_column(comment="Counts by store, as reported.")
