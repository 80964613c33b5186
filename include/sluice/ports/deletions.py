"""Manual deletions (`sluice.maintenance.deletion`), and counts of documents that a change would hide."""

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
    """Deletions of documents on request, and previews of their effect."""

    def deletable(self, source: Source, after: UUID | None, limit: int) -> list[UUID]:
        """Returns documents of the source that are not deleted for good, including those deleted manually while the
        source lists them, by id; `after`: the last one of the previous page."""

    def deleted(self, document_ids: Sequence[UUID]) -> set[UUID]:
        """Returns those that were purged or deleted manually, and stay so until their content changes."""

    def names_of(self, source: Source, document_ids: Sequence[UUID]) -> list[str]:
        """Returns the external ids of those documents of the source that are not deleted, in any order."""

    def remaining_keys(self, generation: Generation, source_id: UUID | None, limit: int) -> list[UUID]:
        """Returns documents of the collection, or of one source, that are deleted for good and whose keys are not yet
        destroyed, and the temporary ids of renamed documents. Report them to `pruning.key_destroyed` afterwards."""

    def held(self, source: Source, document_ids: Sequence[UUID] | None = None) -> Counts:
        """Counts, of these documents of the source (None: all), those that are not deleted, the chunks of their active
        versions, and their open quarantine records."""

    def delete(
        self, run: Run, document_ids: Sequence[UUID], *, still_listed: bool, actor: str | None = None
    ) -> list[UUID]:
        """Deletes documents and returns which were deleted. They are unreadable at once; all their chunks are added to
        the outbox, and the encrypted content of every version is deleted.

        `still_listed`: their source still lists them. The hash of their last content, served or quarantined, is stored,
        and they are not ingested again until the content changes or `restore` is called. Otherwise they are deleted for
        good. `actor`: who requested it; each deletion is recorded as by `record`."""

    def restore(self, document_id: UUID) -> Source:
        """Lets the next run of its source ingest the document again. Raises NotFound where it was not deleted
        manually."""

    def record(self, deletion: Deletion) -> None:
        """Records a deletion for the view `analyst.deletions`."""

    def hidden_by(self, spec: SourceSpec) -> int:
        """Counts documents of the saved source that would become unreadable, for everyone or for some of their readers,
        with the groups and the retention of `spec` (None: as saved). 0 for a new source."""

    def hidden_by_retention(self, scope: RetentionScope, wanted: Retention | None) -> int:
        """Counts documents that are readable now and would not be after `retention.assign`. Changes nothing. Raises the
        same errors."""
