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
    LedgerDatabase,
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


def filled(db: LedgerDatabase, *names: str, groups: tuple[str, ...] = ()) -> tuple[Source, list[WorkItem]]:
    source = opened(db, spec(access_groups=groups))
    run = started(db, source)
    items = scanned(db, run, *(entry(name) for name in names or ("a", "b")))
    for item in items:
        loaded(db, run, item, "one", "two")
    db.ledger.runs.finish(run, "succeeded", {})
    return source, items


def drained(db: LedgerDatabase, source: Source) -> set[object]:
    """Chunks that the outbox held; struck off."""
    with db.ledger.outbox.entries(source.generation.collection_id, 1000) as removals:
        return {chunk for each in removals for chunk in each.chunk_ids}


def delete(db: LedgerDatabase, source: Source, *items: WorkItem, listed: bool = True) -> Run:
    run = db.ledger.runs.start(source, "purge", started(db, source).run_id, "tests")
    went = db.ledger.deletions.delete(run, [each.document_id for each in items], still_listed=listed)
    assert went == sorted(each.document_id for each in items)
    db.ledger.runs.finish(run, "succeeded", {})
    return run


def test_a_deleted_document_is_unreadable_and_its_chunks_are_queued(db: LedgerDatabase) -> None:
    source, (gone, stored) = filled(db)
    delete(db, source, gone)
    assert shown(db, source, gone, "one", "two") == []
    assert len(shown(db, source, stored, "one", "two")) == 2
    assert drained(db, source) == {chunk_id(gone.document_id, words) for words in ("one", "two")}
    with pytest.raises(NotFound):
        db.catalog.document(reader(source), gone.document_id)
    with pytest.raises(NotFound):
        db.ledger.sources.of([gone.document_id])
    assert db.ledger.sources.of([gone.document_id], deleted=True) == {gone.document_id: source}
    assert db.ledger.sources.of([stored.document_id]) == {stored.document_id: source}
    with pytest.raises(NotFound, match=str(gone.document_id)):
        db.ledger.sources.of([stored.document_id, gone.document_id])
    assert db.ledger.deletions.names_of(source, [gone.document_id, stored.document_id]) == ["b"]
    assert db.ledger.deletions.held(source).documents == 1


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_it_does_not_come_back_while_its_content_is_the_same(db: LedgerDatabase, mode: str) -> None:
    source, (gone, _) = filled(db)
    delete(db, source, gone)
    run = started(db, source, mode)  # type: ignore[arg-type]
    assert gone.document_id not in [each.document_id for each in scanned(db, run, entry("a"), entry("b"))]
    # Touched, and perhaps the same: the bytes decide.
    run = started(db, source, mode)  # type: ignore[arg-type]
    again = next(each for each in scanned(db, run, entry("a", "2"), entry("b")) if each.document_id == gone.document_id)
    assert again.deleted and again.active_hash == b"onetwo".ljust(20, b"\0")
    db.ledger.versions.touch(run, [again])
    assert shown(db, source, gone, "one", "two") == []


def refused_then_deleted(db: LedgerDatabase) -> tuple[Source, WorkItem]:
    """Served as "one"; then a gate refuses "three", and somebody deletes it."""
    source, (item, _) = filled(db)
    run = started(db, source)
    (bad,) = scanned(db, run, entry("a", "2"), entry("b"))
    db.ledger.quarantine.add(run, [replace(failure(bad), raw_hash=version(run, bad, "three").raw_hash)])
    db.ledger.runs.finish(run, "succeeded", {})
    delete(db, source, item)
    return source, item


def test_content_that_was_refused_stays_out_when_it_is_only_touched(db: LedgerDatabase) -> None:
    source, _ = refused_then_deleted(db)
    run = started(db, source)
    (again,) = scanned(db, run, entry("a", "touched"), entry("b"))
    assert again.deleted and again.active_hash == version(run, again, "three").raw_hash


def test_what_expired_stays_gone_when_a_deletion_of_other_content_is_taken_back(db: LedgerDatabase) -> None:
    source, item = refused_then_deleted(db)
    db.expire(item.document_id)
    db.ledger.deletions.restore(item.document_id)
    run = started(db, source)
    (again,) = scanned(db, run, entry("a", "2"), entry("b"))
    assert again.active_hash == version(run, again, "one", "two").raw_hash, "the refused content is to be tried again"


