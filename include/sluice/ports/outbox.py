"""Chunks that the projections have still to let go."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol
from uuid import UUID

from sluice.model.generation import Generation
from sluice.model.points import OutboxEntry


class Outbox(Protocol):
    def queued(self, generation: Generation) -> int:
        """Chunks that the outbox holds for the generation's collection: to be removed from the projections."""

    def removals(
        self, collection_id: UUID, limit: int, *, wait: bool = False
    ) -> AbstractContextManager[list[OutboxEntry]]:
        """The oldest entries of the outbox, to be carried out within the block; where it ends without an error they are
        struck off. Chunks that a version has again are left out, and the documents are locked as by `locked`.

        Entries that another caller is at work on are left to it or, with `wait`, waited for: then nothing is queued
        any more where none are returned. Raises Transient where that takes too long."""

    def locked(self, document_ids: Sequence[UUID]) -> AbstractContextManager[None]:
        """Until the block ends no version of these is staged, activated or taken out: who wants to, waits."""
