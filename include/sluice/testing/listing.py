"""What a scan listed, compared with a ledger in memory; and documents that need no work or cannot be worked on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID, uuid4

from sluice.adapters.postgres.rules import check_entry, duplicate, is_held, lost_claim
from sluice.model.quarantine import Failure
from sluice.model.run import Run
from sluice.model.scan import Entry, Item, ScanPreview, ScanResult
from sluice.model.source import Source, SourceSpec
from sluice.model.text import storable
from sluice.testing import moving
from sluice.testing.state import DocumentRow, MemoryState, QuarantineRow, SourceRow, now


class MemoryListing:
    """The part of `sluice.ports.ledger.Ledger` that is about scans of a source."""

    state: MemoryState
    superseded: Callable[[Run, Sequence[UUID]], set[UUID]]
    _fence: Callable[[Run], None]
    _change: Callable[[SourceSpec], None]
    _drop_pending: Callable[[Run, UUID], None]

    def record_scan(
        self,
        run: Run,
        entries: Iterable[Entry],
        settings: SourceSpec | None = None,
        accept: Callable[[ScanResult], object] = lambda result: None,
    ) -> ScanResult:
        began = now()
        listed = _by_name(entries)
        with self.state.all_or_nothing():
            self._fence(run)
            others = (each for each in self.state.runs_of(run.source.source_id) if each.run_id != run.run_id)
            if any(each.scanned_at and each.scanned_at > began for each in others):
                raise lost_claim(run.source.spec.uri)
            if settings is not None:
                self._change(settings)
            source = self.state.sources[run.source.source_id]
            known = self.state.living(source.source_id)
            before = len(known)
            moving.tell(self.state, run, known, listed)
            verdicts = [self._compare(run, source, entry, known.get(entry.external_id)) for entry in listed.values()]
            unopened = {name: entry.holds for name, entry in listed.items() if entry.holds}
            vanished = sorted(
                each.document_id for name, each in known.items() if name not in listed and not is_held(name, unopened)
            )
            for each in self.state.runs_of(source.source_id):
                each.vanished = set(vanished) if each.run_id == run.run_id else set()
            self.state.runs[run.run_id].scanned_at = now()
            result = ScanResult(
                seen=len(listed),
                unchanged=sum(1 for verdict in verdicts if verdict == "unchanged"),
                quarantined=sum(1 for verdict in verdicts if verdict == "quarantined"),
                items=[verdict for verdict in verdicts if isinstance(verdict, Item)],
                vanished=vanished,
                known=before - sum(name not in listed for name in known) + len(vanished),
            )
            accept(result)
            return result

    def preview_scan(self, source: Source | None, entries: Iterable[Entry]) -> ScanPreview:
        listed = _by_name(entries)
        with self.state.lock:
            known = self.state.living(source.source_id) if source else {}
            told = moving.told(known, listed)
            kinds = [
                "moved" if name in told else self._kind(source, known.get(name), entry)
                for name, entry in listed.items()
            ]
        documents, size_bytes = Counter(kinds), Counter[str]()
        for kind, entry in zip(kinds, listed.values(), strict=True):
            size_bytes[kind] += entry.size_bytes
        unopened = {name: entry.holds for name, entry in listed.items() if entry.holds}
        missing = [name for name in known if name not in listed and name not in told.values()]
        held = sum(is_held(name, unopened) for name in missing)
        return ScanPreview(dict(documents), dict(size_bytes), len(missing) - held, len(known) - held)

    def _kind(self, source: Source | None, document: DocumentRow | None, entry: Entry) -> str:
        if source is None or document is None:
            return "new"
        if document.fingerprint == entry.fingerprint:
            if document.gone_hash is not None:
                return "gone"
            if document.document_id in self.state.quarantine:
                return "quarantined"
            if self.state.active(document.document_id, source.generation) is not None:
                return "unchanged"
        return "changed" if self._served_before(document) else "new"

    def _served_before(self, document: DocumentRow) -> bool:
        return any(each.number is not None for each in self.state.versions.get(document.document_id, {}).values())

    def _compare(self, run: Run, source: SourceRow, entry: Entry, document: DocumentRow | None) -> Item | str:
        if document is None:
            document = DocumentRow(uuid4(), source, entry.external_id, entry.uri, now())
            self.state.documents[document.document_id] = document
        if document.uri != entry.uri:
            document.uri = entry.uri
            self.state.changed(source.generation.collection_id)
        active = self.state.active(document.document_id, run.source.generation)
        gone_hash = document.gone_hash
        if gone_hash is not None and document.fingerprint == entry.fingerprint:
            return "unchanged"
        if run.mode != "full" and document.fingerprint == entry.fingerprint:
            if document.document_id in self.state.quarantine:
                return "quarantined"
            if active is not None:
                return "unchanged"
        served_before = self._served_before(document)
        told = document.document_id in self.state.runs[run.run_id].moves
        compared = active.sealed.raw_hash if active and document.fingerprint is not None else None
        return Item(
            document.document_id,
            entry,
            not served_before,
            compared if gone_hash is None else gone_hash,
            told,
            gone_hash is not None,
        )

    def touch(self, run: Run, items: Sequence[Item]) -> set[UUID]:
        with self.state.lock:
            self._fence(run)
            left = self.superseded(run, [item.document_id for item in items])
            for item in items:
                document = self._own(run, item.document_id)
                if document and item.document_id not in left:
                    self._drop_pending(run, document.document_id)
                    document.fingerprint, document.uri = item.entry.fingerprint, item.entry.uri
                    self.state.resolve(document.document_id)
            return left

    def quarantine(self, run: Run, failures: Sequence[Failure]) -> set[UUID]:
        with self.state.lock:
            self._fence(run)
            left = self.superseded(run, [failure.item.document_id for failure in failures])
            for failure in failures:
                document = self._own(run, failure.item.document_id)
                if document and failure.item.document_id not in left:
                    self._drop_pending(run, document.document_id)
                    document.fingerprint = None if failure.retry else failure.item.entry.fingerprint
                    self.state.quarantine[document.document_id] = QuarantineRow(
                        document.document_id,
                        document.source,
                        run.run_id,
                        failure.stage,
                        failure.code,
                        storable(failure.reason),
                        failure.item.entry.fingerprint,
                        failure.kept_bytes,
                        now(),
                        failure.raw_hash,
                    )
            return left

    def _own(self, run: Run, document_id: UUID) -> DocumentRow | None:
        document = self.state.documents.get(document_id)
        if document is None or document.deleted_at or document.source.source_id != run.source.source_id:
            return None
        return document


def _by_name(entries: Iterable[Entry]) -> dict[str, Entry]:
    listed: dict[str, Entry] = {}
    twice: str | None = None
    for entry in entries:
        check_entry(entry)
        if entry.external_id in listed:
            twice = twice or entry.external_id
        listed[entry.external_id] = entry
    if twice is not None:
        raise duplicate(twice)
    return listed