def test_other_content_brings_it_back(db: LedgerDatabase) -> None:
    source, (gone, _) = filled(db)
    delete(db, source, gone)
    run = started(db, source)
    again = next(each for each in scanned(db, run, entry("a", "2"), entry("b")) if each.document_id == gone.document_id)
    loaded(db, run, again, "three")
    assert len(shown(db, source, gone, "three")) == 1
    db.ledger.runs.finish(run, "succeeded", {})
    assert scanned(db, started(db, source), entry("a", "2"), entry("b")) == []


def test_who_wants_it_back_restores_it(db: LedgerDatabase) -> None:
    source, (gone, stored) = filled(db)
    delete(db, source, gone)
    with pytest.raises(NotFound):
        db.ledger.deletions.restore(stored.document_id)
    assert db.ledger.deletions.restore(gone.document_id) == source
    run = started(db, source)
    (again,) = scanned(db, run, entry("a"), entry("b"))
    assert again.document_id == gone.document_id and not again.deleted
    loaded(db, run, again, "one", "two")
    assert len(shown(db, source, gone, "one", "two")) == 2


def test_a_document_that_was_never_served_can_be_deleted_too(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (bad,) = scanned(db, run, entry("bad"))
    db.ledger.quarantine.add(run, [failure(bad)])
    db.ledger.runs.finish(run, "succeeded", {})
    delete(db, source, bad)
    assert db.catalog.quarantine_records(reader(source), limit=10) == []
    assert scanned(db, started(db, source), entry("bad")) == []


def test_a_document_that_is_gone_for_good_is_a_new_one_when_it_is_listed_again(db: LedgerDatabase) -> None:
    source, (gone, stored) = filled(db)
    delete(db, source, gone)
    delete(db, source, gone, stored, listed=False)
    assert db.ledger.deletions.deletable(source, None, 10) == []
    result = scanned(db, started(db, source), entry("a"), entry("b"))
    assert not {each.document_id for each in result} & {gone.document_id, stored.document_id}


def test_a_run_that_lost_its_source_deletes_nothing(db: LedgerDatabase) -> None:
    source, (item, _) = filled(db)
    mine, other = started(db, source), started(db, source)
    db.ledger.runs.claim(other, 60)
    with pytest.raises(LostLease):
        db.ledger.deletions.delete(mine, [item.document_id], still_listed=True)
    with pytest.raises(LostLease):
        db.ledger.sources.remove(mine)
    with pytest.raises(LostLease), db.ledger.runs.fenced(mine):
        pytest.fail("another run holds the source")
    db.ledger.runs.finish(other, "succeeded", {})
    with pytest.raises(LostLease), db.ledger.runs.fenced(mine):
        pytest.fail("another run has held the source meanwhile")
    assert [each.removed_at for each in db.ledger.sources.saved(source.spec.tenant)] == [None]
    assert len(shown(db, source, item, "one", "two")) == 2


def test_an_older_run_brings_nothing_back_that_was_deleted(db: LedgerDatabase) -> None:
    source = opened(db)
    older = started(db, source)
    (item,) = scanned(db, older, entry("a"))
    loaded(db, older, item, "one")
    db.ledger.runs.finish(older, "succeeded", {})
    delete(db, source, item)
    assert db.ledger.versions.stage(older, [version(older, item, "one")]) == {item.document_id}
    db.ledger.versions.activate(older, [item.document_id])
    assert shown(db, source, item, "one") == []


def test_a_removed_source_is_paused_and_listed_while_it_has_documents(db: LedgerDatabase) -> None:
    source, items = filled(db)
    place = (source.spec.tenant, source.spec.collection)
    db.ledger.sources.remove(started(db, source))
    (saved,) = db.ledger.sources.saved(*place)
    assert saved.removed_at is not None and saved.schedule.paused
    assert len(shown(db, source, items[0], "one", "two")) == 2
    delete(db, source, *items, listed=False)
    assert db.ledger.sources.saved(*place) == [] == db.catalog.sources(reader(source))
    opened(db, source.spec)
    assert db.ledger.sources.saved(*place) == [], "a run that only begins changes nothing"
    db.ledger.sources.save(source.spec, source.generation.profile, ())
    (saved,) = db.ledger.sources.saved(*place)
    assert saved.removed_at is None and not saved.schedule.paused


def test_a_collection_goes_when_it_is_empty_and_its_name_is_free(db: LedgerDatabase) -> None:
    source, items = filled(db)
    for refuse in (db.ledger.collections.begin_drop, db.ledger.collections.drop):
        with pytest.raises(Terminal, match="still holds"):
            refuse(source.generation)
    delete(db, source, *items, listed=False)
    with pytest.raises(Terminal, match="still holds"):
        db.ledger.collections.drop(source.generation)  # the outbox is not empty
    drained(db, source)
    other, _ = filled(db)
    db.ledger.collections.drop(source.generation)
    db.ledger.collections.drop(source.generation)
    names = [each.collection for each in db.ledger.collections.generations()]
    assert source.spec.collection not in names and other.spec.collection in names
    again = opened(db, source.spec)
    assert again.generation.collection_id != source.generation.collection_id
    assert again.source_id != source.source_id


def test_in_a_collection_that_is_being_dropped_nothing_begins(db: LedgerDatabase) -> None:
    source, items = filled(db)
    profile = source.generation.profile
    slow = started(db, source)
    (late,) = scanned(db, slow, entry("late"))
    db.ledger.runs.finish(slow, "succeeded", {})
    delete(db, source, *items, late, listed=False)
    drained(db, source)
    with pytest.raises(Terminal, match="source that was saved meanwhile"):
        db.ledger.collections.begin_drop(source.generation)
    db.ledger.runs.claim(slow, 60)
    with pytest.raises(Terminal, match="still holds"):
        db.ledger.collections.begin_drop(source.generation)
    db.ledger.runs.finish(slow, "succeeded", {})
    purge = db.ledger.runs.start(source, "purge", uuid4(), "tests")
    db.ledger.sources.remove(purge)
    db.ledger.runs.finish(purge, "succeeded", {})
    waiting = started(db, source)
    for _ in range(2):  # safe to repeat
        db.ledger.collections.begin_drop(source.generation)
        for refused in (
            lambda: db.ledger.sources.open(source.spec, profile, ()),
            lambda: db.ledger.sources.save(replace(source.spec, uri="file:///other"), profile, ()),
            lambda: db.ledger.runs.claim(waiting, 60),
            lambda: db.ledger.versions.stage(waiting, [version(waiting, late, "one")]),
        ):
            with pytest.raises(Busy, match="is being deleted"):
                refused()
    assert source.spec.collection in [each.collection for each in db.ledger.collections.generations()], (
        "a repetition finds it"
    )
    assert not db.ledger.reconciliation.record(source.generation, datetime.now(UTC), True, {})
    db.ledger.runs.claim(purge, 60)
    db.ledger.runs.finish(purge, "succeeded", {})
    db.ledger.collections.drop(source.generation)
    assert opened(db, source.spec).generation.collection_id != source.generation.collection_id


def test_a_collection_with_a_document_that_was_never_served_is_not_empty(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    scanned(db, run, entry("a"))
    db.ledger.runs.finish(run, "succeeded", {})
    with pytest.raises(Terminal, match="still holds"):
        db.ledger.collections.drop(source.generation)


def test_keys_of_what_is_gone_for_good_are_found_until_they_are_destroyed(db: LedgerDatabase) -> None:
    source, (a, b) = filled(db)
    other, _ = filled(db)
    generation = source.generation
    delete(db, source, a)
    assert db.ledger.deletions.remaining_keys(generation, None, 9) == [], "its source lists it still"
    delete(db, source, a, b, listed=False)
    ids = {a.document_id, b.document_id}
    assert (
        set(db.ledger.deletions.remaining_keys(generation, None, 9))
        == ids
        == set(db.ledger.deletions.remaining_keys(generation, source.source_id, 9))
    )
    assert (
        db.ledger.deletions.remaining_keys(generation, other.source_id, 9)
        == []
        == db.ledger.deletions.remaining_keys(other.generation, None, 9)
    )
    assert len(db.ledger.deletions.remaining_keys(generation, None, 1)) == 1
    db.ledger.pruning.key_destroyed([a.document_id])
    assert db.ledger.deletions.remaining_keys(generation, None, 9) == [b.document_id]


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
    db: LedgerDatabase, before: tuple[str, ...], after: tuple[str, ...] | None, hidden: int
) -> None:
    source, _ = filled(db, groups=before)
    assert db.ledger.deletions.hidden_by(replace(source.spec, access_groups=after)) == hidden


def test_a_retention_that_is_past_hides_documents(
    db: LedgerDatabase, make_old: Callable[[LedgerDatabase, WorkItem], None]
) -> None:
    source, (old, _) = filled(db)
    make_old(db, old)
    assert db.ledger.deletions.hidden_by(replace(source.spec, retention_days=5)) == 1
    assert db.ledger.deletions.hidden_by(replace(source.spec, retention_days=50)) == 0
    assert db.ledger.deletions.hidden_by(replace(source.spec, retention_days=0)) == 0
    assert db.ledger.deletions.hidden_by(spec()) == 0


def test_a_date_that_is_past_is_told_before_it_is_set(db: LedgerDatabase) -> None:
    source, (item, _) = filled(db)
    of_source = RetentionScope(source.spec.collection, source.spec.tenant, source.spec.uri)
    before = db.ledger.retention.assigned(source.spec.collection)
    assert db.ledger.deletions.hidden_by_retention(RetentionScope(source.spec.collection), Retention(until=PAST)) == 2
    assert db.ledger.deletions.hidden_by_retention(of_source, Retention(until=PAST)) == 2
    assert (
        db.ledger.deletions.hidden_by_retention(RetentionScope(document_id=item.document_id), Retention(until=PAST))
        == 1
    )
    assert db.ledger.deletions.hidden_by_retention(of_source, Retention(days=5)) == 0
    assert db.ledger.retention.assigned(source.spec.collection) == before
    assert len(shown(db, source, item, "one", "two")) == 2
    db.ledger.retention.assign(RetentionScope(source.spec.collection), Retention(until=PAST))
    db.ledger.retention.assign(RetentionScope(document_id=item.document_id), Retention(days=0))
    assert db.ledger.deletions.hidden_by_retention(RetentionScope(document_id=item.document_id), None) == 1
    with pytest.raises(NotFound):
        db.ledger.deletions.hidden_by_retention(RetentionScope("nowhere"), None)


@pytest.fixture
def make_old(request: pytest.FixtureRequest) -> Callable[[LedgerDatabase, WorkItem], None]:
    """Served for ten days."""
    from datetime import timedelta

    def built(db: LedgerDatabase, item: WorkItem) -> None:
        state = getattr(db.ledger, "state", None)
        if state is not None:
            state.documents[item.document_id].served_since -= timedelta(days=10)
            return
        from sqlalchemy import text

        with db.ledger.runs._engine.begin() as connection:  # type: ignore[attr-defined]
            old = "UPDATE documents SET served_since = served_since - interval '10 days' WHERE document_id = :id"
            connection.execute(text(old), {"id": item.document_id})

    return built


def test_all_grants_are_listed(db: LedgerDatabase) -> None:
    tenant = spec().tenant
    for who in ("b", "a"):
        db.ledger.grants.add(Grant(who, tenant, frozenset({"x"}), who == "a"))
    assert db.ledger.grants.all(tenant) == [Grant(who, tenant, frozenset({"x"}), who == "a") for who in ("a", "b")]
    assert {each.tenant for each in db.ledger.grants.all()} >= {tenant}


def test_a_staged_version_goes_with_its_document(db: LedgerDatabase) -> None:
    source, (item, _) = filled(db)
    run = started(db, source)
    (again,) = scanned(db, run, entry("a", "2"), entry("b"))
    db.ledger.versions.stage(run, [version(run, again, "three")])
    db.ledger.runs.finish(run, "failed", {})
    delete(db, source, item)
    assert chunk_id(item.document_id, "three") in drained(db, source)
