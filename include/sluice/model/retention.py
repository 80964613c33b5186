"""Retention settings, expired documents, and how long history is kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sluice.errors import BadRequest

Prunable = Literal[
    "versions", "embeddings", "runs", "reconciliations", "quarantine", "lineage", "evaluations", "feedback"
]
"""Kinds of rows that the ledger needs only for a limited time."""
_LONGEST_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class Retention:
    """A retention in days or until a date; exactly one is set. Days count from when the content was first served."""

    days: int | None = None  # 0: without end
    until: datetime | None = None  # from this time on it cannot be read; with a time zone

    def check(self) -> None:
        """Raises BadRequest unless it is exactly one of days (0 to 36,500) and a date with a time zone."""
        if (self.days is None) == (self.until is None):
            raise BadRequest("A retention is a number of days or a date; give one of the two.")
        if self.days is not None and not 0 <= self.days <= _LONGEST_DAYS:
            raise BadRequest(
                f"Retention of {self.days} days is not possible; give 1 to {_LONGEST_DAYS}, or 0 for ever."
            )
        if self.until is not None and self.until.tzinfo is None:
            raise BadRequest(f"The date {self.until} names no time zone, so its moment is not certain.")


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
        """Returns scope and retention as one flat object."""
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
    evaluations: int = 365  # from when they were recorded
    feedback: int = 90  # from when it was given


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
