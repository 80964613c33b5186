"""The projections against the ledger: what is missing, surplus or stale is reported and, where asked, made right.

Ledger and store are read side by side in the order of chunk ids, a page at a time, so that memory does not grow with
the collection. Two reads are two moments: what differs is only a suspect, and is read again, ledger first and last,
before it is counted. What a living run has in hand or the outbox still holds is left alone. After a repair the same
ids are read once more, because the ledger may have moved on meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sluice.maintenance import objects
from sluice.maintenance.drift import Drift, Found
from sluice.maintenance.projections import Contributions, Points, Projection
from sluice.maintenance.rebuilding import Rebuilder
from sluice.model.generation import Generation
from sluice.pipeline.generations import live_generations
from sluice.pipeline.recording import drained, drop_stores, graph_of
from sluice.ports.projections import GraphIndex
from sluice.ports.tools import Tools

PAGE_CHUNKS = 1000
_ROUNDS = 3  # of repair and second look; more only where runs change the same documents all the time
_ORPHANS = 1000  # at a time


def reconcile(
    tools: Tools,
    *,
    collection: str | None = None,
    repair: bool = False,
    deep: bool = False,
    sweep: bool = False,
    page_chunks: int = PAGE_CHUNKS,
) -> dict[str, Any]:
    """Compare all collections, or one, and repair where asked. Returns counts, in total and by collection and store.

    `deep` compares vectors, too, which costs reading them and recomputing sparse ones; nothing is embedded unless the
    cache has lost a vector; and reads the uploads. `sweep` takes out objects that nobody needs any more, also where
    nothing else is repaired. Raises NotFound where there is no such collection.
    """
    generations = live_generations(tools, collection)
    reports = [_generation(tools, each, repair=repair, deep=deep, page_chunks=page_chunks) for each in generations]
    told = [each for each in reports if each is not None]
    totals = {name: sum(each[name] for each in told) for name in ("missing", "surplus", "stale", "repaired")}
    more = {name: sum(each[name] for each in told) for name in ("in_flight", "unreadable", "embedded")}
    # Last, because chunks that are taken out leave documents and entities behind.
    lone, dropped = _orphans(tools.graph, repair) if tools.graph is not None else (0, 0)
    totals["surplus"] += lone
    totals["repaired"] += dropped
    stored = objects.compare(tools, collection=collection, sweep=repair or sweep, deep=deep)
    for name in totals:
        totals[name] += getattr(stored, name)
    # What is left over in object storage is nobody's to read and changes no answer.
    ok = all(each["ok"] for each in told) and lone == dropped and not stored.missing and not stored.stale
    return {
        **totals,
        "ok": ok,
        **more,
        "orphans": lone,
        "repair": repair,
        "objects": stored.to_json(),
        "collections": told,
    }


def _orphans(graph: GraphIndex, repair: bool) -> tuple[int, int]:
    """(found, dropped) of the graph, what nothing supports. A dry run counts at most `_ORPHANS` of each kind."""
    found = dropped = 0
    while orphans := graph.orphans(_ORPHANS):
        found += len(orphans)
        if not repair:
            break
        gone = graph.drop_orphans(orphans)
        dropped += gone
        if not gone:  # a run hung something on them meanwhile
            found -= len(orphans)
            break
        found -= len(orphans) - gone
    return found, dropped


def _generation(
    tools: Tools, generation: Generation, *, repair: bool, deep: bool, page_chunks: int
) -> dict[str, Any] | None:
    """None where the collection is deleted meanwhile."""
    started_at = datetime.now(UTC)
    rebuilder = Rebuilder(tools, generation)
    projections: list[Projection] = [Points(tools, generation, rebuilder, deep=deep)]
    if graph := graph_of(tools, generation):
        projections.append(Contributions(graph, generation, rebuilder))
    if repair:  # what is queued would only be counted as in flight
        drained(tools, generation)
    stores = {each.name: compare(tools, generation, each, repair, page_chunks) for each in projections}
    found = list(stores.values())
    unreadable = {chunk_id for each in projections for chunk_id in each.unreadable}
    counts = {name: sum(getattr(each, name) for each in found) for name in ("missing", "surplus", "stale", "repaired")}
    report = {
        "name": generation.collection,
        "generation": generation.number,
        **counts,
        "ok": all(each.repaired == each.drift for each in found),
        "in_flight": sum(each.in_flight for each in found),
        "unreadable": len(unreadable),
        "embedded": sum(each.embedded for each in projections),
        "stores": {name: each.to_json() for name, each in stores.items()},
    }
    if tools.ledger.reconciliation.record(generation, started_at, repair, report):
        return report
    if repair:  # what was made again after the deletion had dropped it
        drop_stores(tools, generation)
    return None


def compare(tools: Tools, generation: Generation, store: Projection, repair: bool, page_chunks: int) -> Found:
    """One store's part of a generation, page by page."""
    found, later = Found(), list[UUID]()
    if repair:
        store.ensure()
    for checked, suspects in _suspects(tools, generation, store, page_chunks):
        found.checked += checked
        if suspects:
            drift = _look_again(tools, generation, store, suspects)
            found.add(drift)
            found.in_flight += len(drift.in_flight)
            if repair and drift.ids:
                later += _mend(tools, generation, store, drift, found)
    # A run took these up while they were mended: it may have written before us, and meant what it wrote.
    for start in range(0, len(later), page_chunks):
        drift = _look_again(tools, generation, store, later[start : start + page_chunks])
        found.in_flight += len(drift.in_flight)
        if drift.ids:
            found.repaired -= len(drift.ids)
            found.in_flight += len(_mend(tools, generation, store, drift, found))
    return found


