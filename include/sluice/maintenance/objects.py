"""Compares object storage with the ledger: reports lost uploads and garbage-collects orphaned objects.

    uploads/     a source: the upload of every served document must exist and be unchanged
    runs/        artefacts: orphaned when their run has not been active for days
    quarantine/  <document>.sealed: orphaned when the document has no open quarantine record
    purges/      lists of documents to purge: orphaned after days

An orphaned object is checked again before it is deleted. A lost upload cannot be restored: it is reported each time,
until it is uploaded again or its document is deleted. Its chunks are served until then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain, groupby, islice
from typing import Literal, TypeVar
from uuid import UUID

from sluice.errors import NotFound
from sluice.maintenance.drift import StoreReport
from sluice.model.points import SourceDocument
from sluice.ports.content import Blobs, Keyring
from sluice.ports.reconciliation import Reconciliation
from sluice.sources import uploads

T = TypeVar("T")
_PAGE = 500  # runs, documents or uploads at a time
# A run may have written an object and not yet its record in the ledger.
_GRACE = timedelta(hours=1)
_NOBODY = UUID(int=0)
_GRACE_UNKNOWN = timedelta(days=1)  # of objects for which the age is the only information


@dataclass(frozen=True, slots=True)
class OrphanedObject:
    """An object, or a folder with `objects` in it, that nothing refers to. `still` checks it again."""

    path: str
    objects: int
    still: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class ObjectComparison:
    """Compares object storage with the ledger."""

    reconciliation: Reconciliation
    blobs: Blobs
    keyring: Keyring
    artefacts_keep_days: int  # after their run was last active

    def compare(
        self, *, collection: str | None = None, collect_garbage: bool = False, deep: bool = False
    ) -> StoreReport:
        """Compares the uploads of one collection or of all. Only for all: also objects of no collection (artefacts,
        quarantine, lists of purges).

        `checked` counts documents, `surplus` orphaned objects. `collect_garbage` deletes these; `deep` reads the
        uploads."""
        report = StoreReport()
        self._compare_uploads(collection, deep, report)
        everywhere = () if collection else chain(self._runs(), self._quarantined(), self._lists())
        for orphan in chain(self._unnamed(collection), everywhere):
            if orphan.still():
                report.note("surplus", [orphan.path], orphan.objects)
                if collect_garbage:
                    self.blobs.remove(orphan.path)
                    report.repaired += orphan.objects
        return report

    def _compare_uploads(self, collection: str | None, deep: bool, report: StoreReport) -> None:
        after: UUID | None = None
        while page := self.reconciliation.documents_from("uploads", collection, after, _PAGE):
            report.checked += len(page)
            if self._damaged(page, deep):  # or uploaded again, or deleted, between two reads: check once more
                page_again = self.reconciliation.documents_from("uploads", collection, after, _PAGE)
                for document_id, kind in self._damaged([each for each in page_again if each in page], deep).items():
                    report.note(kind, [document_id])
            after = page[-1].document_id

    def _damaged(self, documents: list[SourceDocument], deep: bool) -> dict[UUID, Literal["missing", "stale"]]:
        ids = {each: uploads.upload_id(each.tenant, each.collection, each.external_id) for each in documents}
        keys = self.keyring.get(list(ids.values()))
        damaged: dict[UUID, Literal["missing", "stale"]] = {}
        for each, upload in ids.items():
            place = {"tenant": each.tenant, "collection": each.collection, "name": each.external_id}
            if damage := uploads.damage(self.blobs, keys.get(upload), **place, deep=deep):
                damaged[each.document_id] = damage
        return damaged

    def _unnamed(self, collection: str | None) -> Iterator[OrphanedObject]:
        """Yields objects in an upload's folder that its head does not name."""
        for folder, paths in groupby(self.blobs.walk("uploads"), key=lambda path: path.rpartition("/")[0]):
            parts = folder.split("/")  # uploads/<tenant>/<collection>/<upload>
            if len(parts) == 4 and collection in (None, parts[2]):
                for path in uploads.unnamed(self.blobs, self.keyring, folder, list(paths)):
                    yield OrphanedObject(path, 1, partial(self._is_unnamed, folder, path))

    def _is_unnamed(self, folder: str, path: str) -> bool:
        paths = list(self.blobs.walk(folder))
        unnamed = path in uploads.unnamed(self.blobs, self.keyring, folder, paths)
        return unnamed and self._older(path, _GRACE_UNKNOWN)

    def _runs(self) -> Iterator[OrphanedObject]:
        """Yields folders of runs that were last active long enough ago, or that the ledger does not know."""
        folders = groupby(self.blobs.walk("runs"), key=lambda path: path.split("/")[1])
        for page in _pages((name, next(paths), 1 + sum(1 for _ in paths)) for name, paths in folders):
            last_active = self.reconciliation.last_active([_id(name) for name, _, _ in page])
            for name, first, objects in page:
                if self._is_over(first, last_active.get(_id(name))):
                    yield OrphanedObject(f"runs/{name}", objects, partial(self._run_is_over, name, first))

    def _run_is_over(self, name: str, first: str) -> bool:
        return self._is_over(first, self.reconciliation.last_active([_id(name)]).get(_id(name)))

    def _is_over(self, first: str, seen_at: datetime | None) -> bool:
        if seen_at is None:
            return self._older(first, _GRACE_UNKNOWN)
        return datetime.now(UTC) - seen_at > timedelta(days=self.artefacts_keep_days)

    def _quarantined(self) -> Iterator[OrphanedObject]:
        """Yields bytes of documents that are no longer in quarantine, and unfinished writes of such bytes."""
        for page in _pages(self.blobs.walk("quarantine")):
            ids = {path: _id(path.split("/")[1].removesuffix(".sealed")) for path in page}
            quarantined = self.reconciliation.in_quarantine(list(ids.values()))
            for path, document_id in ids.items():
                if document_id == _NOBODY or document_id not in quarantined:
                    yield OrphanedObject(path, 1, partial(self._is_resolved, document_id, path))

    def _lists(self) -> Iterator[OrphanedObject]:
        """Yields old lists of documents to purge. A list is needed while its purge waits for approval or is retried."""
        for path in self.blobs.walk("purges"):
            yield OrphanedObject(path, 1, partial(self._older, path, timedelta(days=self.artefacts_keep_days)))

    def _is_resolved(self, document_id: UUID, path: str) -> bool:
        quarantined = document_id != _NOBODY and self.reconciliation.in_quarantine([document_id])
        return not quarantined and self._older(path, _GRACE)

    def _older(self, path: str, age: timedelta) -> bool:
        """Returns whether an object is older than `age`; False where it no longer exists."""
        try:
            return datetime.now(UTC) - self.blobs.modified_at(path) > age
        except NotFound:
            return False


def _pages(rows: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(rows)
    while page := list(islice(rest, _PAGE)):
        yield page


def _id(name: str) -> UUID:
    """Returns the id in a name, or `_NOBODY` where the name is not a UUID."""
    try:
        return UUID(name)
    except ValueError:
        return _NOBODY
