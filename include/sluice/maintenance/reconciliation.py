"""Compares the projections with the ledger: reports missing, surplus and stale chunks and repairs them on request.

Ledger and store are read in parallel in the order of chunk ids, a page at a time, so that memory does not grow with
the collection. The two reads happen at different times. A difference is therefore only a suspect, and is read again
(ledger, store, ledger) before it is counted. Chunks that a running run is changing, or that the outbox contains, are
not touched. After a repair the same ids are read once more, because the ledger may have changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sluice.indexing.stores import Stores
from sluice.maintenance.drift import Drift, StoreReport
from sluice.maintenance.full_text import TermsReport, compare_terms
from sluice.maintenance.objects import ObjectComparison
from sluice.maintenance.projections import Contributions, Points, Projection
from sluice.maintenance.rebuilding import Rebuilder
from sluice.model.generation import Generation
from sluice.pipeline.generations import live_generations
from sluice.ports.collections import Collections
from sluice.ports.full_text import FullText
from sluice.ports.outbox import Outbox
from sluice.ports.projections import GraphIndex
from sluice.ports.reconciliation import Reconciliation

PAGE_CHUNKS = 1000
_ROUNDS = 3  # of repair and check; more would help only where runs change the same documents all the time
_ORPHANS = 1000  # at a time


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """The comparison of a collection's live generation. Counts are chunks, summed over its stores."""

    name: str
    generation: int
    missing: int
    surplus: int
    stale: int
    repaired: int
    ok: bool  # nothing differs, or all was repaired
    in_flight: int  # being changed by a running run, or queued in the outbox
    unreadable: int  # chunks that could not be rebuilt
    embedded: int  # vectors missing from the cache
    terms: TermsReport  # of the ledger's full text, which only searches without Qdrant read
    stores: Mapping[str, StoreReport]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "stores": {name: each.to_json() for name, each in self.stores.items()}}


@dataclass(frozen=True, slots=True)
class ReconciliationReport:
    """The whole comparison. `missing` to `repaired` count chunks, orphans of the graph and objects together."""

    missing: int
    surplus: int
    stale: int
    repaired: int
    ok: bool  # no difference remains that could change a search result
    in_flight: int
    unreadable: int
    embedded: int
    orphans: int  # in the graph: chunks, documents and entities that nothing supports
    repair: bool
    objects: StoreReport
    collections: list[CollectionReport]

    def to_json(self) -> dict[str, Any]:
        collections = [each.to_json() for each in self.collections]
        return {**asdict(self), "objects": self.objects.to_json(), "collections": collections}


