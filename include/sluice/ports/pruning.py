"""Deletion of the ledger's own history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from sluice.model.retention import Prunable


class Pruning(Protocol):
    """Deletion of history by kind and age. `before`: rows that ended before this time; `KeepDays` defines the end."""

    def prunable(self, kind: Prunable, before: datetime) -> int:
        """Counts what `prune` would delete. Changes nothing."""

    def prune(self, kind: Prunable, before: datetime, limit: int) -> int:
        """Deletes at most `limit` rows; returns how many.

        versions: text, title and metadata of superseded versions; their rows stay. embeddings: see `mark_unused`. runs:
        with stages, gates and costs, where a later run of the source has succeeded and no version of theirs is served;
        the row stays while something refers to it. reconciliations: all but the latest of a collection. quarantine:
        resolved records. lineage: events, sent or not. evaluations: all but the latest of a golden set and embedder,
        and the latest that no drop was reported for. feedback: decided or not."""

    def mark_unused(self) -> None:
        """Records since when cached vectors are used by no chunk, and clears this for vectors that are used again.
        Deletes nothing."""

    def keyed(self, before: datetime, limit: int) -> list[UUID]:
        """Returns documents that were deleted before then, whose keys still exist but decrypt nothing any more; and the
        temporary ids of renamed documents, of runs that ended before then; and questions that nothing uses any
        more."""

    def key_destroyed(self, document_ids: Sequence[UUID]) -> None:
        """Records that the keys of these documents and questions are destroyed."""

    def destroy_keys(self, before: datetime, limit: int, destroy: Callable[[Sequence[UUID]], object]) -> int:
        """Has the keys of at most `limit` of these ids destroyed, records it, and returns how many it took. A question
        that is added again in between keeps its key, or waits and gets a new one. After a crash they are taken
        again."""
