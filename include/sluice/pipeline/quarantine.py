"""Quarantine retains the bytes of a quarantined document, encrypted, until the document is served or deleted.

    quarantine/<document_id>.sealed  one encrypted value: size of the head (4 bytes), head (JSON), the document's bytes

The bytes are written before the record that refers to them, and deleted after the record is closed. Bytes that a crash
leaves behind are overwritten or deleted by the next run of the source; those without a record are deleted by the
reconciler. Objects are written and deleted only under the lease of the source: a run that lost its lease changes
nothing. Only the bytes that a stage or gate checked are retained. If the source changed after the check, no bytes are
retained, and the next run reads the document again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from sluice.ports.content import Blobs, Keyring
from sluice.ports.quarantine import QuarantineRecords
from sluice.ports.readers import OpenSource
from sluice.ports.runs import Runs
from sluice.ports.versions import Versions

log = logging.getLogger(__name__)

_PURPOSE = "quarantine"
_HEAD_BYTES = 4  # big-endian
_AT_ONCE = 500
_CHANGED = " The source changed after this check, so no bytes are retained for a replay; the next run reads it again."


def path(document_id: UUID) -> str:
    """Returns the path in object storage of a document's retained bytes."""
    return f"quarantine/{document_id}.sealed"


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Documents in quarantine: their records in the ledger and their bytes."""

    runs: Runs
    versions: Versions
    records: QuarantineRecords
    blobs: Blobs
    keyring: Keyring
    reader: OpenSource

    def reading(self, run: Run) -> Callable[[WorkItem], FetchedDocument]:
        """Returns the function with which this run reads a document: from its source, or for a replay from the retained
        bytes. Title and metadata are cut to their limits.

        The function raises ExtractionError, also on an unexpected error while reading, so that only this document
        fails."""
        read = partial(self._retained, run) if run.mode == "replay" else reads(self.reader(run.source.spec))

        def bounded(item: WorkItem) -> FetchedDocument:
            try:
                raw = read(item)
                title, metadata = described(raw.title, raw.metadata)
            except SluiceError:
                raise
            except Exception as error:
                log.exception("A document cannot be read: document=%s run=%s", item.document_id, run.run_id)
                raise unreadable("unforeseen") from error
            return replace(raw, title=title, metadata=metadata)

        return bounded

    def wanted(self, run: Run, items: Sequence[WorkItem]) -> Sequence[WorkItem]:
        """Returns the items that still need work: a repeated replay leaves out documents that it has already served,
        because their bytes are no longer retained."""
        if run.mode != "replay":
            return items
        return self.records.items(run, [item.document_id for item in items])

    def add(
        self, run: Run, failures: Sequence[QuarantineEntry], at_hand: Mapping[UUID, FetchedDocument] | None = None
    ) -> int:
        """Quarantines documents with their bytes.

        `at_hand`: fetched documents, as where extraction failed; an empty mapping: retain none; None: read them again,
        as a gate does, which runs after the bytes were freed. Where the bytes differ by then, none are retained and the
        next run tries again. A replay continues to retain the bytes of a document that fails again, whatever
        the reason.

        Returns how many were skipped because a later run supersedes them: their records and bytes are that run's."""
        if not failures:
            return 0
        ids = [failure.item.document_id for failure in failures]
        superseded = self.versions.superseded(run, ids)
        own = ciphers(run.source.spec.tenant, self.keyring.get(ids))
        again = cache(lambda: self._again(run))  # a reader is created only where a document is read again
        records: list[QuarantineEntry] = []
        objects: dict[UUID, bytes] = {}
        for failure in failures:
            document_id = failure.item.document_id
            if document_id in superseded:
                continue
            cipher = own.get(document_id)
            if at_hand is not None and (document_id in at_hand or run.mode != "replay"):
                raw = at_hand.get(document_id)
            else:
                raw = again()(failure.item)
            if raw is not None:
                raw_hash = self._hash(run, raw)
                if failure.raw_hash not in (None, raw_hash):
                    raw, failure = None, replace(failure, reason=failure.reason + _CHANGED, retry=True)
                else:
                    failure = replace(failure, raw_hash=raw_hash)
            if raw is not None and cipher is not None:
                if run.mode != "replay":
                    objects[document_id] = cipher.encrypt(_PURPOSE, _packed(raw))
                failure = replace(failure, retained_bytes=len(raw.content))
            records.append(failure)
        return len(superseded | self._write(run, records, objects))

    def _write(self, run: Run, records: Sequence[QuarantineEntry], objects: Mapping[UUID, bytes]) -> set[UUID]:
        """Writes bytes and records. Returns the documents that were skipped because a later run has superseded them.
        Raises LostLease."""
        with self.runs.fenced(run):
            # Asked again: another run may have worked on the source while this run had no lease.
            overtaken = self.versions.superseded(run, list(objects))
            for document_id, encrypted in objects.items():
                if document_id not in overtaken:
                    self.blobs.write(path(document_id), encrypted)
            superseded = self.records.add(run, records)
            for failure in records:
                # Retained bytes of an earlier failure are not the bytes of this one.
                document_id, retained = failure.item.document_id, failure.retained_bytes is not None
                if not retained and run.mode != "replay" and document_id not in superseded:
                    self.blobs.remove(path(document_id))
        return superseded

    def delete_retained(self, run: Run) -> int:
        """Deletes the retained bytes of documents of the run's source that were served or deleted since; returns how
        many. Safe to repeat. Raises LostLease."""
        deleted = 0
        while page := self._delete_page(run):
            deleted += page
        return deleted

    def _delete_page(self, run: Run) -> int:
        with self.runs.fenced(run):
            document_ids = self.records.resolved(run.source.source_id, _AT_ONCE)
            for document_id in document_ids:
                self.blobs.remove(path(document_id))
            self.records.delete_retained(document_ids)
        return len(document_ids)

    def _hash(self, run: Run, raw: FetchedDocument) -> bytes:
        return content_hash(self.keyring.index_key(run.source.spec.tenant), identity(raw))

    def _again(self, run: Run) -> Callable[[WorkItem], FetchedDocument | None]:
        read = self.reading(run)

        def read_again(item: WorkItem) -> FetchedDocument | None:
            try:
                return read(item)
            except ExtractionError:
                return None

        return read_again

    def _retained(self, run: Run, item: WorkItem) -> FetchedDocument:
        key = self.keyring.get([item.document_id]).get(item.document_id)
        if key is None:  # erased
            raise unreadable("not_kept")
        try:
            cipher = Cipher(key, run.source.spec.tenant, item.document_id)
            packed = cipher.decrypt(_PURPOSE, self.blobs.read(path(item.document_id)))
        except (NotFound, Terminal) as error:  # missing, or damaged
            raise unreadable("not_kept") from error
        end = _HEAD_BYTES + int.from_bytes(packed[:_HEAD_BYTES])
        head = json.loads(packed[_HEAD_BYTES:end])
        return FetchedDocument(item, packed[end:], head["mime"], head["title"], head["metadata"])


def identity(raw: FetchedDocument) -> bytes:
    """Returns the bytes whose hash identifies a document's content: its bytes, title and metadata from the source."""
    if not raw.metadata and raw.title is None:
        return raw.content
    return b"\0".join([raw.content, (raw.title or "").encode(), repr(sorted(raw.metadata.items())).encode()])


def _packed(raw: FetchedDocument) -> bytes:
    fields = {"mime": raw.mime, "title": raw.title, "metadata": dict(raw.metadata)}
    head = json.dumps(fields, default=str).encode()
    return len(head).to_bytes(_HEAD_BYTES) + head + raw.content