@dataclass(frozen=True, slots=True)
class Reconciling:
    """Compares the projections and object storage with the ledger."""

    collections: Collections
    reconciliation: Reconciliation
    full_text: FullText
    outbox: Outbox
    stores: Stores
    objects: ObjectComparison
    rebuilder: Callable[[Generation], Rebuilder]

    def reconcile(
        self,
        *,
        collection: str | None = None,
        repair: bool = False,
        deep: bool = False,
        collect_garbage: bool = False,
        page_chunks: int = PAGE_CHUNKS,
    ) -> ReconciliationReport:
        """Compares all collections, or one, and repairs them with `repair`.

        `deep` also reads the uploads and compares vectors: it reads dense vectors, recomputes sparse ones, and embeds
        only texts that are missing from the cache. `collect_garbage` deletes orphaned objects, also without `repair`.
        Raises NotFound where the collection does not exist.
        """
        generations = live_generations(self.collections, collection)
        reports = [
            self._compare_generation(each, repair=repair, deep=deep, page_chunks=page_chunks) for each in generations
        ]
        compared = [each for each in reports if each is not None]
        # Last, because the deletion of chunks leaves documents and entities behind.
        orphans, dropped = _orphans(self.stores.graph, repair) if self.stores.graph is not None else (0, 0)
        stored = self.objects.compare(collection=collection, collect_garbage=repair or collect_garbage, deep=deep)
        # Orphaned objects do not count: nobody can read them, and they change no search result.
        ok = all(each.ok for each in compared) and orphans == dropped and not stored.missing and not stored.stale
        parts: list[CollectionReport | StoreReport] = [*compared, stored]
        return ReconciliationReport(
            **_sums(parts, "missing", "stale"),
            **_sums(compared, "in_flight", "unreadable", "embedded"),
            surplus=sum(each.surplus for each in parts) + orphans,
            repaired=sum(each.repaired for each in parts) + dropped,
            ok=ok,
            orphans=orphans,
            repair=repair,
            objects=stored,
            collections=compared,
        )

    def _compare_generation(
        self, generation: Generation, *, repair: bool, deep: bool, page_chunks: int
    ) -> CollectionReport | None:
        """Compares the live generation of one collection; None where the collection is deleted meanwhile."""
        started_at = datetime.now(UTC)
        rebuilder = self.rebuilder(generation)
        projections: list[Projection] = [Points(self.stores.vectors, generation, rebuilder, deep=deep)]
        if graph := self.stores.graph_of(generation):
            projections.append(Contributions(graph, generation, rebuilder))
        if repair:  # queued chunks would only be counted as in flight
            self.stores.drain(generation)
        stores = {each.name: self.compare(generation, each, repair, page_chunks) for each in projections}
        reports = stores.values()
        unreadable = {chunk_id for each in projections for chunk_id in each.unreadable}
        terms = compare_terms(
            self.full_text, self.reconciliation, generation, rebuilder, repair=repair, page_chunks=page_chunks
        )
        report = CollectionReport(
            name=generation.collection,
            generation=generation.number,
            **_sums(reports, "missing", "surplus", "stale", "repaired", "in_flight"),
            ok=all(each.repaired == each.drift for each in reports),
            unreadable=len(unreadable),
            embedded=sum(each.embedded for each in projections),
            terms=terms,
            stores=stores,
        )
        if self.reconciliation.record(generation, started_at, repair, report.to_json()):
            return report
        if repair:  # the repair may have written after the deletion had dropped the stores
            self.stores.drop(generation)
        return None

    def compare(self, generation: Generation, store: Projection, repair: bool, page_chunks: int) -> StoreReport:
        """Compares one store's part of a generation, page by page."""
        report, later = StoreReport(), list[UUID]()
        if repair:
            store.ensure()
        for checked, suspects in self._suspects(generation, store, page_chunks):
            report.checked += checked
            if suspects:
                drift = self._look_again(generation, store, suspects)
                report.add(drift)
                report.in_flight += len(drift.in_flight)
                if repair and drift.ids:
                    later += self._repair(generation, store, drift, report)
        # A run changed these during the repair: it may have written first, and the repair may have overwritten it.
        for start in range(0, len(later), page_chunks):
            drift = self._look_again(generation, store, later[start : start + page_chunks])
            report.in_flight += len(drift.in_flight)
            if drift.ids:
                report.repaired -= len(drift.ids)
                report.in_flight += len(self._repair(generation, store, drift, report))
        return report

    def _suspects(
        self, generation: Generation, store: Projection, page_chunks: int
    ) -> Iterator[tuple[int, list[UUID]]]:
        """Yields (number of expected chunks, ids that differ) for each range of ids that a page of both sides
        covers."""
        after: UUID | None = None
        while True:
            expected = self.reconciliation.chunks_after(generation, after, page_chunks)
            held = store.page(after, page_chunks)
            ends = [expected[-1].chunk_id] if len(expected) == page_chunks else []
            ends += [held[-1][0]] if len(held) == page_chunks else []
            end = min(ends, default=None)
            chunks = {each.chunk_id: each for each in expected if end is None or each.chunk_id <= end}
            rows = {chunk_id: row for chunk_id, row in held if end is None or chunk_id <= end}
            in_both = [each for chunk_id, each in chunks.items() if chunk_id in rows]
            yield len(chunks), sorted((chunks.keys() ^ rows.keys()) | store.stale(in_both, rows))
            if end is None:
                return
            after = end

    def _look_again(self, generation: Generation, store: Projection, chunk_ids: Sequence[UUID]) -> Drift:
        """Reads the ledger, the store, and the ledger again, and returns the drift of these chunks.

        A load writes to the store before it activates. So a chunk that the ledger expects before and after the read
        must be in the store. A row that no version claims after the read has no writer left."""
        before = {each.chunk_id: each for each in self.reconciliation.chunks_of(generation, chunk_ids)}
        held = store.some(chunk_ids)
        claimed = self.reconciliation.claimed(generation, chunk_ids)
        after = {each.chunk_id: each for each in self.reconciliation.chunks_of(generation, chunk_ids)}
        steady = {
            chunk_id: each for chunk_id, each in after.items() if before.get(chunk_id) == each and not each.changing
        }
        stale = store.stale([each for chunk_id, each in steady.items() if chunk_id in held], held)
        surplus = {each for each in held if each not in claimed and each not in before and each not in after}
        return Drift(
            missing=[each for chunk_id, each in steady.items() if chunk_id not in held],
            stale=[steady[chunk_id] for chunk_id in sorted(stale)],
            surplus={each: store.document_of(held[each]) for each in sorted(surplus)},
            in_flight=sorted((held.keys() | before.keys() | after.keys()) - steady.keys() - surplus),
        )

    def _repair(self, generation: Generation, store: Projection, drift: Drift, report: StoreReport) -> list[UUID]:
        """Repairs the drift and checks the result. Returns the ids that a run is changing meanwhile."""
        touched, later = drift.ids, list[UUID]()
        for _ in range(_ROUNDS):
            store.write([*drift.missing, *drift.stale])
            self._remove(generation, store, drift.surplus)
            drift = self._look_again(generation, store, touched)
            later = drift.in_flight
            if not drift.ids:
                break
        report.repaired += len(touched) - len(drift.ids)
        return later

    def _remove(self, generation: Generation, store: Projection, surplus: Mapping[UUID, UUID | None]) -> None:
        """Deletes surplus rows. Their documents are locked and the drift is read again, because a run may have started
        to write some of them. While the lock is held no run can, so what is still surplus has no writer."""
        if not surplus:
            return
        with self.outbox.locked(sorted({each for each in surplus.values() if each is not None})):
            store.remove(list(self._look_again(generation, store, list(surplus)).surplus))


def _sums(reports: Iterable[CollectionReport | StoreReport], *counts: str) -> dict[str, Any]:
    return {name: sum(getattr(each, name) for each in reports) for name in counts}


def _orphans(graph: GraphIndex, repair: bool) -> tuple[int, int]:
    """Returns how many orphans the graph had, and how many were dropped. A dry run counts at most `_ORPHANS` of each
    kind."""
    counted = dropped = 0
    while orphans := graph.orphans(_ORPHANS):
        counted += len(orphans)
        if not repair:
            break
        deleted = graph.drop_orphans(orphans)
        dropped += deleted
        if not deleted:  # a run has added relationships to them meanwhile
            counted -= len(orphans)
            break
        counted -= len(orphans) - deleted
    return counted, dropped
