"""Object storage against the ledger: uploads that are lost, and objects that nobody needs any more.

    uploads/     a source: what a served document was made from has to be there, and be what was sent
    runs/        artefacts: nobody needs them when their run has not been active for days
    quarantine/  <document>.sealed: nobody needs it when the document has no open quarantine record
    purges/      what a purge was to remove: nobody needs it after days

What is left over is looked at again before it goes. A lost upload cannot be made again: it is told, each time, until it
is sent again or its document is removed; what was made from it is served meanwhile.
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
from sluice.maintenance.drift import Found
from sluice.model.points import SourceDocument
from sluice.ports.tools import Tools
from sluice.sources import uploads

T = TypeVar("T")
_PAGE = 500  # runs, documents or uploads at a time
# Somebody may be between an object and its record in the ledger.
_GRACE = timedelta(hours=1)
_NOBODY = UUID(int=0)
_GRACE_UNKNOWN = timedelta(days=1)  # nothing but its age speaks for it


@dataclass(frozen=True, slots=True)
class Leftover:
    """An object, or a folder with `objects` in it, that nobody needs as far as was seen."""

    path: str
    objects: int
    still: Callable[[], bool]


def compare(tools: Tools, *, collection: str | None = None, sweep: bool = False, deep: bool = False) -> Found:
    """Uploads of all collections or one, and, where all are asked for, what belongs to no collection. `checked` counts
    documents, `surplus` objects; `sweep` removes those; `deep` reads the uploads."""
    found = Found()
    _compare_uploads(tools, collection, deep, found)
    everywhere = () if collection else chain(_runs(tools), _quarantined(tools), _lists(tools))
    for each in chain(_unnamed(tools, collection), everywhere):
        if each.still():
            found.note("surplus", [each.path], each.objects)
            if sweep:
                tools.blobs.remove(each.path)
                found.repaired += each.objects
    return found


def _compare_uploads(tools: Tools, collection: str | None, deep: bool, found: Found) -> None:
    after: UUID | None = None
    while page := tools.ledger.reconciliation.documents_from("uploads", collection, after, _PAGE):
        found.checked += len(page)
        if _damaged(tools, page, deep):  # or sent again, or removed, between two reads
            page_again = tools.ledger.reconciliation.documents_from("uploads", collection, after, _PAGE)
            for document_id, what in _damaged(tools, [each for each in page_again if each in page], deep).items():
                found.note(what, [document_id])
        after = page[-1].document_id


def _damaged(tools: Tools, documents: list[SourceDocument], deep: bool) -> dict[UUID, Literal["missing", "stale"]]:
    ids = {each: uploads.upload_id(each.tenant, each.collection, each.external_id) for each in documents}
    keys = tools.keyring.get(list(ids.values()))
    checked = {
        each.document_id: uploads.damage(
            tools.blobs,
            keys.get(upload),
            tenant=each.tenant,
            collection=each.collection,
            name=each.external_id,
            deep=deep,
        )
        for each, upload in ids.items()
    }
    return {document_id: what for document_id, what in checked.items() if what is not None}


def _unnamed(tools: Tools, collection: str | None) -> Iterator[Leftover]:
    """Objects in an upload's folder that its head does not name."""
    for folder, paths in groupby(tools.blobs.walk("uploads"), key=lambda path: path.rpartition("/")[0]):
        parts = folder.split("/")  # uploads/<tenant>/<collection>/<upload>
        if len(parts) == 4 and collection in (None, parts[2]):
            for path in uploads.leftovers(tools.blobs, tools.keyring, folder, list(paths)):
                yield Leftover(path, 1, partial(_is_unnamed, tools, folder, path))


def _is_unnamed(tools: Tools, folder: str, path: str) -> bool:
    paths = list(tools.blobs.walk(folder))
    unnamed = path in uploads.leftovers(tools.blobs, tools.keyring, folder, paths)
    return unnamed and _older(tools, path, _GRACE_UNKNOWN)


def _runs(tools: Tools) -> Iterator[Leftover]:
    """Folders of runs that are over for long enough, or that the ledger does not know."""
    folders = groupby(tools.blobs.walk("runs"), key=lambda path: path.split("/")[1])
    for page in _pages((name, next(paths), 1 + sum(1 for _ in paths)) for name, paths in folders):
        signs = tools.ledger.reconciliation.last_signs([_id(name) for name, _, _ in page])
        for name, first, objects in page:
            if _is_over(tools, first, signs.get(_id(name))):
                yield Leftover(f"runs/{name}", objects, partial(_run_is_over, tools, name, first))


def _run_is_over(tools: Tools, name: str, first: str) -> bool:
    return _is_over(tools, first, tools.ledger.reconciliation.last_signs([_id(name)]).get(_id(name)))


def _is_over(tools: Tools, first: str, seen_at: datetime | None) -> bool:
    if seen_at is None:
        return _older(tools, first, _GRACE_UNKNOWN)
    return datetime.now(UTC) - seen_at > timedelta(days=tools.artefacts_keep_days)


def _quarantined(tools: Tools) -> Iterator[Leftover]:
    """Bytes of documents that are not in quarantine any more, and what a write of them left unfinished."""
    for page in _pages(tools.blobs.walk("quarantine")):
        ids = {path: _id(path.split("/")[1].removesuffix(".sealed")) for path in page}
        held = tools.ledger.reconciliation.in_quarantine(list(ids.values()))
        for path, document_id in ids.items():
            if document_id == _NOBODY or document_id not in held:
                yield Leftover(path, 1, partial(_is_resolved, tools, document_id, path))


def _lists(tools: Tools) -> Iterator[Leftover]:
    """What a purge was to remove: of use while it is waited for, or tried again."""
    for path in tools.blobs.walk("purges"):
        yield Leftover(path, 1, partial(_older, tools, path, timedelta(days=tools.artefacts_keep_days)))


def _is_resolved(tools: Tools, document_id: UUID, path: str) -> bool:
    held = document_id != _NOBODY and tools.ledger.reconciliation.in_quarantine([document_id])
    return not held and _older(tools, path, _GRACE)


def _older(tools: Tools, path: str, age: timedelta) -> bool:
    """False where it is gone by now."""
    try:
        return datetime.now(UTC) - tools.blobs.modified_at(path) > age
    except NotFound:
        return False


def _pages(rows: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(rows)
    while page := list(islice(rest, _PAGE)):
        yield page


def _id(name: str) -> UUID:
    """A name that is none of ours is nobody's id."""
    try:
        return UUID(name)
    except ValueError:
        return _NOBODY
