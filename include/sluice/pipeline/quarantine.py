"""What quarantine keeps: the bytes of a refused document, sealed, until it is served or gone.

    quarantine/<document_id>.sealed    one sealed value: size of the head (4 bytes), head (JSON), the document's bytes

The bytes are written before the record that counts on them, and go after the record is closed: what a crash leaves is
written over, taken out by the next run of the source, or lies there without a record, for the reconciler. Objects are
written and removed while no other run can take the source over: one that has lost it touches nothing. Only the bytes
that were judged are kept: what has changed at the source since is left to the next run.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from uuid import UUID

from sluice.encryption import Cipher, ciphers, content_hash
from sluice.errors import ExtractionError, NotFound, SluiceError, Terminal
from sluice.model.document import FetchedDocument
from sluice.model.metadata import described
from sluice.model.quarantine import QuarantineEntry
from sluice.model.reasons import unreadable
from sluice.model.run import Run
from sluice.model.scan import WorkItem
from sluice.pipeline.scanning import reads
from sluice.ports.tools import Tools

log = logging.getLogger(__name__)

_PURPOSE = "quarantine"
_HEAD_BYTES = 4  # big-endian
_AT_ONCE = 500
_CHANGED = " The source changed after this was found, so nothing is kept for a replay; the next run looks again."


def path(document_id: UUID) -> str:
    return f"quarantine/{document_id}.sealed"


def reading(tools: Tools, run: Run) -> Callable[[WorkItem], FetchedDocument]:
    """How this run comes to a document's bytes: from its source, or a replay from what is kept; title and metadata are
    within bounds, whoever wrote them. What it returns raises Unreadable, also where reading breaks on something
    unforeseen: that costs this document only."""
    read = partial(_kept, tools, run) if run.mode == "replay" else reads(tools.reader(run.source.spec))

    def bounded(item: WorkItem) -> FetchedDocument:
        try:
            raw = read(item)
            title, metadata = described(raw.title, raw.metadata)
        except SluiceError:
            raise
        except Exception as error:
            log.exception("Document %s of run %s cannot be read", item.document_id, run.run_id)
            raise unreadable("unforeseen") from error
        return replace(raw, title=title, metadata=metadata)

    return bounded


def wanted(tools: Tools, run: Run, items: Sequence[WorkItem]) -> Sequence[WorkItem]:
    """A replay that is repeated leaves out what it has served already: its bytes are no longer kept."""
    if run.mode != "replay":
        return items
    return tools.ledger.quarantine.refused(run, [item.document_id for item in items])


def refuse(
    tools: Tools, run: Run, failures: Sequence[QuarantineEntry], raws: Mapping[UUID, FetchedDocument] | None = None
) -> int:
    """Into quarantine with their bytes: those of `raws` where extraction failed. A gate stands after the bytes were let
    go of, so there they are read once more; where they are other bytes by now, none are kept and the next run tries
    again. What a replay refuses stays kept, whatever the reason is now.

    Returns how many were left out, because a later run knows more of them: their records and bytes are its own."""
    if not failures:
        return 0
    ids = [failure.item.document_id for failure in failures]
    superseded = tools.ledger.versions.superseded(run, ids)
    own = ciphers(run.source.spec.tenant, tools.keyring.get(ids))
    again = cache(lambda: _again(tools, run))  # a reader is made only where something is read again
    records: list[QuarantineEntry] = []
    objects: dict[UUID, bytes] = {}
    for failure in failures:
        document_id = failure.item.document_id
        if document_id in superseded:
            continue
        cipher = own.get(document_id)
        if raws is not None and (document_id in raws or run.mode != "replay"):
            raw = raws.get(document_id)
        else:
            raw = again()(failure.item)
        if raw is not None:
            raw_hash = _hash(tools, run, raw)
            if failure.raw_hash not in (None, raw_hash):
                raw, failure = None, replace(failure, reason=failure.reason + _CHANGED, retry=True)
            else:
                failure = replace(failure, raw_hash=raw_hash)
        if raw is not None and cipher is not None:
            if run.mode != "replay":
                objects[document_id] = cipher.encrypt(_PURPOSE, _packed(raw))
            failure = replace(failure, kept_bytes=len(raw.content))
        records.append(failure)
    return len(superseded | _quarantined(tools, run, records, objects))


def _quarantined(
    tools: Tools, run: Run, records: Sequence[QuarantineEntry], objects: Mapping[UUID, bytes]
) -> set[UUID]:
    """Returns the documents that a later run has superseded. Raises LostClaim."""
    with tools.ledger.runs.fenced(run):
        overtaken = tools.ledger.versions.superseded(
            run, list(objects)
        )  # of another batch's claim this run may have had since
        for document_id, encrypted in objects.items():
            if document_id not in overtaken:
                tools.blobs.write(path(document_id), encrypted)
        superseded = tools.ledger.quarantine.add(run, records)
        for failure in records:
            # What was kept of an earlier failure is not what this one is about.
            if failure.kept_bytes is None and run.mode != "replay" and failure.item.document_id not in superseded:
                tools.blobs.remove(path(failure.item.document_id))
    return superseded


def identity(raw: FetchedDocument) -> bytes:
    """What makes a document the same: its bytes and what its source says of it."""
    if not raw.metadata and raw.title is None:
        return raw.content
    return b"\0".join([raw.content, (raw.title or "").encode(), repr(sorted(raw.metadata.items())).encode()])


def delete_retained(tools: Tools, run: Run) -> int:
    """Remove what is kept of documents of the run's source that were served or removed since; returns how many. Safe
    to repeat. Raises LostClaim."""
    gone = 0
    while removed := _let_go_some(tools, run):
        gone += removed
    return gone


def _let_go_some(tools: Tools, run: Run) -> int:
    with tools.ledger.runs.fenced(run):
        document_ids = tools.ledger.quarantine.released(run.source.source_id, _AT_ONCE)
        for document_id in document_ids:
            tools.blobs.remove(path(document_id))
        tools.ledger.quarantine.delete_retained(document_ids)
    return len(document_ids)


def _hash(tools: Tools, run: Run, raw: FetchedDocument) -> bytes:
    return content_hash(tools.keyring.index_key(run.source.spec.tenant), identity(raw))


def _again(tools: Tools, run: Run) -> Callable[[WorkItem], FetchedDocument | None]:
    read = reading(tools, run)

    def read_again(item: WorkItem) -> FetchedDocument | None:
        try:
            return read(item)
        except ExtractionError:
            return None

    return read_again


def _kept(tools: Tools, run: Run, item: WorkItem) -> FetchedDocument:
    key = tools.keyring.get([item.document_id]).get(item.document_id)
    if key is None:  # erased
        raise unreadable("not_kept")
    try:
        cipher = Cipher(key, run.source.spec.tenant, item.document_id)
        packed = cipher.decrypt(_PURPOSE, tools.blobs.read(path(item.document_id)))
    except (NotFound, Terminal) as error:  # gone, or damaged
        raise unreadable("not_kept") from error
    end = _HEAD_BYTES + int.from_bytes(packed[:_HEAD_BYTES])
    head = json.loads(packed[_HEAD_BYTES:end])
    return FetchedDocument(item, packed[end:], head["mime"], head["title"], head["metadata"])


def _packed(raw: FetchedDocument) -> bytes:
    told = {"mime": raw.mime, "title": raw.title, "metadata": dict(raw.metadata)}
    head = json.dumps(told, default=str).encode()
    return len(head).to_bytes(_HEAD_BYTES) + head + raw.content
