"""How long documents are served, and which have come to their end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from sluice.model.retention import ExpiredDocument, Retention, RetentionScope, RetentionSetting
from sluice.model.run import Run
from sluice.model.source import Source


class RetentionRules(Protocol):
    """Of a document, its source and its collection the narrowest that has a retention decides."""

    def assign(self, scope: RetentionScope, wanted: Retention | None) -> int:
        """Set or replace; None takes it back. Documents that are served already expire by it once this returns.
        Returns for how many the end changed. Raises NotFound, and BadRequest for what cannot be a retention."""

    def assigned(self, collection: str | None = None) -> list[RetentionSetting]:
        """All that are set, or those of one collection: collections first, then sources, then documents."""

    def clock(self) -> datetime:
        """The ledger's time, by which documents expire."""

    def expired_sources(self, as_of: datetime, collection: str | None = None) -> list[Source]:
        """Those with documents that had expired then, and have still, and are not purged yet."""

    def expired(
        self, source: Source, as_of: datetime, after: ExpiredDocument | None, limit: int
    ) -> list[ExpiredDocument]:
        """The same documents of one source, the longest expired first, also such as are gone at the source; `after`:
        the last one of the page before. What a living run has staged anew is left out."""

    def purge(self, run: Run, document_ids: Sequence[UUID], as_of: datetime) -> list[UUID]:
        """Take out those of these that `expired` would list: queue the removal of all chunks, drop what is sealed of
        every version, keep the hash of the last content. Each is recorded with the run. Returns which went.

        The document itself stays, as long as its source lists it: the same content is not taken in again while its
        retention has passed; other content makes a new version."""