def _suspects(
    tools: Tools, generation: Generation, store: Projection, page_chunks: int
) -> Iterator[tuple[int, list[UUID]]]:
    """(chunks expected, ids that differ) for each stretch of ids that one page of either side covers."""
    after: UUID | None = None
    while True:
        expected = tools.ledger.reconciliation.chunks_after(generation, after, page_chunks)
        held = store.page(after, page_chunks)
        ends = [expected[-1].chunk_id] if len(expected) == page_chunks else []
        ends += [held[-1][0]] if len(held) == page_chunks else []
        end = min(ends, default=None)
        meant = {each.chunk_id: each for each in expected if end is None or each.chunk_id <= end}
        there = {chunk_id: row for chunk_id, row in held if end is None or chunk_id <= end}
        both = [each for chunk_id, each in meant.items() if chunk_id in there]
        yield len(meant), sorted((meant.keys() ^ there.keys()) | store.stale(both, there))
        if end is None:
            return
        after = end


def _look_again(tools: Tools, generation: Generation, store: Projection, chunk_ids: Sequence[UUID]) -> Drift:
    """The ledger, the store, and the ledger again. A load writes to the store before it activates, so what the ledger
    expects on both sides of the read had to be there; what nobody claims after it has no writer left."""
    before = {each.chunk_id: each for each in tools.ledger.reconciliation.chunks_of(generation, chunk_ids)}
    held = store.some(chunk_ids)
    claimed = tools.ledger.reconciliation.claimed(generation, chunk_ids)
    after = {each.chunk_id: each for each in tools.ledger.reconciliation.chunks_of(generation, chunk_ids)}
    steady = {chunk_id: each for chunk_id, each in after.items() if before.get(chunk_id) == each and not each.changing}
    stale = store.stale([each for chunk_id, each in steady.items() if chunk_id in held], held)
    loose = {each for each in held if each not in claimed and each not in before and each not in after}
    return Drift(
        missing=[each for chunk_id, each in steady.items() if chunk_id not in held],
        stale=[steady[chunk_id] for chunk_id in sorted(stale)],
        surplus={each: store.document_of(held[each]) for each in sorted(loose)},
        in_flight=sorted((held.keys() | before.keys() | after.keys()) - steady.keys() - loose),
    )


def _mend(tools: Tools, generation: Generation, store: Projection, drift: Drift, found: Found) -> list[UUID]:
    """Make it right and see that it is. Returns the ids that a run has taken up meanwhile."""
    touched, later = drift.ids, list[UUID]()
    for _ in range(_ROUNDS):
        store.write([*drift.missing, *drift.stale])
        _remove(tools, generation, store, drift.surplus)
        drift = _look_again(tools, generation, store, touched)
        later = drift.in_flight
        if not drift.ids:
            break
    found.repaired += len(touched) - len(drift.ids)
    return later


def _remove(tools: Tools, generation: Generation, store: Projection, surplus: Mapping[UUID, UUID | None]) -> None:
    """A run may have taken some of them up since. While their documents are locked none can: what is surplus still
    has nobody who writes it."""
    if not surplus:
        return
    with tools.ledger.outbox.locked(sorted({each for each in surplus.values() if each is not None})):
        store.remove(list(_look_again(tools, generation, store, list(surplus)).surplus))
