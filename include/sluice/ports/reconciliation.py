"""What the projections and the object storage must hold (`sluice.maintenance.reconciliation`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sluice.model.generation import Generation
from sluice.model.points import LedgerChunk, SourceDocument


class Reconciliation(Protocol):
    def chunks_after(self, generation: Generation, after: UUID | None, limit: int) -> list[LedgerChunk]:
        """Chunks of active versions in the order of their ids' bytes; `after`: the last id of the page before."""

    def chunks_of(self, generation: Generation, chunk_ids: Sequence[UUID]) -> list[LedgerChunk]:
        """Those of these that active versions have now, in the order of their ids."""

    def claimed(self, generation: Generation, chunk_ids: Sequence[UUID]) -> set[UUID]:
        """Those that a version in any state has, or whose removal is queued: nobody else may take them out."""

    def documents_from(
        self, scheme: str, collection: str | None, after: UUID | None, limit: int
    ) -> list[SourceDocument]:
        """Living documents with an active version, of sources whose URI has this scheme, in one collection or (None)
        all; by id."""

    def last_signs(self, run_ids: Sequence[UUID]) -> dict[UUID, datetime]:
        """When each of these runs was last active: it was started, completed its scan, recorded a stage, or
        ended. While it holds its source, the end of its lease. A run that the ledger does not know is absent."""

    def in_quarantine(self, document_ids: Sequence[UUID]) -> set[UUID]:
        """Those with an open quarantine record, those whose source a run holds (it may be about to make one), and those
        that are no documents of this ledger: of what another ledger knows, or a later state of this one, nothing is
        known here."""

    def record(self, generation: Generation, started_at: datetime, repair: bool, found: Mapping[str, Any]) -> bool:
        """A comparison that is over. False, and nothing is recorded, where the collection is being deleted or gone."""
