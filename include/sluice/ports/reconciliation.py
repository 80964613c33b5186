"""The expected content of projections and object storage (`sluice.maintenance.reconciliation`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sluice.model.generation import Generation
from sluice.model.points import LedgerChunk, SourceDocument


class Reconciliation(Protocol):
    """Read access to what the stores must contain, and the record of each comparison."""

    def chunks_after(self, generation: Generation, after: UUID | None, limit: int) -> list[LedgerChunk]:
        """Returns chunks of active versions in the order of their ids' bytes; `after`: the last id of the previous
        page."""

    def chunks_of(self, generation: Generation, chunk_ids: Sequence[UUID]) -> list[LedgerChunk]:
        """Returns those that active versions have now, in the order of their ids."""

    def claimed(self, generation: Generation, chunk_ids: Sequence[UUID]) -> set[UUID]:
        """Returns those that a version in any state or the outbox contains: the reconciler must not delete them."""

    def documents_from(
        self, scheme: str, collection: str | None, after: UUID | None, limit: int
    ) -> list[SourceDocument]:
        """Returns documents with an active version, of sources whose URI has this scheme, in one collection or (None)
        all, by id."""

    def last_active(self, run_ids: Sequence[UUID]) -> dict[UUID, datetime]:
        """Returns when each of these runs was last active: when it was started, completed its scan, recorded a stage,
        or ended. While it has a lease, the end of the lease. A run that the ledger does not know is absent."""

    def in_quarantine(self, document_ids: Sequence[UUID]) -> set[UUID]:
        """Returns those with an open quarantine record, those whose source is leased by a run (it may be about to add a
        record), and those that this ledger does not know, because they may belong to another ledger or to a later
        state of this one."""

    def record(self, generation: Generation, started_at: datetime, repair: bool, report: Mapping[str, Any]) -> bool:
        """Records a finished comparison. Returns False, and records nothing, where the collection is being deleted or
        no longer exists."""
