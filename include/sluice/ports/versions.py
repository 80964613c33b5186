"""Versions of documents: staging, activation and deletion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from sluice.model.points import EncryptedVersion
from sluice.model.run import Run
from sluice.model.scan import WorkItem


class Versions(Protocol):
    """Versions of documents. `touch`, `stage` and `activate` skip documents that `superseded` returns, so that newer
    content stays. The first two return the documents that they skipped."""

    def superseded(self, run: Run, document_ids: Sequence[UUID]) -> set[UUID]:
        """Returns those documents that a later run of the same source supersedes: since this run's scan it has
        completed a scan of the source, or has staged or activated a version of the document, or has purged it. A replay
        has no scan: its document is superseded once its open quarantine record is closed or belongs to a later run."""

    def touch(self, run: Run, items: Sequence[WorkItem]) -> set[UUID]:
        """Stores only the new fingerprint and uri of documents whose content is already active."""

    def stage(self, run: Run, versions: Sequence[EncryptedVersion]) -> set[UUID]:
        """Writes pending versions with their chunks, mentions and relations. An older pending version of the same
        document (left by a crash) is deleted, and its chunks are added to the outbox unless an active version has them.
        """

    def activate(self, run: Run, document_ids: Sequence[UUID]) -> list[UUID]:
        """Activates pending versions in one transaction. Returns the documents that exceed the tenant's quota.

        The version gets the next number, the fingerprint and an expiry; content that was served before keeps its
        expiry. The previous version is superseded: chunks that the new one does not have are added to the outbox, and
        its chunk rows and entities that nothing mentions any more are deleted. Open quarantine records are resolved. A
        pending version that is skipped or exceeds the quota is deleted, and its chunks are added to the outbox. The
        quota also holds for concurrent activations; documents are taken in the order given."""

    def remove(self, run: Run, document_ids: Sequence[UUID]) -> int:
        """Marks documents that are gone at the source as deleted (unreadable at once) and adds all their chunks to the
        outbox. Returns how many this call marked. Raises Terminal, and deletes nothing, where a later run of the source
        has completed a scan since this run's own: this run's list of vanished documents is then out of date."""

    def deleted_by(self, run: Run) -> int:
        """Counts the documents that this run has marked as deleted, in all its attempts."""

    def drop_abandoned(self, run: Run) -> int:
        """Deletes pending versions of the source that no run will activate: this run's own, and those of other runs
        without a valid lease. Their chunks are added to the outbox unless they are served. Returns how many versions
        were deleted. To be called when all batches of the run are done."""
