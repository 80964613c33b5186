"""What the ledger removes of its own history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from sluice.model.retention import Prunable


class Pruning(Protocol):
    """`before`: what came to its end before then; see `KeepDays` for what that is."""

    def prunable(self, kind: Prunable, before: datetime) -> int:
        """How much `prune` would remove. Changes nothing."""

    def prune(self, kind: Prunable, before: datetime, limit: int) -> int:
        """Remove at most `limit`; returns how many went.

        versions: text, title and metadata of superseded ones; their rows stay. embeddings: see `mark_unused`. runs:
        with stages, gates and costs, where a later run of the source has succeeded and nothing that they made is
        served; the row stays while something refers to it. reconciliations: all but the latest of a collection.
        quarantine: resolved records. lineage: events, sent or not."""

    def mark_unused(self) -> None:
        """Note since when cached vectors are used by no chunk, and forget it of those that are used again. Removes
        nothing."""

    def keyed(self, before: datetime, limit: int) -> list[UUID]:
        """Documents that were deleted before then, whose keys are not destroyed and open nothing any more; and ids that
        new names had in runs that ended before then, until the names were found to be known documents."""

    def key_destroyed(self, document_ids: Sequence[UUID]) -> None:
        """Their keys are destroyed: note it."""
