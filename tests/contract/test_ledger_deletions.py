"""Deletions by hand, and what a change would hide, in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from ledger_rows import Room, chunk_id, entry, failure, loaded, opened, reader, scanned, shown, spec, started, version
from sluice.errors import Busy, LostClaim, NotFound, Terminal
from sluice.model.grants import Grant
from sluice.model.retention import Retention, RetentionScope
from sluice.model.run import Run
from sluice.model.scan import Item
from sluice.model.source import Source

PAST = datetime(2020, 1, 1, tzinfo=UTC)


def filled(room: Room, *names: str, groups: tuple[str, ...] = ()) -> tuple[Source, list[Item]]:
    source = opened(room, spec(access_groups=groups))
    run = started(room, source)
    items = scanned(room, run, *(entry(name) for name in names or ("a", "b")))
    for item in items:
        loaded(room, run, item, "one", "two")
    room.ledger.finish_run(run, "succeeded", {})
    return source, items


def drained(room: Room, source: Source) -> set[object]:
    """Chunks that the outbox held; struck off."""
    with room.ledger.removals(source.generation.collection_id, 1000) as removals:
        return {chunk for each in removals for chunk in each.chunk_ids}


def delete(room: Room, source: Source, *items: Item, listed: bool = True) -> Run:
    run = room.ledger.start_run(source, "purge", started(room, source).run_id, "tests")
    went = room.ledger.delete_documents(run, [each.document_id for each in items], listed=listed)
    assert went == sorted(each.document_id for each in items)
    room.ledger.finish_run(run, "succeeded", {})
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
        room.ledger.sources_of([gone.document_id])
    assert room.ledger.sources_of([gone.document_id], deleted=True) == {gone.document_id: source}
    assert room.ledger.sources_of([kept.document_id]) == {kept.document_id: source}
    with pytest.raises(NotFound, match=str(gone.document_id)):
        room.ledger.sources_of([kept.document_id, gone.document_id])
    assert room.ledger.names_of(source, [gone.document_id, kept.document_id]) == ["b"]
    assert room.ledger.held(source).documents == 1


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
    assert again.gone and again.active_hash == b"onetwo".ljust(20, b"\0")
    room.ledger.touch(run, [again])
    assert shown(room, source, gone, "one", "two") == []


def refused_then_deleted(room: Room) -> tuple[Source, Item]:
    """Served as "one"; then a gate refuses "three", and somebody deletes it."""
    source, (item, _) = filled(room)
    run = started(room, source)
    (bad,) = scanned(room, run, entry("a", "2"), entry("b"))
    room.ledger.quarantine(run, [replace(failure(bad), raw_hash=version(run, bad, "three").raw_hash)])
    room.ledger.finish_run(run, "succeeded", {})
    delete(room, source, item)
    return source, item


def test_content_that_was_refused_stays_out_when_it_is_only_touched(room: Room) -> None:
    source, _ = refused_then_deleted(room)
    run = started(room, source)
    (again,) = scanned(room, run, entry("a", "touched"), entry("b"))
    assert again.gone and again.active_hash == version(run, again, "three").raw_hash


def test_what_expired_stays_gone_when_a_deletion_of_other_content_is_taken_back(room: Room) -> None:
    source, item = refused_then_deleted(room)
    room.expire(item.document_id)
    room.ledger.restore(item.document_id)
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
    room.ledger.finish_run(run, "succeeded", {})
    assert scanned(room, started(room, source), entry("a", "2"), entry("b")) == []


def test_who_wants_it_back_restores_it(room: Room) -> None:
    source, (gone, kept) = filled(room)
    delete(room, source, gone)
    with pytest.raises(NotFound):
        room.ledger.restore(kept.document_id)
    assert room.ledger.restore(gone.document_id) == source
    run = started(room, source)
    (again,) = scanned(room, run, entry("a"), entry("b"))
    assert again.document_id == gone.document_id and not again.gone
    loaded(room, run, again, "one", "two")
    assert len(shown(room, source, gone, "one", "two")) == 2


def test_a_document_that_was_never_served_can_be_deleted_too(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    (bad,) = scanned(room, run, entry("bad"))
    room.ledger.quarantine(run, [failure(bad)])
    room.ledger.finish_run(run, "succeeded", {})
    delete(room, source, bad)
    assert room.catalog.refusals(reader(source), limit=10) == []
    assert scanned(room, started(room, source), entry("bad")) == []


def test_a_document_that_is_gone_for_good_is_a_new_one_when_it_is_listed_again(room: Room) -> None:
    source, (gone, kept) = filled(room)
    delete(room, source, gone)
    delete(room, source, gone, kept, listed=False)
    assert room.ledger.deletable(source, None, 10) == []
    found = scanned(room, started(room, source), entry("a"), entry("b"))
    assert not {each.document_id for each in found} & {gone.document_id, kept.document_id}


def test_a_run_that_lost_its_source_deletes_nothing(room: Room) -> None:
    source, (item, _) = filled(room)
    mine, other = started(room, source), started(room, source)
    room.ledger.claim(other, 60)
    with pytest.raises(LostClaim):
        room.ledger.delete_documents(mine, [item.document_id], listed=True)
    with pytest.raises(LostClaim):
        room.ledger.remove_source(mine)
    with pytest.raises(LostClaim), room.ledger.fenced(mine):
        pytest.fail("another run holds the source")
    room.ledger.finish_run(other, "succeeded", {})
    with pytest.raises(LostClaim), room.ledger.fenced(mine):
        pytest.fail("another run has held the source meanwhile")
    assert [each.removed_at for each in room.ledger.saved_sources(source.spec.tenant)] == [None]
    assert len(shown(room, source, item, "one", "two")) == 2


def test_an_older_run_brings_nothing_back_that_was_deleted(room: Room) -> None:
    source = opened(room)
    older = started(room, source)
    (item,) = scanned(room, older, entry("a"))
    loaded(room, older, item, "one")
    room.ledger.finish_run(older, "succeeded", {})
    delete(room, source, item)
    assert room.ledger.stage(older, [version(older, item, "one")]) == {item.document_id}
    room.ledger.activate(older, [item.document_id])
    assert shown(room, source, item, "one") == []


def test_a_removed_source_is_paused_and_listed_while_it_has_documents(room: Room) -> None:
    source, items = filled(room)
    place = (source.spec.tenant, source.spec.collection)
    room.ledger.remove_source(started(room, source))
    (saved,) = room.ledger.saved_sources(*place)
    assert saved.removed_at is not None and saved.schedule.paused
    assert len(shown(room, source, items[0], "one", "two")) == 2
    delete(room, source, *items, listed=False)
    assert room.ledger.saved_sources(*place) == [] == room.catalog.sources(reader(source))
    opened(room, source.spec)
    assert room.ledger.saved_sources(*place) == [], "a run that only begins changes nothing"
    room.ledger.save_source(source.spec, source.generation.profile, ())
    (saved,) = room.ledger.saved_sources(*place)
    assert saved.removed_at is None and not saved.schedule.paused


def test_a_collection_goes_when_it_is_empty_and_its_name_is_free(room: Room) -> None:
    source, items = filled(room)
    for refuse in (room.ledger.begin_drop, room.ledger.drop_collection):
        with pytest.raises(Terminal, match="still holds"):
            refuse(source.generation)
    delete(room, source, *items, listed=False)
    with pytest.raises(Terminal, match="still holds"):
        room.ledger.drop_collection(source.generation)  # the outbox is not empty
    drained(room, source)
    other, _ = filled(room)
    room.ledger.drop_collection(source.generation)
    room.ledger.drop_collection(source.generation)
    names = [each.collection for each in room.ledger.generations()]
    assert source.spec.collection not in names and other.spec.collection in names
    again = opened(room, source.spec)
    assert again.generation.collection_id != source.generation.collection_id
    assert again.source_id != source.source_id


def test_in_a_collection_that_is_being_dropped_nothing_begins(room: Room) -> None:
    source, items = filled(room)
    profile = source.generation.profile
    slow = started(room, source)
    (late,) = scanned(room, slow, entry("late"))
    room.ledger.finish_run(slow, "succeeded", {})
    delete(room, source, *items, late, listed=False)
    drained(room, source)
    with pytest.raises(Terminal, match="source that was saved meanwhile"):
        room.ledger.begin_drop(source.generation)
    room.ledger.claim(slow, 60)
    with pytest.raises(Terminal, match="still holds"):
        room.ledger.begin_drop(source.generation)
    room.ledger.finish_run(slow, "succeeded", {})
    purge = room.ledger.start_run(source, "purge", uuid4(), "tests")
    room.ledger.remove_source(purge)
    room.ledger.finish_run(purge, "succeeded", {})
    waiting = started(room, source)
    for _ in range(2):  # safe to repeat
        room.ledger.begin_drop(source.generation)
        for refused in (
            lambda: room.ledger.open_source(source.spec, profile, ()),
            lambda: room.ledger.save_source(replace(source.spec, uri="file:///other"), profile, ()),
            lambda: room.ledger.claim(waiting, 60),
            lambda: room.ledger.stage(waiting, [version(waiting, late, "one")]),
        ):
            with pytest.raises(Busy, match="is being deleted"):
                refused()
    assert source.spec.collection in [each.collection for each in room.ledger.generations()], "a repetition finds it"
    assert not room.ledger.record_reconciliation(source.generation, datetime.now(UTC), True, {})
    room.ledger.claim(purge, 60)
    room.ledger.finish_run(purge, "succeeded", {})
    room.ledger.drop_collection(source.generation)
    assert opened(room, source.spec).generation.collection_id != source.generation.collection_id


def test_a_collection_with_a_document_that_was_never_served_is_not_empty(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    scanned(room, run, entry("a"))
    room.ledger.finish_run(run, "succeeded", {})
    with pytest.raises(Terminal, match="still holds"):
        room.ledger.drop_collection(source.generation)


def test_keys_of_what_is_gone_for_good_are_found_until_they_are_destroyed(room: Room) -> None:
    source, (a, b) = filled(room)
    other, _ = filled(room)
    generation = source.generation
    delete(room, source, a)
    assert room.ledger.keyed_in(generation, None, 9) == [], "its source lists it still"
    delete(room, source, a, b, listed=False)
    ids = {a.document_id, b.document_id}
    assert (
        set(room.ledger.keyed_in(generation, None, 9))
        == ids
        == set(room.ledger.keyed_in(generation, source.source_id, 9))
    )
    assert room.ledger.keyed_in(generation, other.source_id, 9) == [] == room.ledger.keyed_in(other.generation, None, 9)
    assert len(room.ledger.keyed_in(generation, None, 1)) == 1
    room.ledger.key_destroyed([a.document_id])
    assert room.ledger.keyed_in(generation, None, 9) == [b.document_id]


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
    assert room.ledger.hidden_by(replace(source.spec, access_groups=after)) == hidden


def test_a_retention_that_is_past_hides_documents(room: Room, make_old: Callable[[Room, Item], None]) -> None:
    source, (old, _) = filled(room)
    make_old(room, old)
    assert room.ledger.hidden_by(replace(source.spec, retention_days=5)) == 1
    assert room.ledger.hidden_by(replace(source.spec, retention_days=50)) == 0
    assert room.ledger.hidden_by(replace(source.spec, retention_days=0)) == 0
    assert room.ledger.hidden_by(spec()) == 0


def test_a_date_that_is_past_is_told_before_it_is_set(room: Room) -> None:
    source, (item, _) = filled(room)
    of_source = RetentionScope(source.spec.collection, source.spec.tenant, source.spec.uri)
    before = room.ledger.retentions(source.spec.collection)
    assert room.ledger.hidden_by_retention(RetentionScope(source.spec.collection), Retention(until=PAST)) == 2
    assert room.ledger.hidden_by_retention(of_source, Retention(until=PAST)) == 2
    assert room.ledger.hidden_by_retention(RetentionScope(document_id=item.document_id), Retention(until=PAST)) == 1
    assert room.ledger.hidden_by_retention(of_source, Retention(days=5)) == 0
    assert room.ledger.retentions(source.spec.collection) == before
    assert len(shown(room, source, item, "one", "two")) == 2
    room.ledger.set_retention(RetentionScope(source.spec.collection), Retention(until=PAST))
    room.ledger.set_retention(RetentionScope(document_id=item.document_id), Retention(days=0))
    assert room.ledger.hidden_by_retention(RetentionScope(document_id=item.document_id), None) == 1
    with pytest.raises(NotFound):
        room.ledger.hidden_by_retention(RetentionScope("nowhere"), None)


@pytest.fixture
def make_old(request: pytest.FixtureRequest) -> Callable[[Room, Item], None]:
    """Served for ten days."""
    from datetime import timedelta

    def made(room: Room, item: Item) -> None:
        state = getattr(room.ledger, "state", None)
        if state is not None:
            state.documents[item.document_id].served_since -= timedelta(days=10)
            return
        from sqlalchemy import text

        with room.ledger._engine.begin() as connection:  # type: ignore[attr-defined]
            old = "UPDATE documents SET served_since = served_since - interval '10 days' WHERE document_id = :id"
            connection.execute(text(old), {"id": item.document_id})

    return made


def test_all_grants_are_listed(room: Room) -> None:
    tenant = spec().tenant
    for who in ("b", "a"):
        room.catalog.grant(Grant(who, tenant, frozenset({"x"}), who == "a"))
    assert room.catalog.all_grants(tenant) == [Grant(who, tenant, frozenset({"x"}), who == "a") for who in ("a", "b")]
    assert {each.tenant for each in room.catalog.all_grants()} >= {tenant}


def test_a_staged_version_goes_with_its_document(room: Room) -> None:
    source, (item, _) = filled(room)
    run = started(room, source)
    (again,) = scanned(room, run, entry("a", "2"), entry("b"))
    room.ledger.stage(run, [version(run, again, "three")])
    room.ledger.finish_run(run, "failed", {})
    delete(room, source, item)
    assert chunk_id(item.document_id, "three") in drained(room, source)
