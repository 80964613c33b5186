"""Retention settings, expired documents, and how long history is kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

Prunable = Literal["versions", "embeddings", "runs", "reconciliations", "quarantine", "lineage"]
"""Kinds of rows that the ledger needs only for a limited time."""


@dataclass(frozen=True, slots=True)
class Retention:
    """A retention in days or until a date; exactly one is set. Days count from when the content was first served."""

    days: int | None = None  # 0: without end
    until: datetime | None = None  # from this time on it cannot be read; with a time zone


@dataclass(frozen=True, slots=True)
class RetentionScope:
    """The scope of a retention: one document, else one source of a tenant, else a collection."""

    collection: str = ""
    tenant: str = "default"
    source: str = ""  # its uri
    document_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class RetentionSetting:
    scope: RetentionScope
    retention: Retention

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self.scope), **asdict(self.retention)}


@dataclass(frozen=True, slots=True)
class KeepDays:
    """Days after which unneeded history is deleted, by kind."""

    versions: int = 30  # from when they were superseded
    embeddings: int = 30  # from when they were found unused
    keys: int = 30  # from when their document was deleted
    runs: int = 365  # from their end; also for reconciliations
    quarantine: int = 90  # from when a record was resolved
    mirrors: int = 30  # from when a repository was last fetched
    lineage: int = 90  # from when an event was received


@dataclass(frozen=True, slots=True)
class ExpiredDocument:
    """A document that a purge deletes. Contains none of its text."""

    document_id: UUID
    external_id: str
    collection: str
    tenant: str
    expired_at: datetime
    chunks: int  # of its active versions

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
