"""Runs of one source beside and after each other, in the ledger."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, text

from sluice.adapters.postgres import entities
from sluice.errors import Busy, Terminal
from sluice.model.run import Counts, Run
from sluice.model.scan import WorkItem
from sluice.model.source import Source
from support.ledger_rows import (
    LedgerDatabase,
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


def queued(db: LedgerDatabase, source: Source) -> set[UUID]:
    removals = outbox(db.ledger, source.generation.collection_id, 100)
    return {each for removal in removals for each in removal.chunk_ids}


# --- the later one counts


def test_an_older_run_does_not_replace_newer_content(db: LedgerDatabase) -> None:
    source = opened(db)
    older, newer = started(db, source), started(db, source)
    (item,) = scanned(db, older, entry("a"))
    loaded(db, newer, item, "new")
    loaded(db, older, item, "old")
    assert shown(db, source, item, "old", "new") == [b"\x01\x00textnew"]
    assert db.catalog.document(reader(source), item.document_id).version == 1
    assert queued(db, source) == set(), "nothing of it was staged"
    latest = started(db, source)
    loaded(db, latest, item, "newest")
    assert shown(db, source, item, "new", "newest") == [b"\x01\x00textnewest"]


def test_what_an_older_run_had_staged_is_dropped(db: LedgerDatabase) -> None:
    source = opened(db)
    older, newer = started(db, source), started(db, source)
    (item,) = scanned(db, older, entry("a"))
    db.ledger.runs.finish(newer, "failed", {})
    db.ledger.versions.stage(newer, [version(newer, item, "new")])
    db.ledger.versions.activate(newer, [item.document_id])
    db.ledger.versions.stage(older, [version(older, item, "old")])
    db.ledger.versions.activate(older, [item.document_id])
    assert shown(db, source, item, "old", "new") == [b"\x01\x00textnew"]
    assert db.ledger.versions.drop_abandoned(older) == 0


def test_an_older_run_is_kept_out_while_a_newer_one_holds_the_source(db: LedgerDatabase) -> None:
    source = opened(db)
    older = started(db, source)
    (item,) = scanned(db, older, entry("a"))
    newer = held(db, source)
    db.ledger.versions.stage(newer, [version(newer, item, "new")])
    writes: tuple[Callable[[], object], ...] = (
        lambda: db.ledger.versions.stage(older, [version(older, item, "old")]),
        lambda: db.ledger.versions.touch(older, [item]),
        lambda: db.ledger.quarantine.add(older, [failure(item)]),
    )
    for write in writes:
        with pytest.raises(Terminal, match="took over"):
            write()
    db.ledger.versions.activate(newer, [item.document_id])
    assert shown(db, source, item, "old", "new") == [b"\x01\x00textnew"]
    assert db.ledger.runs.counts(newer) == Counts(1, 1, 0)


def test_an_older_run_takes_over_from_a_newer_one_that_died(db: LedgerDatabase) -> None:
    source = opened(db)
    older, newer = started(db, source), started(db, source)
    (item,) = scanned(db, older, entry("a"))
    db.ledger.versions.stage(newer, [version(newer, item, "new")])
    db.ledger.runs.finish(newer, "failed", {})
    loaded(db, older, item, "old")
    assert shown(db, source, item, "old", "new") == [b"\x01\x00textold"]
    assert queued(db, source) == {chunk_id(item.document_id, "new")}


@pytest.mark.parametrize("ended", [None, "succeeded", "failed"])
def test_an_older_run_changes_nothing_after_a_later_scan_that_found_nothing_to_do(
    db: LedgerDatabase, ended: str | None
) -> None:
    source = opened(db)
    first = started(db, source)
    (item,) = scanned(db, first, entry("a"))
    loaded(db, first, item, "one")
    older, newer = started(db, source), started(db, source)
    (edited,) = scanned(db, older, entry("a", "2"))
    db.ledger.versions.stage(older, [version(older, edited, "two")])
    assert db.ledger.scans.record(newer, [entry("a")]).items == [], "the edit was undone"
    if ended is not None:
        db.ledger.runs.finish(newer, ended, {})
    assert db.ledger.versions.superseded(older, [edited.document_id]) == {edited.document_id}
    assert db.ledger.versions.touch(older, [edited]) == {edited.document_id}
    assert db.ledger.quarantine.add(older, [failure(edited)]) == {edited.document_id}
    assert db.ledger.versions.activate(older, [edited.document_id]) == []
    assert db.ledger.versions.stage(older, [version(older, edited, "two")]) == {edited.document_id}
    db.ledger.versions.activate(older, [edited.document_id])
    assert shown(db, source, item, "one", "two") == [b"\x01\x00textone"]
    assert db.ledger.runs.counts(newer) == Counts(1, 1, 0)
    assert db.ledger.scans.record(started(db, source), [entry("a")]).unchanged == 1, "nothing is remembered of it"


def test_an_older_run_that_scans_again_knows_what_the_later_one_saw(db: LedgerDatabase) -> None:
    source = opened(db)
    older, newer = started(db, source), started(db, source)
    scanned(db, older, entry("a"))
    (item,) = scanned(db, newer, entry("a"), entry("b"))[:1]
    loaded(db, newer, item, "one")
    edited, *_ = scanned(db, older, entry("a", "2"))
    assert db.ledger.versions.superseded(older, [item.document_id]) == set()
    loaded(db, older, edited, "two")
    assert shown(db, source, item, "one", "two") == [b"\x01\x00texttwo"]
    (vanished,) = db.ledger.scans.record(older, [entry("a", "2")]).vanished
    assert db.ledger.versions.remove(older, [vanished]) == 1


def test_an_older_run_does_not_bring_back_what_a_later_one_purged(db: LedgerDatabase) -> None:
    source = opened(db)
    first = started(db, source)
    (item,) = scanned(db, first, entry("a"))
    loaded(db, first, item, "one")
    older = started(db, source)
    (edited,) = scanned(db, older, entry("a", "2"))
    db.ledger.runs.finish(older, "failed", {})
    db.expire(item.document_id)
    purging = db.ledger.runs.start(source, "purge", uuid4(), "tests")
    assert db.ledger.retention.purge(purging, [item.document_id], db.ledger.retention.clock()) == [item.document_id]
    assert db.ledger.versions.stage(older, [version(older, edited, "two")]) == {item.document_id}
    db.ledger.versions.activate(older, [item.document_id])
    assert db.ledger.runs.counts(older) == Counts(0, 0, 0)
    assert db.ledger.versions.superseded(started(db, source), [item.document_id]) == set()


def test_a_replay_ends_where_a_later_run_judged_anew(db: LedgerDatabase) -> None:
    """What it works on is what quarantine kept when it was started."""
    source = opened(db)
    first = started(db, source)
    items = scanned(db, first, entry("served"), entry("refused"), entry("left"))
    db.ledger.quarantine.add(first, [failure(each) for each in items])
    replay = db.ledger.runs.start(source, "replay", uuid4(), "tests")
    later = started(db, source)
    served, refused, left = (
        scanned(db, later, entry("served", "2"), entry("refused", "2"), entry("left"))[:2] + items[2:]
    )
    loaded(db, later, served, "new")
    db.ledger.quarantine.add(later, [failure(refused)])
    ids = [each.document_id for each in items]
    assert db.ledger.versions.superseded(replay, ids) == {served.document_id, refused.document_id}
    assert db.ledger.versions.stage(replay, [version(replay, each, "old") for each in items]) == set(ids[:2])
    db.ledger.versions.activate(replay, ids)
    assert shown(db, source, served, "new", "old") == [b"\x01\x00textnew"]
    assert shown(db, source, left, "old") == [b"\x01\x00textold"]
    assert db.ledger.runs.counts(later).quarantined == 1
    assert left.document_id not in db.ledger.versions.superseded(replay, ids), "what it has served itself is its own"


def test_an_older_run_removes_nothing_after_a_later_scan(db: LedgerDatabase) -> None:
    source = opened(db)
    first = started(db, source)
    a, b = scanned(db, first, entry("a"), entry("b"))
    loaded(db, first, a, "one")
    loaded(db, first, b, "two")
    older, newer = started(db, source), started(db, source)
    (vanished,) = db.ledger.scans.record(older, [entry("a")]).vanished
    db.ledger.scans.record(newer, [entry("a"), entry("b")])
    with pytest.raises(Terminal, match=r"superseded by a later run\. Nothing was deleted\. Trigger a new run"):
        db.ledger.versions.remove(older, [vanished])
    assert shown(db, source, b, "two")
    assert db.ledger.versions.deleted_by(older) == 0
    assert db.ledger.versions.remove(newer, [vanished]) == 1


def test_a_later_run_that_has_not_scanned_yet_hinders_nobody(db: LedgerDatabase) -> None:
    source = opened(db)
    older = started(db, source)
    (item,) = scanned(db, older, entry("a"))
    started(db, source)
    scanned(db, started(db, opened(db)), entry("a"))
    assert db.ledger.versions.remove(older, [item.document_id]) == 1


def test_a_run_knows_what_it_has_deleted_in_all(db: LedgerDatabase) -> None:
    source = opened(db)
    first = started(db, source)
    a, b, c = scanned(db, first, entry("a"), entry("b"), entry("c"))
    assert db.ledger.versions.deleted_by(first) == 0
    assert db.ledger.versions.remove(first, [a.document_id]) == 1
    again = started(db, source)
    assert db.ledger.versions.remove(again, [a.document_id, b.document_id]) == 1
    assert db.ledger.versions.remove(again, [a.document_id, b.document_id, c.document_id]) == 1
    assert db.ledger.versions.remove(again, [b.document_id, c.document_id]) == 0
    assert (db.ledger.versions.deleted_by(first), db.ledger.versions.deleted_by(again)) == (1, 2)


# --- leftovers


def test_leftovers_of_runs_without_a_lease_are_dropped(db: LedgerDatabase) -> None:
    source = opened(db)
    crashed, dead = started(db, source), started(db, source)
    a, b = scanned(db, crashed, entry("a"), entry("b"))
    loaded(db, crashed, a, "kept")
    db.ledger.versions.stage(crashed, [version(started(db, source), a, "kept", "lost")])
    db.ledger.runs.finish(crashed, "failed", {})
    db.ledger.runs.claim(dead, 60)
    db.ledger.versions.stage(dead, [version(dead, b, "dead")])
    stranger = started(db, opened(db))
    (theirs,) = scanned(db, stranger, entry("a"))
    db.ledger.versions.stage(stranger, [version(stranger, theirs, "theirs")])
    db.ledger.runs.finish(stranger, "failed", {})
    db.expire_lease(dead)
    run = held(db, source)
    assert db.ledger.versions.drop_abandoned(run) == 2
    assert db.ledger.versions.drop_abandoned(run) == 0
    assert queued(db, source) == {chunk_id(a.document_id, "lost"), chunk_id(b.document_id, "dead")}
    assert len(shown(db, source, a, "kept", "lost")) == 1
    assert db.ledger.versions.drop_abandoned(stranger) == 1


def test_a_runs_own_leftovers_are_dropped(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    db.ledger.versions.stage(run, [version(run, item, "lost")])
    assert db.ledger.versions.drop_abandoned(run) == 1
    assert queued(db, source) == {chunk_id(item.document_id, "lost")}
    db.ledger.versions.activate(run, [item.document_id])
    assert shown(db, source, item, "lost") == []


# --- who else is at work


def test_a_run_is_running_as_long_as_its_lease_holds(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    held(db, opened(db))
    started(db, source)
    assert not db.ledger.runs.others_running(run), "nobody holds the source"
    other = started(db, source)
    db.ledger.runs.claim(other, 60)
    db.backdate(other.run_id, 500)
    assert db.ledger.runs.others_running(run), "however long ago it was started"
    assert not db.ledger.runs.others_running(other)
    db.ledger.runs.finish(other, "failed", {})
    assert not db.ledger.runs.others_running(run)
    db.ledger.runs.start(source, "full", other.run_id)
    db.ledger.runs.claim(other, 60)
    assert db.ledger.runs.others_running(run)
    db.expire_lease(other)
    assert not db.ledger.runs.others_running(run), "its lease has lapsed"


def state_of(db: LedgerDatabase, run: Run) -> tuple[str, str | None]:
    (saved,) = db.ledger.sources.saved(run.source.spec.tenant, run.source.spec.collection)
    last = db.ledger.runs.last_by(saved, str(run.run_id))
    assert last
    return last.state, last.error


def named(db: LedgerDatabase, source: Source) -> Run:
    """A run that `state_of` finds."""
    run_id = uuid4()
    return db.ledger.runs.start(source, "incremental", run_id, str(run_id))


def test_a_task_that_is_tried_again_closes_what_it_left_running(db: LedgerDatabase) -> None:
    source = opened(db)
    task = "airflow:sluice_ingest/manual__1"
    first = db.ledger.runs.start(source, "full", uuid4(), task)
    db.ledger.runs.claim(first, 60)
    again = db.ledger.runs.start(source, "full", uuid4(), task)
    db.ledger.runs.claim(again, 60)
    db.ledger.runs.start(opened(db), "full", uuid4(), task)
    assert db.ledger.runs.others_running(first)
    by_hand = db.ledger.runs.start(source, "full", uuid4(), "cli")
    db.ledger.runs.start(source, "full", uuid4(), "cli")
    with pytest.raises(Busy):
        db.ledger.runs.claim(by_hand, 60)
    db.ledger.runs.finish(again, "succeeded", {})
    db.ledger.runs.claim(by_hand, 60)


# --- how a run ends


def test_the_first_error_of_a_run_is_the_one_that_is_told(db: LedgerDatabase) -> None:
    source = opened(db)
    run = named(db, source)
    db.ledger.runs.claim(run, 60)
    db.ledger.runs.record_error(run, {"task": "embed", "error": "Terminal: the first"})
    db.ledger.runs.record_error(run, {"task": "load", "error": "Terminal: the second"})
    assert state_of(db, run) == ("running", "Terminal: the first")
    with pytest.raises(Busy):
        db.ledger.runs.claim(started(db, source), 60)
    assert db.ledger.runs.close(run, {"error": "unknown"})
    assert state_of(db, run) == ("failed", "Terminal: the first")
    db.ledger.runs.record_error(run, {"error": "too late"})
    assert not db.ledger.runs.close(run, {"error": "again"})
    assert state_of(db, run) == ("failed", "Terminal: the first")
    other = started(db, source)
    db.ledger.runs.claim(other, 60)  # the source is free at once
    db.ledger.runs.finish(other, "succeeded", {})

    db.ledger.runs.claim(run, 60)  # a task was cleared
    assert state_of(db, run) == ("running", None)
    db.ledger.runs.finish(run, "succeeded", {})
    assert not db.ledger.runs.close(run, {"error": "unknown"})
    assert state_of(db, run) == ("succeeded", None)


def test_a_run_that_nobody_closed_is_closed_without_an_error_of_its_own(db: LedgerDatabase) -> None:
    run = named(db, opened(db))
    assert db.ledger.runs.close(run, {"error": "it was stopped"})
    assert state_of(db, run) == ("failed", "it was stopped")


# --- entities


def mentioning(db: LedgerDatabase, source: Source, item: WorkItem, *entity_ids: UUID, words: str = "one") -> None:
    run = started(db, source)
    db.ledger.versions.stage(run, [version(run, item, words, mentions=[(each, "ORG", 1) for each in entity_ids])])
    db.ledger.versions.activate(run, [item.document_id])


def test_an_entity_goes_with_its_last_mention(db: LedgerDatabase) -> None:
    source = opened(db)
    a, b = scanned(db, started(db, source), entry("a"), entry("b"))
    shared, edited, erased = uuid4(), uuid4(), uuid4()
    mentioning(db, source, a, shared, edited)
    mentioning(db, source, b, shared, erased)
    assert db.entities(source.spec.tenant) == {shared, edited, erased}
    mentioning(db, source, a, shared, words="two")
    assert db.entities(source.spec.tenant) == {shared, erased}
    db.ledger.versions.remove(started(db, source), [b.document_id])
    assert db.entities(source.spec.tenant) == {shared}
    db.ledger.versions.remove(started(db, source), [a.document_id])
    assert db.entities(source.spec.tenant) == set()


@pytest.mark.parametrize("ending", ["stage", "touch", "quarantine", "drop_abandoned", "remove_documents"])
def test_an_entity_goes_with_a_version_that_was_never_active(db: LedgerDatabase, ending: str) -> None:
    source = opened(db)
    crashed = started(db, source)
    (item,) = scanned(db, crashed, entry("a"))
    db.ledger.versions.stage(crashed, [version(crashed, item, "lost", mentions=[(uuid4(), "ORG", 1)])])
    db.ledger.runs.finish(crashed, "failed", {})
    run = started(db, source)
    calls: dict[str, Callable[[], object]] = {
        "stage": lambda: db.ledger.versions.stage(run, [version(run, item, "one")]),
        "touch": lambda: db.ledger.versions.touch(run, [item]),
        "quarantine": lambda: db.ledger.quarantine.add(run, [failure(item)]),
        "drop_abandoned": lambda: db.ledger.versions.drop_abandoned(run),
        "remove_documents": lambda: db.ledger.versions.remove(run, [item.document_id]),
    }
    calls[ending]()
    assert db.entities(source.spec.tenant) == set()


def test_two_transactions_delete_the_last_two_mentions_of_an_entity(db: LedgerDatabase) -> None:
    """Neither may rely on the mention that the other is about to delete."""
    source = opened(db)
    a, b = scanned(db, started(db, source), entry("a"), entry("b"))
    shared = uuid4()
    mentioning(db, source, a, shared)
    mentioning(db, source, b, shared)
    delete = text("""DELETE FROM mentions WHERE version_id IN
                     (SELECT version_id FROM versions WHERE document_id = :id)""")

    def forget(connection: Connection, item: WorkItem) -> None:
        connection.execute(delete, {"id": item.document_id})
        entities.forget(connection, [shared])

    db.overlapping(lambda connection: forget(connection, a), lambda connection: forget(connection, b))
    assert db.entities(source.spec.tenant) == set()


def test_entities_come_and_go_under_several_runs_at_once(db: LedgerDatabase) -> None:
    """Every turn replaces its document's mentions by others out of few: last mentions go while new ones come."""
    source = opened(db)
    items = scanned(db, started(db, source), *(entry(f"d{i}") for i in range(4)))
    pool_of_ids = [uuid4() for _ in range(6)]
    last: dict[UUID, list[UUID]] = {}

    def work(number: int) -> None:
        chance = random.Random(number)
        for turn in range(25):
            chosen = chance.sample(pool_of_ids, 2)
            mentioning(db, source, items[number], *chosen, words=f"turn {turn}")
            last[items[number].document_id] = chosen

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert db.entities(source.spec.tenant) == {each for chosen in last.values() for each in chosen}
    db.ledger.versions.remove(started(db, source), [item.document_id for item in items])
    assert db.entities(source.spec.tenant) == set()
