"""Versions of documents: staged, activated, and taken out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from sluice.model.points import EncryptedVersion
from sluice.model.run import Run
from sluice.model.scan import WorkItem


class Versions(Protocol):
    """`touch`, `stage` and `activate` skip a document that `superseded` names: what is newer stays. The
    first two return those that they skipped."""

    def superseded(self, run: Run, document_ids: Sequence[UUID]) -> set[UUID]:
        """Those of these of which a run of the same source that was started later knows more: it has completed a scan
        of the source since this run's own, or has made a version active, or is about to, or has purged the document.
        A replay scans nothing: what it works on is superseded once its open record is closed or is a later run's."""

    def touch(self, run: Run, items: Sequence[WorkItem]) -> set[UUID]:
        """Content is what is already active: remember only the new fingerprint (and uri)."""

    def stage(self, run: Run, versions: Sequence[EncryptedVersion]) -> set[UUID]:
        """Write pending versions with their chunks, mentions and relations. An older pending version of the same
        document (left by a crash) is dropped and its chunks queued for removal unless an active version has them."""

    def activate(self, run: Run, document_ids: Sequence[UUID]) -> list[UUID]:
        """One transaction: pending → active (number + 1, fingerprint, and the expiry that content served before keeps),
        the former active one superseded, chunks that are in it and not in the new one queued in the outbox, open
        quarantine records resolved. Chunk rows of the former version go, and entities that nothing mentions any more. A
        pending version that is skipped is dropped and its chunks queued. So is one that does not fit the tenant's
        quota, whoever else activates at the same time; returns the documents of those. First come, first served, in
        the order given."""

    def remove(self, run: Run, document_ids: Sequence[UUID]) -> int:
        """Gone at the source: mark deleted (unreadable at once), queue the removal of all chunks. Returns how many
        this call marked. Raises Terminal where a run of the source started later has completed a scan since this run's
        own: this run's list of what vanished is then out of date, and nothing is removed."""

    def deleted_by(self, run: Run) -> int:
        """How many documents this run has marked deleted, in all its attempts."""

    def drop_leftovers(self, run: Run) -> int:
        """Drop pending versions of the source that nobody will activate: this run's own, and those of other runs
        whose lease does not hold any more. Their chunks are queued unless they are served.
        Returns how many versions went. To be called when all batches of the run are done."""
