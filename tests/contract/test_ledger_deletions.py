"""Deletions by hand, and what a change would hide, in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from sluice.errors import Busy, LostLease, NotFound, Terminal
from sluice.model.grants import Grant
from sluice.model.retention import Retention, RetentionScope
from sluice.model.run import Run
from sluice.model.scan import WorkItem
from sluice.model.source import Source
from support.ledger_rows import (
    Room,
    chunk_id,
    entry,
    failure,
    loaded,
    opened,
    reader,
    scanned,
    shown,
    spec,
    started,
    version,
)

PAST = datetime(2020, 1, 1, tzinfo=UTC)


def filled(room: Room, *names: str, groups: tuple[str, ...] = ()) -> tuple[Source, list[WorkItem]]:
    source = opened(room, spec(access_groups=groups))
    run = started(room, source)
    items = scanned(room, run, *(entry(name) for name in names or ("a", "b")))
    for item in items:
        loaded(room, run, item, "one", "two")
    room.ledger.runs.finish(run, "succeeded", {})
    return source, items


def drained(room: Room, source: Source) -> set[object]:
    """Chunks that the outbox held; struck off."""
    with room.ledger.outbox.entries(source.generation.collection_id, 1000) as removals:
        return {chunk for each in removals for chunk in each.chunk_ids}


def delete(room: Room, source: Source, *items: WorkItem, listed: bool = True) -> Run:
    run = room.ledger.runs.start(source, "purge", started(room, source).run_id, "tests")
    went = room.ledger.deletions.delete(run, [each.document_id for each in items], listed=listed)
    assert went == sorted(each.document_id for each in items)
    room.ledger.runs.finish(run, "succeeded", {})
    return run


def test_a_deleted_document_is_unreadable_and_its_chunks_are_queued(room: Room) -> None:
    source, (gone, kept) = filled(room)
    delete(room, source, gone)
    assert shown(room, source, gone, "one", "two") == []
    assert len(shown(room, source, kept, "one", "two")) == 2
    assert drained(room, source) == {chunk_id(gone.document_id, words) for words in ("one", "two")}
    with pytest.raises(NotFound):
        room.catalog.document(reader(source), gone.document_id)
    with pytest.raises(NotFound):
        room.ledger.sources.of([gone.document_id])
    assert room.ledger.sources.of([gone.document_id], deleted=True) == {gone.document_id: source}
    assert room.ledger.sources.of([kept.document_id]) == {kept.document_id: source}
    with pytest.raises(NotFound, match=str(gone.document_id)):
        room.ledger.sources.of([kept.document_id, gone.document_id])
    assert room.ledger.deletions.names_of(source, [gone.document_id, kept.document_id]) == ["b"]
    assert room.ledger.deletions.held(source).documents == 1


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_it_does_not_come_back_while_its_content_is_the_same(room: Room, mode: str) -> None:
    source, (gone, _) = filled(room)
    delete(room, source, gone)
    run = started(room, source, mode)  # type: ignore[arg-type]
    assert gone.document_id not in [each.document_id for each in scanned(room, run, entry("a"), entry("b"))]
    # Touched, and perhaps the same: the bytes decide.
    run = started(room, source, mode)  # type: ignore[arg-type]
    again = next(
        each for each in scanned(room, run, entry("a", "2"), entry("b")) if each.document_id == gone.document_id
    )
    assert again.deleted and again.active_hash == b"onetwo".ljust(20, b"\0")
    room.ledger.versions.touch(run, [again])
    assert shown(room, source, gone, "one", "two") == []


def refused_then_deleted(room: Room) -> tuple[Source, WorkItem]:
    """Served as "one"; then a gate refuses "three", and somebody deletes it."""
    source, (item, _) = filled(room)
    run = started(room, source)
    (bad,) = scanned(room, run, entry("a", "2"), entry("b"))
    room.ledger.quarantine.add(run, [replace(failure(bad), raw_hash=version(run, bad, "three").raw_hash)])
    room.ledger.runs.finish(run, "succeeded", {})
    delete(room, source, item)
    return source, item


def test_content_that_was_refused_stays_out_when_it_is_only_touched(room: Room) -> None:
    source, _ = refused_then_deleted(room)
    run = started(room, source)
    (again,) = scanned(room, run, entry("a", "touched"), entry("b"))
    assert again.deleted and again.active_hash == version(run, again, "three").raw_hash


def test_what_expired_stays_gone_when_a_deletion_of_other_content_is_taken_back(room: Room) -> None:
    source, item = refused_then_deleted(room)
    room.expire(item.document_id)
    room.ledger.deletions.restore(item.document_id)
    run = started(room, source)
    (again,) = scanned(room, run, entry("a", "2"), entry("b"))
    assert again.active_hash == version(run, again, "one", "two").raw_hash, "the refused content is to be tried again"


def test_other_content_brings_it_back(room: Room) -> None:
    source, (gone, _) = filled(room)
    delete(room, source, gone)
    run = started(room, source)
    again = next(
        each for each in scanned(room, run, entry("a", "2"), entry("b")) if each.document_id == gone.document_id
    )
    loaded(room, run, again, "three")
    assert len(shown(room, source, gone, "three")) == 1
    room.ledger.runs.finish(run, "succeeded", {})
    assert scanned(room, started(room, source), entry("a", "2"), entry("b")) == []


def test_who_wants_it_back_restores_it(room: Room) -> None:
    source, (gone, kept) = filled(room)
    delete(room, source, gone)
    with pytest.raises(NotFound):
        room.ledger.deletions.restore(kept.document_id)
    assert room.ledger.deletions.restore(gone.document_id) == source
    run = started(room, source)
    (again,) = scanned(room, run, entry("a"), entry("b"))
    assert again.document_id == gone.document_id and not again.deleted
    loaded(room, run, again, "one", "two")
    assert len(shown(room, source, gone, "one", "two")) == 2


def test_a_document_that_was_never_served_can_be_deleted_too(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    (bad,) = scanned(room, run, entry("bad"))
    room.ledger.quarantine.add(run, [failure(bad)])
    room.ledger.runs.finish(run, "succeeded", {})
    delete(room, source, bad)
    assert room.catalog.quarantine_records(reader(source), limit=10) == []
    assert scanned(room, started(room, source), entry("bad")) == []


def test_a_document_that_is_gone_for_good_is_a_new_one_when_it_is_listed_again(room: Room) -> None:
    source, (gone, kept) = filled(room)
    delete(room, source, gone)
    delete(room, source, gone, kept, listed=False)
    assert room.ledger.deletions.deletable(source, None, 10) == []
    found = scanned(room, started(room, source), entry("a"), entry("b"))
    assert not {each.document_id for each in found} & {gone.document_id, kept.document_id}


def test_a_run_that_lost_its_source_deletes_nothing(room: Room) -> None:
    source, (item, _) = filled(room)
    mine, other = started(room, source), started(room, source)
    room.ledger.runs.claim(other, 60)
    with pytest.raises(LostLease):
        room.ledger.deletions.delete(mine, [item.document_id], listed=True)
    with pytest.raises(LostLease):
        room.ledger.sources.remove(mine)
    with pytest.raises(LostLease), room.ledger.runs.fenced(mine):
        pytest.fail("another run holds the source")
    room.ledger.runs.finish(other, "succeeded", {})
    with pytest.raises(LostLease), room.ledger.runs.fenced(mine):
        pytest.fail("another run has held the source meanwhile")
    assert [each.removed_at for each in room.ledger.sources.saved(source.spec.tenant)] == [None]
    assert len(shown(room, source, item, "one", "two")) == 2


def test_an_older_run_brings_nothing_back_that_was_deleted(room: Room) -> None:
    source = opened(room)
    older = started(room, source)
    (item,) = scanned(room, older, entry("a"))
    loaded(room, older, item, "one")
    room.ledger.runs.finish(older, "succeeded", {})
    delete(room, source, item)
    assert room.ledger.versions.stage(older, [version(older, item, "one")]) == {item.document_id}
    room.ledger.versions.activate(older, [item.document_id])
    assert shown(room, source, item, "one") == []


def test_a_removed_source_is_paused_and_listed_while_it_has_documents(room: Room) -> None:
    source, items = filled(room)
    place = (source.spec.tenant, source.spec.collection)
    room.ledger.sources.remove(started(room, source))
    (saved,) = room.ledger.sources.saved(*place)
    assert saved.removed_at is not None and saved.schedule.paused
    assert len(shown(room, source, items[0], "one", "two")) == 2
    delete(room, source, *items, listed=False)
    assert room.ledger.sources.saved(*place) == [] == room.catalog.sources(reader(source))
    opened(room, source.spec)
    assert room.ledger.sources.saved(*place) == [], "a run that only begins changes nothing"
    room.ledger.sources.save(source.spec, source.generation.profile, ())
    (saved,) = room.ledger.sources.saved(*place)
    assert saved.removed_at is None and not saved.schedule.paused


def test_a_collection_goes_when_it_is_empty_and_its_name_is_free(room: Room) -> None:
    source, items = filled(room)
    for refuse in (room.ledger.collections.begin_drop, room.ledger.collections.drop):
        with pytest.raises(Terminal, match="still holds"):
            refuse(source.generation)
    delete(room, source, *items, listed=False)
    with pytest.raises(Terminal, match="still holds"):
        room.ledger.collections.drop(source.generation)  # the outbox is not empty
    drained(room, source)
    other, _ = filled(room)
    room.ledger.collections.drop(source.generation)
    room.ledger.collections.drop(source.generation)
    names = [each.collection for each in room.ledger.collections.generations()]
    assert source.spec.collection not in names and other.spec.collection in names
    again = opened(room, source.spec)
    assert again.generation.collection_id != source.generation.collection_id
    assert again.source_id != source.source_id


def test_in_a_collection_that_is_being_dropped_nothing_begins(room: Room) -> None:
    source, items = filled(room)
    profile = source.generation.profile
    slow = started(room, source)
    (late,) = scanned(room, slow, entry("late"))
    room.ledger.runs.finish(slow, "succeeded", {})
    delete(room, source, *items, late, listed=False)
    drained(room, source)
    with pytest.raises(Terminal, match="source that was saved meanwhile"):
        room.ledger.collections.begin_drop(source.generation)
    room.ledger.runs.claim(slow, 60)
    with pytest.raises(Terminal, match="still holds"):
        room.ledger.collections.begin_drop(source.generation)
    room.ledger.runs.finish(slow, "succeeded", {})
    purge = room.ledger.runs.start(source, "purge", uuid4(), "tests")
    room.ledger.sources.remove(purge)
    room.ledger.runs.finish(purge, "succeeded", {})
    waiting = started(room, source)
    for _ in range(2):  # safe to repeat
        room.ledger.collections.begin_drop(source.generation)
        for refused in (
            lambda: room.ledger.sources.open(source.spec, profile, ()),
            lambda: room.ledger.sources.save(replace(source.spec, uri="file:///other"), profile, ()),
            lambda: room.ledger.runs.claim(waiting, 60),
            lambda: room.ledger.versions.stage(waiting, [version(waiting, late, "one")]),
        ):
            with pytest.raises(Busy, match="is being deleted"):
                refused()
    assert source.spec.collection in [each.collection for each in room.ledger.collections.generations()], (
        "a repetition finds it"
    )
    assert not room.ledger.reconciliation.record(source.generation, datetime.now(UTC), True, {})
    room.ledger.runs.claim(purge, 60)
    room.ledger.runs.finish(purge, "succeeded", {})
    room.ledger.collections.drop(source.generation)
    assert opened(room, source.spec).generation.collection_id != source.generation.collection_id


def test_a_collection_with_a_document_that_was_never_served_is_not_empty(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    scanned(room, run, entry("a"))
    room.ledger.runs.finish(run, "succeeded", {})
    with pytest.raises(Terminal, match="still holds"):
        room.ledger.collections.drop(source.generation)


def test_keys_of_what_is_gone_for_good_are_found_until_they_are_destroyed(room: Room) -> None:
    source, (a, b) = filled(room)
    other, _ = filled(room)
    generation = source.generation
    delete(room, source, a)
    assert room.ledger.deletions.remaining_keys(generation, None, 9) == [], "its source lists it still"
    delete(room, source, a, b, listed=False)
    ids = {a.document_id, b.document_id}
    assert (
        set(room.ledger.deletions.remaining_keys(generation, None, 9))
        == ids
        == set(room.ledger.deletions.remaining_keys(generation, source.source_id, 9))
    )
    assert (
        room.ledger.deletions.remaining_keys(generation, other.source_id, 9)
        == []
        == room.ledger.deletions.remaining_keys(other.generation, None, 9)
    )
    assert len(room.ledger.deletions.remaining_keys(generation, None, 1)) == 1
    room.ledger.pruning.key_destroyed([a.document_id])
    assert room.ledger.deletions.remaining_keys(generation, None, 9) == [b.document_id]


# --- what a change would hide ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "hidden"),
    [
        ((), None, 0),
        ((), (), 0),
        ((), ("hr",), 2),
        (("hr",), (), 0),
        (("hr",), ("hr", "it"), 0),
        (("hr", "it"), ("hr",), 2),
        (("hr",), ("it",), 2),
    ],
)
def test_fewer_groups_hide_documents(
    room: Room, before: tuple[str, ...], after: tuple[str, ...] | None, hidden: int
) -> None:
    source, _ = filled(room, groups=before)
    assert room.ledger.deletions.hidden_by(replace(source.spec, access_groups=after)) == hidden


def test_a_retention_that_is_past_hides_documents(room: Room, make_old: Callable[[Room, WorkItem], None]) -> None:
    source, (old, _) = filled(room)
    make_old(room, old)
    assert room.ledger.deletions.hidden_by(replace(source.spec, retention_days=5)) == 1
    assert room.ledger.deletions.hidden_by(replace(source.spec, retention_days=50)) == 0
    assert room.ledger.deletions.hidden_by(replace(source.spec, retention_days=0)) == 0
    assert room.ledger.deletions.hidden_by(spec()) == 0


def test_a_date_that_is_past_is_told_before_it_is_set(room: Room) -> None:
    source, (item, _) = filled(room)
    of_source = RetentionScope(source.spec.collection, source.spec.tenant, source.spec.uri)
    before = room.ledger.retention.assigned(source.spec.collection)
    assert room.ledger.deletions.hidden_by_retention(RetentionScope(source.spec.collection), Retention(until=PAST)) == 2
    assert room.ledger.deletions.hidden_by_retention(of_source, Retention(until=PAST)) == 2
    assert (
        room.ledger.deletions.hidden_by_retention(RetentionScope(document_id=item.document_id), Retention(until=PAST))
        == 1
    )
    assert room.ledger.deletions.hidden_by_retention(of_source, Retention(days=5)) == 0
    assert room.ledger.retention.assigned(source.spec.collection) == before
    assert len(shown(room, source, item, "one", "two")) == 2
    room.ledger.retention.assign(RetentionScope(source.spec.collection), Retention(until=PAST))
    room.ledger.retention.assign(RetentionScope(document_id=item.document_id), Retention(days=0))
    assert room.ledger.deletions.hidden_by_retention(RetentionScope(document_id=item.document_id), None) == 1
    with pytest.raises(NotFound):
        room.ledger.deletions.hidden_by_retention(RetentionScope("nowhere"), None)


@pytest.fixture
def make_old(request: pytest.FixtureRequest) -> Callable[[Room, WorkItem], None]:
    """Served for ten days."""
    from datetime import timedelta

    def made(room: Room, item: WorkItem) -> None:
        state = getattr(room.ledger, "state", None)
        if state is not None:
            state.documents[item.document_id].served_since -= timedelta(days=10)
            return
        from sqlalchemy import text

        with room.ledger.runs._engine.begin() as connection:  # type: ignore[attr-defined]
            old = "UPDATE documents SET served_since = served_since - interval '10 days' WHERE document_id = :id"
            connection.execute(text(old), {"id": item.document_id})

    return made


def test_all_grants_are_listed(room: Room) -> None:
    tenant = spec().tenant
    for who in ("b", "a"):
        room.ledger.grants.add(Grant(who, tenant, frozenset({"x"}), who == "a"))
    assert room.ledger.grants.all(tenant) == [Grant(who, tenant, frozenset({"x"}), who == "a") for who in ("a", "b")]
    assert {each.tenant for each in room.ledger.grants.all()} >= {tenant}


def test_a_staged_version_goes_with_its_document(room: Room) -> None:
    source, (item, _) = filled(room)
    run = started(room, source)
    (again,) = scanned(room, run, entry("a", "2"), entry("b"))
    room.ledger.versions.stage(run, [version(run, again, "three")])
    room.ledger.runs.finish(run, "failed", {})
    delete(room, source, item)
    assert chunk_id(item.document_id, "three") in drained(room, source)
