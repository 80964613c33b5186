"""Collections and their live generations."""

from __future__ import annotations

from typing import Protocol

from sluice.model.generation import Generation
from sluice.model.run import Counts


class Collections(Protocol):
    def generations(self) -> list[Generation]:
        """The live generation of every collection (operator's view)."""

    def counts(self, generation: Generation, tenant: str | None = None) -> Counts:
        """Living documents and chunks of their active versions; open quarantine records."""

    def begin_drop(self, generation: Generation) -> None:
        """From now on no source is opened in the collection, no run takes one of its sources, and nothing is staged in
        it: each raises Busy until `drop` is done. Runs of mode purge go on. Safe to repeat. Raises Terminal,
        and changes nothing, where the collection holds a document, a source that was not removed or something queued,
        or a run works in it."""

    def drop(self, generation: Generation) -> None:
        """Everything that the ledger knows of the collection goes. Raises Terminal where it holds a document or
        something queued, or a run works in it. Safe to repeat."""
