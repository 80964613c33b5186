"""Versions, their switch and their end, in the ledger."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import pytest

from sluice.errors import LostLease, NotFound, Terminal
from sluice.model.gates import GateResult
from sluice.model.points import OutboxEntry
from sluice.model.run import Counts, StageStat
from sluice.model.scan import WorkItem
from sluice.ports.ledger import Ledger
from support.ledger_rows import (
    PROFILE,
    LedgerDatabase,
    carried_out,
    chunk_id,
    entry,
    failure,
    loaded,
    name,
    opened,
    outbox,
    reader,
    scanned,
    shown,
    spec,
    started,
    version,
)

# --- versions


def test_a_staged_version_is_not_served_before_it_is_active(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    db.ledger.versions.stage(run, [version(run, item, "one", "two")])
    assert shown(db, source, item, "one", "two") == []
    assert db.ledger.collections.counts(source.generation) == Counts(0, 0, 0)
    db.ledger.versions.activate(run, [item.document_id])
    assert shown(db, source, item, "two", "one") == [b"\x01\x00texttwo", b"\x01\x00textone"]
    assert db.ledger.collections.counts(source.generation) == Counts(1, 2, 0)


def test_an_edit_queues_what_it_took_out(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    loaded(db, run, item, "one", "two", "three")
    run = started(db, source)
    (edited,) = scanned(db, run, entry("a", "2"))
    loaded(db, run, edited, "one", "zwei", "three")
    (removal,) = outbox(db.ledger, source.generation.collection_id, 10)
    assert removal.chunk_ids == (chunk_id(item.document_id, "two"),)
    assert (removal.generation, removal.document_id) == (source.generation, item.document_id)
    assert not removal.document_gone
    assert shown(db, source, item, "one", "two", "zwei") == [b"\x01\x00textone", b"\x01\x00textzwei"]
    assert db.catalog.document(reader(source), item.document_id).version == 2
    assert carried_out(db.ledger, source.generation.collection_id) == [removal]
    assert outbox(db.ledger, source.generation.collection_id, 10) == []


def test_a_document_of_which_nothing_was_served_leaves_the_projections_unless_it_is_staged_again(
    db: LedgerDatabase,
) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    db.ledger.versions.stage(run, [version(run, item, "one")])
    db.ledger.quarantine.add(run, [failure(item)])
    (removal,) = outbox(db.ledger, source.generation.collection_id)
    assert removal.document_gone and removal.chunk_ids == (chunk_id(item.document_id, "one"),)
    db.ledger.versions.stage(run, [version(run, item, "two")])
    (removal,) = outbox(db.ledger, source.generation.collection_id)
    assert not removal.document_gone and removal.chunk_ids == (chunk_id(item.document_id, "one"),)


def test_repeating_a_batch_changes_nothing(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    staged = version(run, item, "one", "two", mentions=[(uuid4(), "ORG", 2)])
    for _ in range(2):
        db.ledger.versions.stage(run, [staged])
    for _ in range(2):
        db.ledger.versions.activate(run, [item.document_id])
    epoch = db.epoch(source.generation.collection_id)
    db.ledger.versions.stage(run, [staged])
    db.ledger.versions.activate(run, [item.document_id])
    assert db.epoch(source.generation.collection_id) == epoch
    assert db.catalog.document(reader(source), item.document_id).version == 1
    assert db.ledger.collections.counts(source.generation) == Counts(1, 2, 0)
    assert [removal for removal in outbox(db.ledger, source.generation.collection_id, 10) if removal.chunk_ids] == []


def test_what_a_crash_left_pending_is_dropped_and_queued(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    loaded(db, run, item, "one")
    crashed = started(db, source)
    db.ledger.versions.stage(crashed, [version(crashed, item, "one", "lost")])
    run = started(db, source)
    db.ledger.versions.stage(run, [version(run, item, "one", "new")])
    (removal,) = outbox(db.ledger, source.generation.collection_id, 10)
    assert removal.chunk_ids == (chunk_id(item.document_id, "lost"),)
    db.ledger.versions.activate(crashed, [item.document_id])
    assert shown(db, source, item, "new") == [], "another run's version is not ours to activate"
    db.ledger.versions.activate(run, [item.document_id])
    assert len(shown(db, source, item, "one", "lost", "new")) == 2


def test_a_document_that_was_only_staged_is_still_new(db: LedgerDatabase) -> None:
    source = opened(db)
    crashed = started(db, source)
    (item,) = scanned(db, crashed, entry("a"))
    db.ledger.versions.stage(crashed, [version(crashed, item, "lost")])
    assert scanned(db, started(db, source), entry("a")) == [item]


@pytest.mark.parametrize("ending", ["quarantine", "touch"])
def test_a_leftover_goes_too_when_the_document_needs_no_load(db: LedgerDatabase, ending: str) -> None:
    source = opened(db)
    crashed = started(db, source)
    (item,) = scanned(db, crashed, entry("a"))
    db.ledger.versions.stage(crashed, [version(crashed, item, "lost")])
    run = started(db, source)
    if ending == "touch":
        db.ledger.versions.touch(run, [item])
    else:
        db.ledger.quarantine.add(run, [failure(item)])
    (removal,) = outbox(db.ledger, source.generation.collection_id, 10)
    assert removal.chunk_ids == (chunk_id(item.document_id, "lost"),)


def test_an_undone_edit_takes_its_removal_back(db: LedgerDatabase) -> None:
    source = opened(db)
    for fingerprint, words in (("1", "one"), ("2", "two"), ("3", "one")):
        run = started(db, source)
        (item,) = scanned(db, run, entry("a", fingerprint))
        loaded(db, run, item, words)
    taken_out = [
        each for removal in outbox(db.ledger, source.generation.collection_id, 10) for each in removal.chunk_ids
    ]
    assert taken_out == [chunk_id(item.document_id, "two")]


def test_a_repeated_run_may_find_other_content(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    loaded(db, run, item, "one")
    (item,) = scanned(db, run, entry("a", "2"))
    loaded(db, run, item, "two")
    assert shown(db, source, item, "one", "two") == [b"\x01\x00texttwo"]
    assert db.ledger.scans.record(run, [entry("a", "2")]).unchanged == 1


def test_documents_are_switched_together(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    items = scanned(db, run, *(entry(f"d{i}") for i in range(30)))
    db.ledger.versions.stage(run, [version(run, item, "one", "two") for item in items])
    before = db.epoch(source.generation.collection_id)
    db.ledger.versions.activate(run, [item.document_id for item in items])
    assert db.ledger.runs.counts(run) == Counts(30, 60, 0)
    assert db.epoch(source.generation.collection_id) != before


def test_a_version_of_an_unknown_document_is_refused(db: LedgerDatabase) -> None:
    run = started(db, opened(db))
    (item,) = scanned(db, run, entry("a"))
    with pytest.raises(Terminal):
        db.ledger.versions.stage(run, [version(run, replace(item, document_id=uuid4()), "one")])


def test_nothing_to_do_is_fine(db: LedgerDatabase) -> None:
    run = started(db, opened(db))
    db.ledger.versions.stage(run, [])
    db.ledger.versions.activate(run, [])
    db.ledger.versions.activate(run, [uuid4()])
    db.ledger.versions.touch(run, [])
    db.ledger.quarantine.add(run, [])
    assert carried_out(db.ledger, uuid4()) == []
    db.ledger.quality.record_gates(run, 0, "extract", [])
    assert db.ledger.versions.remove(run, []) == 0


# --- the end of documents


def test_a_removed_document_is_gone_at_once(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    a, b = scanned(db, run, entry("a"), entry("b"))
    loaded(db, run, a, "one", "two")
    loaded(db, run, b, "three")
    db.ledger.versions.stage(started(db, source), [version(started(db, source), a, "pending")])
    assert db.ledger.versions.remove(run, [a.document_id, a.document_id]) == 1
    assert shown(db, source, a, "one", "two") == []
    assert db.ledger.collections.counts(source.generation) == Counts(1, 1, 0)
    (removal,) = outbox(db.ledger, source.generation.collection_id, 10)
    assert removal.document_gone
    assert set(removal.chunk_ids) == {chunk_id(a.document_id, words) for words in ("one", "two", "pending")}
    assert db.ledger.versions.remove(run, [a.document_id]) == 0
    assert len(outbox(db.ledger, source.generation.collection_id, 10)) == 1
    with pytest.raises(NotFound):
        db.catalog.document(reader(source), a.document_id)


def test_what_comes_back_is_a_new_document(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    loaded(db, run, item, "one")
    db.ledger.versions.remove(run, [item.document_id])
    (again,) = scanned(db, started(db, source), entry("a"))
    assert again.document_id != item.document_id and again.new


def test_a_document_removed_during_a_run_stays_removed(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    db.ledger.versions.stage(run, [version(run, item, "one")])
    db.ledger.versions.remove(run, [item.document_id])
    db.ledger.versions.stage(run, [version(run, item, "one")])
    db.ledger.versions.activate(run, [item.document_id])
    assert shown(db, source, item, "one") == []
    queued = [each for removal in outbox(db.ledger, source.generation.collection_id, 10) for each in removal.chunk_ids]
    assert set(queued) == {chunk_id(item.document_id, "one")}


def test_removing_a_quarantined_document_closes_its_record(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    db.ledger.quarantine.add(run, [failure(item)])
    assert db.ledger.versions.remove(run, [item.document_id]) == 1
    assert db.ledger.collections.counts(source.generation).quarantined == 0


def test_another_sources_documents_are_left_alone(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    loaded(db, run, item, "one")
    stranger = started(db, opened(db, spec(collection=source.spec.collection)))
    assert db.ledger.versions.remove(stranger, [item.document_id]) == 0
    db.ledger.quarantine.add(stranger, [failure(item)])
    db.ledger.versions.touch(stranger, [replace(item, entry=entry("a", "9"))])
    assert db.ledger.scans.record(started(db, source), [entry("a")]).unchanged == 1


def test_removals_come_in_order_and_in_pieces(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    items = scanned(db, run, *(entry(f"d{i}") for i in range(5)))
    for item in items:
        loaded(db, run, item, "one")
        db.ledger.versions.remove(run, [item.document_id])
    first = outbox(db.ledger, source.generation.collection_id, 2)
    assert [removal.document_id for removal in first] == [item.document_id for item in items[:2]]
    assert carried_out(db.ledger, source.generation.collection_id, 2) == first
    rest = outbox(db.ledger, source.generation.collection_id, 10)
    assert [removal.document_id for removal in rest] == [item.document_id for item in items[2:]]
    assert outbox(db.ledger, uuid4(), 10) == []


# --- what happened


def test_what_another_caller_carries_out_is_left_to_it_or_waited_for(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    items = scanned(db, run, entry("a"))
    loaded(db, run, items[0], "one")
    db.ledger.versions.remove(run, [items[0].document_id])
    collection_id, taken, over = source.generation.collection_id, Event(), Event()

    def hold() -> None:
        with db.ledger.outbox.entries(collection_id, 10) as outcome:
            assert len(outcome) == 1
            taken.set()
            over.wait(10)

    with ThreadPoolExecutor(3) as pool:
        holding = pool.submit(hold)
        assert taken.wait(10)
        left = pool.submit(carried_out, db.ledger, collection_id)
        waited = pool.submit(waited_for, db.ledger, collection_id)
        with pytest.raises(TimeoutError):
            waited.result(0.3)
        over.set()
        holding.result(10)
        assert left.result(10) == waited.result(10) == []


def waited_for(ledger: Ledger, collection_id: UUID) -> list[OutboxEntry]:
    with ledger.outbox.entries(collection_id, 10, wait=True) as outcome:
        return outcome


def test_what_breaks_off_stays_queued(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    loaded(db, run, item, "one")
    db.ledger.versions.remove(run, [item.document_id])
    with pytest.raises(ZeroDivisionError), db.ledger.outbox.entries(source.generation.collection_id, 10):
        raise ZeroDivisionError
    assert len(outbox(db.ledger, source.generation.collection_id)) == 1


@pytest.mark.parametrize("block", ["removals", "locked"])
def test_nothing_is_staged_while_it_is_decided_what_goes(db: LedgerDatabase, block: str) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    loaded(db, run, item, "one")
    run = started(db, source)
    (edited,) = scanned(db, run, entry("a", "2"))
    loaded(db, run, edited, "two")
    run = started(db, source)
    (back,) = scanned(db, run, entry("a", "3"))
    inside: Any = (
        db.ledger.outbox.entries(source.generation.collection_id, 10)
        if block == "removals"
        else db.ledger.outbox.locked([item.document_id])
    )
    with ThreadPoolExecutor(1) as pool:
        with inside:
            staged = pool.submit(db.ledger.versions.stage, run, [version(run, back, "one")])
            with pytest.raises(TimeoutError):
                staged.result(0.3)
        assert staged.result(10) == set()


def test_a_stage_is_recorded_once_a_batch(db: LedgerDatabase) -> None:
    run = started(db, opened(db))
    for stat in (
        StageStat(-1, "scan", 0.5, {"seen": 3}),
        StageStat(0, "extract", 1.5, {"documents": 3}),
        StageStat(1, "extract", 2.5, {}),
        StageStat(0, "embed", 0.25, {"computed": 1}),
        StageStat(0, "extract", 0.75, {"documents": 2}),
    ):
        db.ledger.runs.record_stage(run, stat)
    stages = db.ledger.runs.stages(run)
    assert len(stages) == 4
    assert {(each.batch, each.stage): each for each in stages}[0, "extract"] == StageStat(
        0, "extract", 0.75, {"documents": 2}
    )
    assert [each.batch for each in stages] == [-1, 0, 0, 1]


def test_gates_and_the_end_of_a_run_may_be_recorded_twice(db: LedgerDatabase) -> None:
    run = started(db, opened(db))
    results = [
        GateResult("documents", "not_empty", "text", True, True, 3, 0, 0),
        GateResult("documents", "not_empty", "text", False, True, 3, 1, {"bad": [1.5, float("nan")], "s": "\0"}),
        GateResult("documents", "row_count", None, True, False, 3, 0),
    ]
    for _ in range(2):
        db.ledger.quality.record_gates(run, 0, "extract", results)
        db.ledger.runs.finish(run, "succeeded", {"documents": {"seen": 3}, "seconds": 1.25, "id": uuid4()})
    db.ledger.quality.record_gates(run, 0, "chunk", results[:1])
    stored = db.ledger.quality.gates(run, 0)
    assert stored == [
        results[0],
        results[0],
        replace(results[1], observed={"bad": [1.5, "nan"], "s": ""}),
        results[2],
    ]
    assert db.ledger.quality.gates(run, 1) == []
    with pytest.raises(Terminal, match="succeeded or failed"):
        db.ledger.runs.finish(run, "tired", {})


def test_counts_keep_tenants_apart(db: LedgerDatabase) -> None:
    source = opened(db)
    other = opened(db, spec(collection=source.spec.collection))
    for each, texts in ((source, ["one"]), (other, ["one", "two"])):
        run = started(db, each)
        a, b = scanned(db, run, entry("a"), entry("b"))
        loaded(db, run, a, *texts)
        db.ledger.quarantine.add(run, [failure(b)])
    assert db.ledger.collections.counts(source.generation) == Counts(2, 3, 2)
    assert db.ledger.collections.counts(source.generation, source.spec.tenant) == Counts(1, 1, 1)
    assert db.ledger.collections.counts(source.generation, other.spec.tenant) == Counts(1, 2, 1)
    assert db.ledger.collections.counts(source.generation, name()) == Counts(0, 0, 0)


def test_all_live_generations_are_listed(db: LedgerDatabase) -> None:
    generations = {opened(db).generation.collection: PROFILE for _ in range(3)}
    listed = {each.collection: each.profile for each in db.ledger.collections.generations()}
    assert generations.items() <= listed.items()


# --- several at once


def test_two_openings_at_once_make_one_source(db: LedgerDatabase) -> None:
    wanted = spec()
    with ThreadPoolExecutor(4) as pool:
        sources = list(pool.map(lambda _: opened(db, wanted), range(8)))
    assert len(set(sources)) == 1


def test_scans_at_once_assign_the_same_ids(db: LedgerDatabase) -> None:
    """A run whose list is older than one that was recorded meanwhile is refused, and changes nothing."""
    source = opened(db)
    listed = [entry(f"d{i}") for i in range(300)]

    def scan(_: int) -> list[WorkItem] | None:
        try:
            return scanned(db, started(db, source), *listed)
        except LostLease:
            return None

    with ThreadPoolExecutor(3) as pool:
        outcome = [each for each in pool.map(scan, range(3)) if each is not None]
    assert outcome and all(each == outcome[0] for each in outcome)
    assert scanned(db, started(db, source), *listed) == outcome[0]


def test_runs_over_the_same_documents_do_not_block_each_other_for_ever(db: LedgerDatabase) -> None:
    source = opened(db)
    items = scanned(db, started(db, source), *(entry(f"d{i}") for i in range(40)))

    def load(turn: int) -> None:
        run = started(db, source)
        order = items if turn % 2 else items[::-1]
        entities = [(UUID(int=i + 1), "ORG", 1) for i in range(20)]
        mentions = entities if turn % 2 else entities[::-1]
        db.ledger.versions.stage(run, [version(run, item, f"text {turn}", mentions=mentions) for item in order])
        db.ledger.versions.activate(run, [item.document_id for item in order])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(load, range(12)))
    counts = db.ledger.collections.counts(source.generation)
    assert counts.documents == 40 and counts.chunks == 40
