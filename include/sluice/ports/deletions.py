"""Deletions by hand (`sluice.maintenance.deletion`), and what a change would hide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from sluice.model.deletion import Deletion
from sluice.model.generation import Generation
from sluice.model.retention import Retention, RetentionScope
from sluice.model.run import Counts, Run
from sluice.model.source import Source, SourceSpec


class Deletions(Protocol):
    def deletable(self, source: Source, after: UUID | None, limit: int) -> list[UUID]:
        """Documents of the source that are not gone, also such as were deleted by hand while it lists them; by id;
        `after`: the last one of the page before."""

    def gone(self, document_ids: Sequence[UUID]) -> set[UUID]:
        """Those that were purged or deleted by hand, and stay so until their content changes."""

    def names_of(self, source: Source, document_ids: Sequence[UUID]) -> list[str]:
        """External ids of those that are documents of the source and neither gone nor deleted, in any order."""

    def keyed_in(self, generation: Generation, source_id: UUID | None, limit: int) -> list[UUID]:
        """Documents of the collection, or of one source, that are gone for good and whose keys are not destroyed,
        whatever is left of them, and ids that their new names had for a while. To be reported to
        `pruning.key_destroyed`."""

    def held(self, source: Source, document_ids: Sequence[UUID] | None = None) -> Counts:
        """Of these documents of the source (None: all): how many are neither gone nor deleted, chunks of their active
        versions, open quarantine records."""

    def delete(self, run: Run, document_ids: Sequence[UUID], *, listed: bool, actor: str | None = None) -> list[UUID]:
        """Unreadable at once; the removal of all chunks is queued and what is encrypted of every version dropped.
        Returns which went. `listed`: their source lists them still, so they are remembered by the hash of their last
        content, served or refused, and not ingested again until it changes or `restore` is called; else they are gone
        for good. `actor`: who asked for it; each that went is recorded, as by `record`."""

    def restore(self, document_id: UUID) -> Source:
        """The next run of its source ingests the document again. Raises NotFound where it was not deleted by hand."""

    def record(self, deletion: Deletion) -> None:
        """For the view `analyst.deletions`."""

    def hidden_by(self, spec: SourceSpec) -> int:
        """Documents of the saved source that are readable now, and would not be, for everyone or for some who may read
        them now, once the groups and the retention of `spec` (None: as saved) were saved. 0 for a new source."""

    def hidden_by_retention(self, scope: RetentionScope, wanted: Retention | None) -> int:
        """Documents that are readable now and would not be after `retention.assign`. Changes nothing. Raises as
        that."""
