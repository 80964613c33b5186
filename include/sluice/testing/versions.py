"""Versions in a ledger in memory: staged, switched and removed; and the outbox of what the projections let go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid5

from sluice.adapters.postgres.rules import superseded
from sluice.errors import Terminal
from sluice.model.generation import Generation
from sluice.model.points import Removal, SealedVersion
from sluice.model.run import Run
from sluice.testing.state import DocumentRow, MemoryState, RunRow, VersionRow, now


class MemoryVersions:
    state: MemoryState
    _fence: Callable[[Run], None]
    _own: Callable[[Run, UUID], DocumentRow | None]
    beyond_quota: Callable[[Run, Mapping[UUID, int]], set[UUID]]

    def stage(self, run: Run, versions: Sequence[SealedVersion]) -> set[UUID]:
        if not versions:
            return set()
        with self.state.lock:
            self._fence(run)
            self.state.check_not_dropping(run.source.generation)
            for each in versions:
                if each.document_id not in self.state.documents:
                    raise Terminal(f"There is no document {each.document_id}. Nothing was written.")
            left = self.superseded(run, [each.document_id for each in versions])
            for each in versions:
                if each.document_id in left:
                    continue
                self._drop_pending(run, each.document_id)
                known = self.state.versions.setdefault(each.document_id, {})
                settled = known.get(each.version_id)
                if settled is not None:
                    if settled.state == "active" and _ids(settled.sealed) == _ids(each):
                        continue
                    each = replace(each, version_id=uuid5(each.version_id, each.raw_hash.hex()))
                known[each.version_id] = VersionRow(each, run.source.generation, run.run_id)
            return left

    def activate(self, run: Run, document_ids: Sequence[UUID]) -> list[UUID]:
        generation, refused = run.source.generation, []
        with self.state.lock:
            if document_ids:
                self._fence(run)
            switched = False
            for document_id in document_ids:
                pending = next(self.state.versions_of(document_id, generation, "pending"), None)
                if pending is None or pending.run_id != run.run_id:
                    continue
                document = self.state.documents[document_id]
                if document.deleted_at or self.superseded(run, [document_id]):
                    self._drop(pending)
                    continue
                if self.beyond_quota(run, {document_id: pending.sealed.size_bytes}):
                    self._drop(pending)
                    refused.append(document_id)
                    continue
                self._switch(document, pending)
                switched = True
            if switched:
                self.state.changed(generation.collection_id)
            return refused

    def _switch(self, document: DocumentRow, pending: VersionRow) -> None:
        settled = self.state.versions_of(document.document_id, pending.generation, "active", "superseded")
        numbers = [version.number or 0 for version in settled]
        last = self.state.last(document.document_id)
        if former := self.state.active(document.document_id, pending.generation):
            self._queue_without(former, _ids(pending.sealed))
            former.state, former.sealed = "superseded", replace(former.sealed, chunks=())
        pending.state, pending.number, pending.activated_at = "active", max(numbers, default=0) + 1, now()
        document.fingerprint = pending.sealed.fingerprint
        if last is None or last.sealed.raw_hash != pending.sealed.raw_hash:
            document.served_since = pending.activated_at
        document.removed_at = None
        document.purged_hash, document.expires_at = None, self.state.expiry(document)
        self.state.resolve(document.document_id)

    def _drop_pending(self, run: Run, document_id: UUID) -> None:
        for version in self.state.versions_of(document_id, run.source.generation, "pending"):
            self._drop(version)

    def _drop(self, pending: VersionRow) -> None:
        document_id = pending.sealed.document_id
        active = self.state.active(document_id, pending.generation)
        served = any(each.state == "active" for each in self.state.versions[document_id].values())
        self._queue_without(pending, _ids(active.sealed) if active else (), document_gone=not served)
        del self.state.versions[pending.sealed.document_id][pending.sealed.version_id]

    def superseded(self, run: Run, document_ids: Sequence[UUID]) -> set[UUID]:
        with self.state.lock:
            if run.mode != "replay" and self._scanned_later(run):
                return set(document_ids)
            return {each for each in document_ids if self._written_later(run, each) or self._closed(run, each)}

    def _later(self, run: Run) -> Iterator[RunRow]:
        return (each for each in self.state.runs_of(run.source.source_id) if each.started_at > run.started_at)

    def _scanned(self, run: Run) -> datetime:
        return self.state.runs[run.run_id].scanned_at or datetime.min.replace(tzinfo=UTC)

    def _scanned_later(self, run: Run) -> bool:
        return any(each.scanned_at and each.scanned_at > self._scanned(run) for each in self._later(run))

    def _written_later(self, run: Run, document_id: UUID) -> bool:
        """A later run has made a version active, or (while it lives) is about to, has purged the document, or
        somebody has deleted it since."""
        later, scanned = {each.run_id: each for each in self._later(run)}, self._scanned(run)
        for version in self.state.versions_of(document_id, run.source.generation, "active", "pending"):
            activated = version.activated_at is not None and version.activated_at > scanned
            if version.run_id in later and (activated or self._at_hand(version)):
                return True
        document = self.state.documents.get(document_id)
        since = self.state.runs[run.run_id].scanned_at or run.started_at
        if document and document.removed_at and document.removed_at > since:
            return True
        return any(document_id in each.purged and each.started_at > scanned for each in later.values())

    def _at_hand(self, version: VersionRow) -> bool:
        return version.state == "pending" and self.state.alive(self.state.runs[version.run_id])

    def _closed(self, run: Run, document_id: UUID) -> bool:
        """What a replay works on was served, removed or refused anew by a later run."""
        active = self.state.active(document_id, run.source.generation)
        if run.mode != "replay" or (active and active.run_id == run.run_id):
            return False
        record = self.state.quarantine.get(document_id)
        return record is None or self.state.runs[record.run_id].started_at > run.started_at

    def _queue_without(self, version: VersionRow, kept: tuple[UUID, ...], document_gone: bool = False) -> None:
        gone = tuple(each for each in _ids(version.sealed) if each not in set(kept))
        if gone:
            self.state.queue(version.generation, version.sealed.document_id, gone, document_gone)

    def remove_documents(self, run: Run, document_ids: Sequence[UUID]) -> int:
        if not document_ids:
            return 0
        with self.state.lock:
            self._fence(run)
            if self._scanned_later(run):
                raise superseded()
            deleted = [each for each in (self._own(run, document_id) for document_id in set(document_ids)) if each]
            for document in deleted:
                document.deleted_at, document.deleted_by = now(), run.run_id
                self._retire(document.document_id)
            if deleted:
                self.state.changed(run.source.generation.collection_id)
            return len(deleted)

    def deleted_by(self, run: Run) -> int:
        with self.state.lock:
            return sum(1 for each in self.state.documents.values() if each.deleted_by == run.run_id)

    def drop_leftovers(self, run: Run) -> int:
        with self.state.lock:
            self._fence(run)
            dead = {each.run_id for each in self.state.runs_of(run.source.source_id) if not self.state.alive(each)} | {
                run.run_id
            }
            left = [each for each in self.state.all_versions() if each.state == "pending" and each.run_id in dead]
            for version in left:
                self._drop(version)
            return len(left)

    def others_running(self, run: Run) -> bool:
        with self.state.lock:
            runs = self.state.runs_of(run.source.source_id)
            return any(self.state.alive(each) and each.run_id != run.run_id for each in runs)

    def _retire(self, document_id: UUID) -> None:
        self.state.resolve(document_id)
        self.state.signatures.pop(document_id, None)
        held: dict[int, tuple[Generation, set[UUID]]] = {}
        versions = self.state.versions.get(document_id, {})
        for version in [each for each in versions.values() if each.state != "superseded"]:
            held.setdefault(version.generation.number, (version.generation, set()))[1].update(_ids(version.sealed))
            if version.state == "pending":
                del versions[version.sealed.version_id]
            else:
                version.state, version.sealed = "superseded", replace(version.sealed, chunks=())
        for generation, chunk_ids in held.values():
            self.state.queue(generation, document_id, tuple(sorted(chunk_ids)), True)

    @contextmanager
    def locked(self, document_ids: Sequence[UUID]) -> Iterator[None]:
        with self.state.lock:
            yield

    @contextmanager
    def removals(self, collection_id: UUID, limit: int, *, wait: bool = False) -> Iterator[list[Removal]]:
        with self.state.lock:
            found = self._queued(collection_id, limit)
            yield found
            for removal in found:
                self.state.outbox.pop(removal.outbox_id, None)

    def _queued(self, collection_id: UUID, limit: int) -> list[Removal]:
        with self.state.lock:
            rows = [row for row in self.state.outbox.values() if row.generation.collection_id == collection_id]
            rows = sorted(rows, key=lambda row: row.outbox_id)[:limit]
            held = {number: self._held(collection_id, number) for number in {row.generation.number for row in rows}}
            return [
                Removal(
                    row.outbox_id,
                    row.generation,
                    row.document_id,
                    tuple(each for each in row.chunk_ids if each not in held[row.generation.number]),
                    row.document_gone and not self._versions_held(row.document_id),
                )
                for row in rows
            ]

    def _versions_held(self, document_id: UUID) -> bool:
        return any(each.state != "superseded" for each in self.state.versions.get(document_id, {}).values())

    def _held(self, collection_id: UUID, number: int) -> set[UUID]:
        return {
            chunk_id
            for version in self.state.all_versions()
            if version.generation.collection_id == collection_id and version.generation.number == number
            for chunk_id in _ids(version.sealed)
        }

    def queued(self, generation: Generation) -> int:
        with self.state.lock:
            rows = self.state.outbox.values()
            return sum(len(row.chunk_ids) for row in rows if row.generation.collection_id == generation.collection_id)


def _ids(version: SealedVersion) -> tuple[UUID, ...]:
    return tuple(chunk.chunk_id for chunk in version.chunks)
