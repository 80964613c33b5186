"""The ledger in memory, with the semantics of the one on PostgreSQL; the same tests run on both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

from sluice.adapters.ledger_rules import (
    GIVEN_UP,
    TAKEN_OVER,
    busy,
    check_entry,
    check_spec,
    check_state,
    duplicate,
    effective,
    lost_claim,
    names_one_execution,
    storable,
    storable_json,
    superseded,
)
from sluice.adapters.memory import moving
from sluice.adapters.memory.catalog import MemoryCatalog
from sluice.adapters.memory.embeddings import MemoryVectorCache
from sluice.adapters.memory.gates import MemoryGates
from sluice.adapters.memory.keyring import MemoryKeyring
from sluice.adapters.memory.reconciling import MemoryScan
from sluice.adapters.memory.refusals import MemoryRefusals
from sluice.adapters.memory.retention import MemoryRetention
from sluice.adapters.memory.saved import MemorySaved
from sluice.adapters.memory.spending import MemorySpending
from sluice.adapters.memory.state import (
    ClaimRow,
    DocumentRow,
    MemoryState,
    QuarantineRow,
    RunRow,
    SourceRow,
    VersionRow,
    alive,
    now,
)
from sluice.errors import NotFound, Terminal
from sluice.model import (
    Budget,
    Counts,
    Entry,
    Failure,
    Generation,
    Item,
    Profile,
    Removal,
    Run,
    RunMode,
    ScanResult,
    SealedVersion,
    Source,
    SourceSpec,
    StageStat,
)

__all__ = ["MemoryCatalog", "MemoryKeyring", "MemoryLedger", "MemoryVectorCache"]


class MemoryLedger(MemoryGates, MemoryRefusals, MemoryScan, MemorySaved, MemoryRetention, MemorySpending):
    """`sluice.ports.Ledger`. `MemoryCatalog(ledger.state)` is its reading side."""

    def __init__(self) -> None:
        self.state = MemoryState()

    # --- sources and runs

    def open_source(self, spec: SourceSpec, profile: Profile, filter_fields: tuple[str, ...]) -> Source:
        check_spec(spec)
        with self.state.lock:
            self.state.tenants.add(spec.tenant)
            if spec.collection not in self.state.collections:
                self.state.collections[spec.collection] = Generation(
                    uuid4(), spec.collection, 1, profile, f"{spec.collection}__g1", filter_fields
                )
            generation = self.state.collections[spec.collection]
            place = (spec.tenant, spec.collection, spec.uri)
            for row in self.state.sources.values():
                if (row.spec.tenant, row.spec.collection, row.spec.uri) == place:
                    self._save(row, effective(spec, row.spec))
                    return Source(row.source_id, row.spec, generation)
            row = SourceRow(uuid4(), generation, effective(spec), now())
            self.state.sources[row.source_id] = row
            return Source(row.source_id, row.spec, generation)

    def saved_source(self, tenant: str, collection: str, uri: str) -> SourceSpec | None:
        with self.state.lock:
            for row in self.state.sources.values():
                if (row.spec.tenant, row.spec.collection, row.spec.uri) == (tenant, collection, uri):
                    return row.spec
            return None

    def _save(self, row: SourceRow, spec: SourceSpec) -> None:
        if row.spec == spec:
            return
        former, row.spec = row.spec, spec
        if former.retention_days != spec.retention_days:
            row.until = None
            self.state.renew_expiry(each for each in self.state.documents.values() if each.source is row)
        self.state.changed(row.generation.collection_id)

    def start_run(
        self, source: Source, mode: RunMode, run_id: UUID, orchestrator: str | None = None, budget: Budget = Budget()
    ) -> Run:
        with self.state.lock:
            row = self.state.runs.setdefault(
                run_id, RunRow(run_id, source.source_id, source.generation, mode, orchestrator, now(), budget=budget)
            )
            if row.source_id != source.source_id:
                raise Terminal(f"Run {run_id} belongs to another source. Start it with an id of its own.")
            row.state, row.finished_at = "running", None
            if names_one_execution(orchestrator):
                for other in self.state.runs_of(source.source_id):
                    earlier = other.orchestrator == orchestrator and other.started_at < row.started_at
                    if earlier and other.state == "running":
                        other.state, other.finished_at, other.summary = "failed", now(), {"error": GIVEN_UP}
            return self.run(run_id)

    def run(self, run_id: UUID) -> Run:
        with self.state.lock:
            if run_id not in self.state.runs:
                raise NotFound(f"There is no run {run_id}.")
            row = self.state.runs[run_id]
            source = self.state.sources[row.source_id]
            of = Source(source.source_id, source.spec, row.generation)
            return Run(run_id, of, row.mode, row.started_at, row.budget)

    # --- claims and moves

    def claim(self, run: Run, lease_s: float) -> None:
        with self.state.lock:
            held = self._held_by_other(run)
            if held:
                holder = self.state.runs[held.run_id]
                raise busy(run.source.spec.uri, holder.orchestrator, holder.started_at, held.lapses_at)
            former = self.state.claims.get(run.source.source_id)
            self.state.claims[run.source.source_id] = ClaimRow(run.run_id, now() + timedelta(seconds=lease_s))
            if former is None or former.run_id != run.run_id:
                self._close_others(run)
            own = self.state.runs[run.run_id]
            if own.state != "running":
                own.state, own.finished_at = "running", None

    def _close_others(self, run: Run) -> None:
        for run_id, row in self.state.runs.items():
            if row.source_id == run.source.source_id and run_id != run.run_id and row.state == "running":
                row.state, row.finished_at, row.summary = "failed", now(), {"error": TAKEN_OVER}
                row.vanished = set()

    def _held_by_other(self, run: Run) -> ClaimRow | None:
        held = self.state.claims.get(run.source.source_id)
        if held is None or held.run_id == run.run_id or held.lapses_at <= now():
            return None
        return held if self.state.runs[held.run_id].state == "running" else None

    def _fence(self, run: Run) -> None:
        if self._held_by_other(run):
            raise lost_claim(run.source.spec.uri)

    def adopt_same(self, run: Run, hashes: Mapping[UUID, bytes]) -> dict[UUID, UUID]:
        with self.state.lock:
            self._fence(run)
            return moving.adopt_same(self.state, run, hashes)

    def missed(self, run: Run, limit: int) -> list[tuple[UUID, bytes]]:
        with self.state.lock:
            return moving.missed(self.state, run, limit)

    def adopt_similar(self, run: Run, scores: Mapping[UUID, Mapping[UUID, float]]) -> dict[UUID, UUID]:
        with self.state.lock:
            self._fence(run)
            return moving.adopt_similar(self.state, run, scores)

    def moved(self, run: Run) -> set[UUID]:
        with self.state.lock:
            return set(self.state.runs[run.run_id].moves)

    # --- scans

    def record_scan(self, run: Run, entries: Iterable[Entry]) -> ScanResult:
        listed: dict[str, Entry] = {}
        twice: str | None = None
        for entry in entries:
            check_entry(entry)
            if entry.external_id in listed:
                twice = twice or entry.external_id
            listed[entry.external_id] = entry
        if twice is not None:
            raise duplicate(twice)
        with self.state.lock:
            source = self.state.sources[run.source.source_id]
            known = self.state.living(source.source_id)
            row = self.state.runs[run.run_id]
            row.scanned_at = now()
            before = len(known)
            moving.tell(self.state, run, known, listed)
            verdicts = [self._compare(run, source, entry, known.get(entry.external_id)) for entry in listed.values()]
            vanished = sorted(each.document_id for name, each in known.items() if name not in listed)
            row.vanished = set(vanished)
            return ScanResult(
                seen=len(listed),
                unchanged=sum(1 for verdict in verdicts if verdict == "unchanged"),
                quarantined=sum(1 for verdict in verdicts if verdict == "quarantined"),
                items=[verdict for verdict in verdicts if isinstance(verdict, Item)],
                vanished=vanished,
                known=before,
            )

    def _compare(self, run: Run, source: SourceRow, entry: Entry, document: DocumentRow | None) -> Item | str:
        if document is None:
            document = DocumentRow(uuid4(), source, entry.external_id, entry.uri, now())
            self.state.documents[document.document_id] = document
        if document.uri != entry.uri:
            document.uri = entry.uri
            self.state.changed(source.generation.collection_id)
        active = self.state.active(document.document_id, run.source.generation)
        gone_hash = document.purged_hash if document.expires_at and document.expires_at <= now() else None
        if gone_hash and document.fingerprint == entry.fingerprint:
            return "unchanged"
        if run.mode != "full" and document.fingerprint == entry.fingerprint:
            if document.document_id in self.state.quarantine:
                return "quarantined"
            if active is not None:
                return "unchanged"
        versions = self.state.versions.get(document.document_id, {})
        served_before = any(version.number is not None for version in versions.values())
        told = document.document_id in self.state.runs[run.run_id].moves
        compared = active.sealed.raw_hash if active and document.fingerprint is not None else None
        return Item(document.document_id, entry, not served_before, gone_hash or compared, told)

    def touch(self, run: Run, items: Sequence[Item]) -> None:
        with self.state.lock:
            for item in items:
                document = self._own(run, item.document_id)
                if document and not self._superseded(run, item.document_id):
                    self._drop_pending(run, document.document_id)
                    document.fingerprint, document.uri = item.entry.fingerprint, item.entry.uri
                    self.state.resolve(document.document_id)

    def quarantine(self, run: Run, failures: Sequence[Failure]) -> None:
        with self.state.lock:
            for failure in failures:
                document = self._own(run, failure.item.document_id)
                if document and not self._superseded(run, failure.item.document_id):
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
                    )

    def _own(self, run: Run, document_id: UUID) -> DocumentRow | None:
        document = self.state.documents.get(document_id)
        if document is None or document.deleted_at or document.source.source_id != run.source.source_id:
            return None
        return document

    # --- versions

    def stage(self, run: Run, versions: Sequence[SealedVersion]) -> None:
        if not versions:
            return
        with self.state.lock:
            self._fence(run)
            for each in versions:
                if each.document_id not in self.state.documents:
                    raise Terminal(f"There is no document {each.document_id}. Nothing was written.")
            for each in versions:
                if self._superseded(run, each.document_id):
                    continue
                self._drop_pending(run, each.document_id)
                known = self.state.versions.setdefault(each.document_id, {})
                settled = known.get(each.version_id)
                if settled is not None:
                    if settled.state == "active" and _ids(settled.sealed) == _ids(each):
                        continue
                    each = replace(each, version_id=uuid5(each.version_id, each.raw_hash.hex()))
                known[each.version_id] = VersionRow(each, run.source.generation, run.run_id)

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
                if document.deleted_at or self._superseded(run, document_id):
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
        document.purged_hash, document.expires_at = None, self.state.expiry(document)
        self.state.resolve(document.document_id)

    def _drop_pending(self, run: Run, document_id: UUID) -> None:
        for version in self.state.versions_of(document_id, run.source.generation, "pending"):
            self._drop(version)

    def _drop(self, pending: VersionRow) -> None:
        active = self.state.active(pending.sealed.document_id, pending.generation)
        self._queue_without(pending, _ids(active.sealed) if active else ())
        del self.state.versions[pending.sealed.document_id][pending.sealed.version_id]

    def _superseded(self, run: Run, document_id: UUID) -> bool:
        """A later run of the same source has made a version active, or (while it lives) is about to."""
        for version in self.state.versions_of(document_id, run.source.generation, "active", "pending"):
            by = self.state.runs[version.run_id]
            later = by.source_id == run.source.source_id and by.started_at > run.started_at
            if later and (version.state == "active" or alive(by)):
                return True
        return False

    def _queue_without(self, version: VersionRow, kept: tuple[UUID, ...]) -> None:
        gone = tuple(each for each in _ids(version.sealed) if each not in set(kept))
        if gone:
            self.state.queue(version.generation, version.sealed.document_id, gone, False)

    def remove_documents(self, run: Run, document_ids: Sequence[UUID]) -> int:
        if not document_ids:
            return 0
        with self.state.lock:
            self._fence(run)
            runs = self.state.runs_of(run.source.source_id)
            if any(each.scanned_at and each.started_at > run.started_at for each in runs):
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
            dead = {each.run_id for each in self.state.runs_of(run.source.source_id) if not alive(each)} | {run.run_id}
            left = [each for each in self.state.all_versions() if each.state == "pending" and each.run_id in dead]
            for version in left:
                self._drop(version)
            return len(left)

    def others_running(self, run: Run) -> bool:
        with self.state.lock:
            runs = self.state.runs_of(run.source.source_id)
            return any(alive(each) and each.run_id != run.run_id for each in runs)

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

    def removals(self, collection_id: UUID, limit: int) -> list[Removal]:
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
                    row.document_gone,
                )
                for row in rows
            ]

    def _held(self, collection_id: UUID, number: int) -> set[UUID]:
        return {
            chunk_id
            for version in self.state.all_versions()
            if version.generation.collection_id == collection_id and version.generation.number == number
            for chunk_id in _ids(version.sealed)
        }

    def removed(self, outbox_ids: Sequence[int]) -> None:
        with self.state.lock:
            for outbox_id in outbox_ids:
                self.state.outbox.pop(outbox_id, None)

    # --- what happened

    def record_stage(self, run: Run, stat: StageStat) -> None:
        with self.state.lock:
            row = self.state.runs[run.run_id]
            row.recorded_at = now()
            row.stages.pop((stat.batch, stat.stage), None)
            row.stages[stat.batch, stat.stage] = stat

    def stages(self, run: Run) -> list[StageStat]:
        with self.state.lock:
            return sorted(self.state.runs[run.run_id].stages.values(), key=lambda stat: stat.batch)

    def finish_run(self, run: Run, state: str, summary: Mapping[str, Any]) -> None:
        check_state(state)
        with self.state.lock:
            row = self.state.runs[run.run_id]
            row.state, row.finished_at, row.summary = state, now(), storable_json(summary)
            row.vanished = set()
            held = self.state.claims.get(row.source_id)
            if held and held.run_id == run.run_id:
                del self.state.claims[row.source_id]

    def counts(self, generation: Generation, tenant: str | None = None) -> Counts:
        with self.state.lock:
            return self.state.count(generation, tenant)

    def run_counts(self, run: Run) -> Counts:
        with self.state.lock:
            return self.state.count(run.source.generation, run.source.spec.tenant, run.source.source_id)

    def reasons(self, run: Run) -> dict[str, int]:
        with self.state.lock:
            rows = self.state.quarantine.values()
            codes = [row.code for row in rows if row.source.source_id == run.source.source_id]
        return {code: codes.count(code) for code in sorted(codes)}

    def generations(self) -> list[Generation]:
        with self.state.lock:
            return [self.state.collections[name] for name in sorted(self.state.collections)]


def _ids(version: SealedVersion) -> tuple[UUID, ...]:
    return tuple(chunk.chunk_id for chunk in version.chunks)
