"""Retention settings and expired documents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from sluice.model.retention import ExpiredDocument, Retention, RetentionScope, RetentionSetting
from sluice.model.run import Run
from sluice.model.source import Source


class RetentionRules(Protocol):
    """Retention settings. The narrowest scope that has one applies: document, then source, then collection."""

    def assign(self, scope: RetentionScope, wanted: Retention | None) -> int:
        """Sets or replaces a retention; None removes it. It also applies to documents that are already served. Returns
        for how many the expiry changed. Raises NotFound, and BadRequest for an invalid retention."""

    def assigned(self, collection: str | None = None) -> list[RetentionSetting]:
        """Returns all settings, or those of one collection: collections first, then sources, then documents."""

    def clock(self) -> datetime:
        """Returns the ledger's time, by which documents expire."""

    def expired_sources(self, as_of: datetime, collection: str | None = None) -> list[Source]:
        """Returns sources with documents that had expired at `as_of`, are still expired, and are not purged yet."""

    def expired(
        self, source: Source, as_of: datetime, after: ExpiredDocument | None, limit: int
    ) -> list[ExpiredDocument]:
        """Returns these documents of one source, the longest expired first, including those deleted at the source;
        `after`: the last one of the previous page. Leaves out documents of which a running run has staged a version."""

    def purge(self, run: Run, document_ids: Sequence[UUID], as_of: datetime) -> list[UUID]:
        """Purges those documents that `expired` would return: adds all their chunks to the outbox, deletes the
        encrypted content of every version, and stores the hash of the last content. Records each with the run. Returns
        which were purged.

        The document's row stays as long as its source lists it: the same content is not ingested again while its
        retention has passed. Other content creates a new version."""
