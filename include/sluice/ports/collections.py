"""Collections and their live generations."""

from __future__ import annotations

from typing import Protocol

from sluice.model.generation import Generation
from sluice.model.run import Counts


class Collections(Protocol):
    """Collections in the ledger. Each one has a live generation."""

    def generations(self) -> list[Generation]:
        """Returns the live generation of every collection (operator's view)."""

    def counts(self, generation: Generation, tenant: str | None = None) -> Counts:
        """Counts documents that are not deleted, chunks of their active versions, and open quarantine records."""

    def begin_drop(self, generation: Generation) -> None:
        """Marks the collection as being dropped. Until `drop` has finished, opening or claiming one of its sources and
        staging versions in it raise Busy; runs of mode purge continue. Safe to repeat.

        Raises Terminal, and changes nothing, where the collection has a document, a source that was not removed, an
        outbox entry or a run in progress."""

    def drop(self, generation: Generation) -> None:
        """Deletes all rows of the collection in the ledger. Raises Terminal where it has a document, an outbox entry or
        a run in progress. Safe to repeat."""
