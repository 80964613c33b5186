"""Runs of one source beside and after each other, in the ledger."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from sluice.errors import Busy, Terminal
from sluice.model.run import Counts, Run
from sluice.model.scan import WorkItem
from sluice.model.source import Source
from support.ledger_rows import (
    Room,
    chunk_id,
    entry,
    failure,
    held,
    loaded,
    opened,
    outbox,
    reader,
    scanned,
    shown,
    started,
    version,
)


def queued(room: Room, source: Source) -> set[UUID]:
    removals = outbox(room.ledger, source.generation.collection_id, 100)
    return {each for removal in removals for each in removal.chunk_ids}


# --- the later one counts


def test_an_older_run_does_not_replace_newer_content(room: Room) -> None:
    source = opened(room)
    older, newer = started(room, source), started(room, source)
    (item,) = scanned(room, older, entry("a"))
    loaded(room, newer, item, "new")
    loaded(room, older, item, "old")
    assert shown(room, source, item, "old", "new") == [b"\x01\x00textnew"]
    assert room.catalog.document(reader(source), item.document_id).version == 1
    assert queued(room, source) == set(), "nothing of it was staged"
    latest = started(room, source)
    loaded(room, latest, item, "newest")
    assert shown(room, source, item, "new", "newest") == [b"\x01\x00textnewest"]


def test_what_an_older_run_had_staged_is_dropped(room: Room) -> None:
    source = opened(room)
    older, newer = started(room, source), started(room, source)
    (item,) = scanned(room, older, entry("a"))
    room.ledger.runs.finish(newer, "failed", {})
    room.ledger.versions.stage(newer, [version(newer, item, "new")])
    room.ledger.versions.activate(newer, [item.document_id])
    room.ledger.versions.stage(older, [version(older, item, "old")])
    room.ledger.versions.activate(older, [item.document_id])
    assert shown(room, source, item, "old", "new") == [b"\x01\x00textnew"]
    assert room.ledger.versions.drop_abandoned(older) == 0


def test_an_older_run_is_kept_out_while_a_newer_one_holds_the_source(room: Room) -> None:
    source = opened(room)
    older = started(room, source)
    (item,) = scanned(room, older, entry("a"))
    newer = held(room, source)
    room.ledger.versions.stage(newer, [version(newer, item, "new")])
    writes: tuple[Callable[[], object], ...] = (
        lambda: room.ledger.versions.stage(older, [version(older, item, "old")]),
        lambda: room.ledger.versions.touch(older, [item]),
        lambda: room.ledger.quarantine.add(older, [failure(item)]),
    )
    for write in writes:
        with pytest.raises(Terminal, match="took over"):
            write()
    room.ledger.versions.activate(newer, [item.document_id])
    assert shown(room, source, item, "old", "new") == [b"\x01\x00textnew"]
    assert room.ledger.runs.counts(newer) == Counts(1, 1, 0)


def test_an_older_run_takes_over_from_a_newer_one_that_died(room: Room) -> None:
    source = opened(room)
    older, newer = started(room, source), started(room, source)
    (item,) = scanned(room, older, entry("a"))
    room.ledger.versions.stage(newer, [version(newer, item, "new")])
    room.ledger.runs.finish(newer, "failed", {})
    loaded(room, older, item, "old")
    assert shown(room, source, item, "old", "new") == [b"\x01\x00textold"]
    assert queued(room, source) == {chunk_id(item.document_id, "new")}


@pytest.mark.parametrize("ended", [None, "succeeded", "failed"])
def test_an_older_run_changes_nothing_after_a_later_scan_that_found_nothing_to_do(
    room: Room, ended: str | None
) -> None:
    source = opened(room)
    first = started(room, source)
    (item,) = scanned(room, first, entry("a"))
    loaded(room, first, item, "one")
    older, newer = started(room, source), started(room, source)
    (edited,) = scanned(room, older, entry("a", "2"))
    room.ledger.versions.stage(older, [version(older, edited, "two")])
    assert room.ledger.scans.record(newer, [entry("a")]).items == [], "the edit was undone"
    if ended is not None:
        room.ledger.runs.finish(newer, ended, {})
    assert room.ledger.versions.superseded(older, [edited.document_id]) == {edited.document_id}
    assert room.ledger.versions.touch(older, [edited]) == {edited.document_id}
    assert room.ledger.quarantine.add(older, [failure(edited)]) == {edited.document_id}
    assert room.ledger.versions.activate(older, [edited.document_id]) == []
    assert room.ledger.versions.stage(older, [version(older, edited, "two")]) == {edited.document_id}
    room.ledger.versions.activate(older, [edited.document_id])
    assert shown(room, source, item, "one", "two") == [b"\x01\x00textone"]
    assert room.ledger.runs.counts(newer) == Counts(1, 1, 0)
    assert room.ledger.scans.record(started(room, source), [entry("a")]).unchanged == 1, "nothing is remembered of it"


def test_an_older_run_that_scans_again_knows_what_the_later_one_saw(room: Room) -> None:
    source = opened(room)
    older, newer = started(room, source), started(room, source)
    scanned(room, older, entry("a"))
    (item,) = scanned(room, newer, entry("a"), entry("b"))[:1]
    loaded(room, newer, item, "one")
    edited, *_ = scanned(room, older, entry("a", "2"))
    assert room.ledger.versions.superseded(older, [item.document_id]) == set()
    loaded(room, older, edited, "two")
    assert shown(room, source, item, "one", "two") == [b"\x01\x00texttwo"]
    (vanished,) = room.ledger.scans.record(older, [entry("a", "2")]).vanished
    assert room.ledger.versions.remove(older, [vanished]) == 1


def test_an_older_run_does_not_bring_back_what_a_later_one_purged(room: Room) -> None:
    source = opened(room)
    first = started(room, source)
    (item,) = scanned(room, first, entry("a"))
    loaded(room, first, item, "one")
    older = started(room, source)
    (edited,) = scanned(room, older, entry("a", "2"))
    room.ledger.runs.finish(older, "failed", {})
    room.expire(item.document_id)
    purging = room.ledger.runs.start(source, "purge", uuid4(), "tests")
    assert room.ledger.retention.purge(purging, [item.document_id], room.ledger.retention.clock()) == [item.document_id]
    assert room.ledger.versions.stage(older, [version(older, edited, "two")]) == {item.document_id}
    room.ledger.versions.activate(older, [item.document_id])
    assert room.ledger.runs.counts(older) == Counts(0, 0, 0)
    assert room.ledger.versions.superseded(started(room, source), [item.document_id]) == set()


def test_a_replay_ends_where_a_later_run_judged_anew(room: Room) -> None:
    """What it works on is what quarantine kept when it was started."""
    source = opened(room)
    first = started(room, source)
    items = scanned(room, first, entry("served"), entry("refused"), entry("left"))
    room.ledger.quarantine.add(first, [failure(each) for each in items])
    replay = room.ledger.runs.start(source, "replay", uuid4(), "tests")
    later = started(room, source)
    served, refused, left = (
        scanned(room, later, entry("served", "2"), entry("refused", "2"), entry("left"))[:2] + items[2:]
    )
    loaded(room, later, served, "new")
    room.ledger.quarantine.add(later, [failure(refused)])
    ids = [each.document_id for each in items]
    assert room.ledger.versions.superseded(replay, ids) == {served.document_id, refused.document_id}
    assert room.ledger.versions.stage(replay, [version(replay, each, "old") for each in items]) == set(ids[:2])
    room.ledger.versions.activate(replay, ids)
    assert shown(room, source, served, "new", "old") == [b"\x01\x00textnew"]
    assert shown(room, source, left, "old") == [b"\x01\x00textold"]
    assert room.ledger.runs.counts(later).quarantined == 1
    assert left.document_id not in room.ledger.versions.superseded(replay, ids), "what it has served itself is its own"


def test_an_older_run_removes_nothing_after_a_later_scan(room: Room) -> None:
    source = opened(room)
    first = started(room, source)
    a, b = scanned(room, first, entry("a"), entry("b"))
    loaded(room, first, a, "one")
    loaded(room, first, b, "two")
    older, newer = started(room, source), started(room, source)
    (vanished,) = room.ledger.scans.record(older, [entry("a")]).vanished
    room.ledger.scans.record(newer, [entry("a"), entry("b")])
    with pytest.raises(Terminal, match=r"superseded by a later run\. Nothing was deleted\. Trigger a new run"):
        room.ledger.versions.remove(older, [vanished])
    assert shown(room, source, b, "two")
    assert room.ledger.versions.deleted_by(older) == 0
    assert room.ledger.versions.remove(newer, [vanished]) == 1


def test_a_later_run_that_has_not_scanned_yet_hinders_nobody(room: Room) -> None:
    source = opened(room)
    older = started(room, source)
    (item,) = scanned(room, older, entry("a"))
    started(room, source)
    scanned(room, started(room, opened(room)), entry("a"))
    assert room.ledger.versions.remove(older, [item.document_id]) == 1


def test_a_run_knows_what_it_has_deleted_in_all(room: Room) -> None:
    source = opened(room)
    first = started(room, source)
    a, b, c = scanned(room, first, entry("a"), entry("b"), entry("c"))
    assert room.ledger.versions.deleted_by(first) == 0
    assert room.ledger.versions.remove(first, [a.document_id]) == 1
    again = started(room, source)
    assert room.ledger.versions.remove(again, [a.document_id, b.document_id]) == 1
    assert room.ledger.versions.remove(again, [a.document_id, b.document_id, c.document_id]) == 1
    assert room.ledger.versions.remove(again, [b.document_id, c.document_id]) == 0
    assert (room.ledger.versions.deleted_by(first), room.ledger.versions.deleted_by(again)) == (1, 2)


# --- leftovers


def test_leftovers_of_runs_without_a_lease_are_dropped(room: Room) -> None:
    source = opened(room)
    crashed, dead = started(room, source), started(room, source)
    a, b = scanned(room, crashed, entry("a"), entry("b"))
    loaded(room, crashed, a, "kept")
    room.ledger.versions.stage(crashed, [version(started(room, source), a, "kept", "lost")])
    room.ledger.runs.finish(crashed, "failed", {})
    room.ledger.runs.claim(dead, 60)
    room.ledger.versions.stage(dead, [version(dead, b, "dead")])
    stranger = started(room, opened(room))
    (theirs,) = scanned(room, stranger, entry("a"))
    room.ledger.versions.stage(stranger, [version(stranger, theirs, "theirs")])
    room.ledger.runs.finish(stranger, "failed", {})
    room.expire_lease(dead)
    run = held(room, source)
    assert room.ledger.versions.drop_abandoned(run) == 2
    assert room.ledger.versions.drop_abandoned(run) == 0
    assert queued(room, source) == {chunk_id(a.document_id, "lost"), chunk_id(b.document_id, "dead")}
    assert len(shown(room, source, a, "kept", "lost")) == 1
    assert room.ledger.versions.drop_abandoned(stranger) == 1


def test_a_runs_own_leftovers_are_dropped(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    (item,) = scanned(room, run, entry("a"))
    room.ledger.versions.stage(run, [version(run, item, "lost")])
    assert room.ledger.versions.drop_abandoned(run) == 1
    assert queued(room, source) == {chunk_id(item.document_id, "lost")}
    room.ledger.versions.activate(run, [item.document_id])
    assert shown(room, source, item, "lost") == []


# --- who else is at work


def test_a_run_is_running_as_long_as_its_lease_holds(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    held(room, opened(room))
    started(room, source)
    assert not room.ledger.runs.others_running(run), "nobody holds the source"
    other = started(room, source)
    room.ledger.runs.claim(other, 60)
    room.backdate(other.run_id, 500)
    assert room.ledger.runs.others_running(run), "however long ago it was started"
    assert not room.ledger.runs.others_running(other)
    room.ledger.runs.finish(other, "failed", {})
    assert not room.ledger.runs.others_running(run)
    room.ledger.runs.start(source, "full", other.run_id)
    room.ledger.runs.claim(other, 60)
    assert room.ledger.runs.others_running(run)
    room.expire_lease(other)
    assert not room.ledger.runs.others_running(run), "its lease has lapsed"


def state_of(room: Room, run: Run) -> tuple[str, str | None]:
    (saved,) = room.ledger.sources.saved(run.source.spec.tenant, run.source.spec.collection)
    last = room.ledger.runs.last_by(saved, str(run.run_id))
    assert last
    return last.state, last.error


def named(room: Room, source: Source) -> Run:
    """A run that `state_of` finds."""
    run_id = uuid4()
    return room.ledger.runs.start(source, "incremental", run_id, str(run_id))


def test_a_task_that_is_tried_again_closes_what_it_left_running(room: Room) -> None:
    source = opened(room)
    task = "airflow:sluice_ingest/manual__1"
    first = room.ledger.runs.start(source, "full", uuid4(), task)
    room.ledger.runs.claim(first, 60)
    again = room.ledger.runs.start(source, "full", uuid4(), task)
    room.ledger.runs.claim(again, 60)
    room.ledger.runs.start(opened(room), "full", uuid4(), task)
    assert room.ledger.runs.others_running(first)
    by_hand = room.ledger.runs.start(source, "full", uuid4(), "cli")
    room.ledger.runs.start(source, "full", uuid4(), "cli")
    with pytest.raises(Busy):
        room.ledger.runs.claim(by_hand, 60)
    room.ledger.runs.finish(again, "succeeded", {})
    room.ledger.runs.claim(by_hand, 60)


# --- how a run ends


def test_the_first_error_of_a_run_is_the_one_that_is_told(room: Room) -> None:
    source = opened(room)
    run = named(room, source)
    room.ledger.runs.claim(run, 60)
    room.ledger.runs.record_error(run, {"task": "embed", "error": "Terminal: the first"})
    room.ledger.runs.record_error(run, {"task": "load", "error": "Terminal: the second"})
    assert state_of(room, run) == ("running", "Terminal: the first")
    with pytest.raises(Busy):
        room.ledger.runs.claim(started(room, source), 60)
    assert room.ledger.runs.close(run, {"error": "unknown"})
    assert state_of(room, run) == ("failed", "Terminal: the first")
    room.ledger.runs.record_error(run, {"error": "too late"})
    assert not room.ledger.runs.close(run, {"error": "again"})
    assert state_of(room, run) == ("failed", "Terminal: the first")
    other = started(room, source)
    room.ledger.runs.claim(other, 60)  # the source is free at once
    room.ledger.runs.finish(other, "succeeded", {})

    room.ledger.runs.claim(run, 60)  # a task was cleared
    assert state_of(room, run) == ("running", None)
    room.ledger.runs.finish(run, "succeeded", {})
    assert not room.ledger.runs.close(run, {"error": "unknown"})
    assert state_of(room, run) == ("succeeded", None)


def test_a_run_that_nobody_closed_is_closed_without_an_error_of_its_own(room: Room) -> None:
    run = named(room, opened(room))
    assert room.ledger.runs.close(run, {"error": "it was stopped"})
    assert state_of(room, run) == ("failed", "it was stopped")


# --- entities


def mentioning(room: Room, source: Source, item: WorkItem, *entity_ids: UUID, words: str = "one") -> None:
    run = started(room, source)
    room.ledger.versions.stage(run, [version(run, item, words, mentions=[(each, "ORG", 1) for each in entity_ids])])
    room.ledger.versions.activate(run, [item.document_id])


def test_an_entity_goes_with_its_last_mention(room: Room) -> None:
    source = opened(room)
    a, b = scanned(room, started(room, source), entry("a"), entry("b"))
    shared, edited, erased = uuid4(), uuid4(), uuid4()
    mentioning(room, source, a, shared, edited)
    mentioning(room, source, b, shared, erased)
    assert room.entities(source.spec.tenant) == {shared, edited, erased}
    mentioning(room, source, a, shared, words="two")
    assert room.entities(source.spec.tenant) == {shared, erased}
    room.ledger.versions.remove(started(room, source), [b.document_id])
    assert room.entities(source.spec.tenant) == {shared}
    room.ledger.versions.remove(started(room, source), [a.document_id])
    assert room.entities(source.spec.tenant) == set()


@pytest.mark.parametrize("ending", ["stage", "touch", "quarantine", "drop_abandoned", "remove_documents"])
def test_an_entity_goes_with_a_version_that_was_never_active(room: Room, ending: str) -> None:
    source = opened(room)
    crashed = started(room, source)
    (item,) = scanned(room, crashed, entry("a"))
    room.ledger.versions.stage(crashed, [version(crashed, item, "lost", mentions=[(uuid4(), "ORG", 1)])])
    room.ledger.runs.finish(crashed, "failed", {})
    run = started(room, source)
    calls: dict[str, Callable[[], object]] = {
        "stage": lambda: room.ledger.versions.stage(run, [version(run, item, "one")]),
        "touch": lambda: room.ledger.versions.touch(run, [item]),
        "quarantine": lambda: room.ledger.quarantine.add(run, [failure(item)]),
        "drop_abandoned": lambda: room.ledger.versions.drop_abandoned(run),
        "remove_documents": lambda: room.ledger.versions.remove(run, [item.document_id]),
    }
    calls[ending]()
    assert room.entities(source.spec.tenant) == set()


def test_entities_come_and_go_under_several_runs_at_once(room: Room) -> None:
    """Every turn replaces its document's mentions by others out of few: last mentions go while new ones come."""
    source = opened(room)
    items = scanned(room, started(room, source), *(entry(f"d{i}") for i in range(4)))
    pool_of_ids = [uuid4() for _ in range(6)]
    last: dict[UUID, list[UUID]] = {}

    def work(number: int) -> None:
        chance = random.Random(number)
        for turn in range(25):
            chosen = chance.sample(pool_of_ids, 2)
            mentioning(room, source, items[number], *chosen, words=f"turn {turn}")
            last[items[number].document_id] = chosen

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert room.entities(source.spec.tenant) == {each for chosen in last.values() for each in chosen}
    room.ledger.versions.remove(started(room, source), [item.document_id for item in items])
    assert room.entities(source.spec.tenant) == set()
