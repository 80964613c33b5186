"""How long what is served may be read, and what has come to its end."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

Prunable = Literal["versions", "embeddings", "runs", "reconciliations", "quarantine", "lineage"]
"""Kinds of rows that the ledger does not need for ever."""


@dataclass(frozen=True, slots=True)
class Retention:
    """One of the two. Days count from when a document's content was first served."""

    days: int | None = None  # 0: for ever
    until: datetime | None = None  # the first moment at which it cannot be read; with a time zone


@dataclass(frozen=True, slots=True)
class RetentionScope:
    """What a retention is set for: one document, else one source of a tenant, else a collection."""

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
    """Days after which what nobody reads any more is removed, by kind."""

    versions: int = 30  # from when they were superseded
    embeddings: int = 30  # from when they were found unused
    keys: int = 30  # from when their document was deleted
    runs: int = 365  # from their end; reconciliations, too
    quarantine: int = 90  # from when a record was resolved
    mirrors: int = 30  # from when a repository was last fetched
    lineage: int = 90  # from when an event came in


@dataclass(frozen=True, slots=True)
class ExpiredDocument:
    """A document that a purge takes out. Never its text."""

    document_id: UUID
    external_id: str
    collection: str
    tenant: str
    expired_at: datetime
    chunks: int  # of its active versions

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
