"""The outbox: chunks that are still to be deleted from the projections."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol
from uuid import UUID

from sluice.model.generation import Generation
from sluice.model.points import OutboxEntry


class Outbox(Protocol):
    """An entry is written in the transaction that makes its chunks obsolete, and deleted with the chunks."""

    def queued(self, generation: Generation) -> int:
        """Counts the chunks in the outbox of the generation's collection."""

    def entries(
        self, collection_id: UUID, limit: int, *, wait: bool = False
    ) -> AbstractContextManager[list[OutboxEntry]]:
        """Returns the oldest outbox entries, to be processed within the block. They are deleted where it ends without
        an error. Chunks that a version has again are left out, and the documents are locked as by `locked`.

        Entries that another caller is processing are skipped or, with `wait`, waited for: the outbox is then empty
        where no entry is returned. Raises Transient where the wait takes too long."""

    def locked(self, document_ids: Sequence[UUID]) -> AbstractContextManager[None]:
        """Locks documents: until the block ends, staging, activating or deleting their versions waits."""
