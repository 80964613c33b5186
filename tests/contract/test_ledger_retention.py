"""Retention and purges, in the ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from sluice.errors import BadRequest, NotFound, Terminal
from sluice.model.retention import ExpiredDocument, Retention, RetentionScope
from sluice.model.run import Run
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
    resaved,
    scanned,
    shown,
    spec,
    started,
    version,
)

PAST = datetime(2020, 1, 1, tzinfo=UTC)
FUTURE = datetime(2090, 1, 1, tzinfo=UTC)


def filled(room: Room, *names: str, texts: tuple[str, ...] = ("one", "two")) -> tuple[Source, list[WorkItem]]:
    source = opened(room)
    run = started(room, source)
    items = scanned(room, run, *(entry(name) for name in names or ("a",)))
    for item in items:
        loaded(room, run, item, *texts)
    room.ledger.runs.finish(run, "succeeded", {})
    return source, items


def scopes(source: Source, item: WorkItem) -> dict[str, RetentionScope]:
    of_source = RetentionScope(source.spec.collection, source.spec.tenant, source.spec.uri)
    return {
        "collection": RetentionScope(source.spec.collection),
        "source": of_source,
        "document": RetentionScope(document_id=item.document_id),
    }


def end(room: Room, source: Source, item: WorkItem) -> datetime | None:
    return room.catalog.document(reader(source), item.document_id).expires_at


def days(room: Room, source: Source, item: WorkItem) -> float | None:
    info = room.catalog.document(reader(source), item.document_id)
    assert info.activated_at is not None
    return None if info.expires_at is None else (info.expires_at - info.activated_at) / timedelta(days=1)


def due(room: Room, source: Source, as_of: datetime | None = None) -> list[ExpiredDocument]:
    return room.ledger.retention.expired(source, as_of or room.ledger.retention.clock(), None, 100)


def purging(room: Room, source: Source) -> Run:
    return room.ledger.runs.start(source, "purge", uuid4(), "tests")


def purged(room: Room, source: Source, *items: WorkItem) -> Run:
    """Expired by a date for the whole source, and purged."""
    scope = RetentionScope(source.spec.collection, source.spec.tenant, source.spec.uri)
    room.ledger.retention.assign(scope, Retention(until=PAST))
    run = purging(room, source)
    room.ledger.retention.purge(run, [each.document_id for each in items], room.ledger.retention.clock())
    room.ledger.runs.finish(run, "succeeded", {})
    return run


# --- which retention holds


@pytest.mark.parametrize(
    ("collection", "source_days", "document", "holds"),
    [
        (None, None, None, None),
        (30, None, None, 30),
        (30, 7, None, 7),
        (7, 30, None, 30),  # longer than its collection's: the narrower one decides
        (30, 0, None, None),  # for ever
        (30, 7, 90, 90),
        (30, 7, 1, 1),
        (30, 7, 0, None),
        (30, None, 2, 2),
    ],
)
def test_the_narrowest_that_is_set_decides(
    room: Room, collection: int | None, source_days: int | None, document: int | None, holds: int | None
) -> None:
    source, (item,) = filled(room)
    for scope, wanted in zip(scopes(source, item).values(), (collection, source_days, document), strict=True):
        if wanted is not None:
            room.ledger.retention.assign(scope, Retention(days=wanted))
    assert days(room, source, item) == holds
    run = started(room, source)
    (again,) = scanned(room, run, entry("a", "2"))
    loaded(room, run, again, "three")  # a version that becomes active later goes by the same
    assert days(room, source, item) == holds


@pytest.mark.parametrize("level", ["collection", "source", "document"])
def test_setting_shortens_and_lengthens_what_is_served_already(room: Room, level: str) -> None:
    source, (item,) = filled(room)
    scope = scopes(source, item)[level]
    epoch = room.epoch(source.generation.collection_id)
    assert room.ledger.retention.assign(scope, Retention(until=FUTURE)) == 1
    assert end(room, source, item) == FUTURE
    assert room.ledger.retention.assign(scope, Retention(until=PAST)) == 1
    assert shown(room, source, item, "one", "two") == []
    assert room.epoch(source.generation.collection_id) == epoch + 2  # caches are stale
    assert room.ledger.retention.assign(scope, Retention(days=10)) == 1
    assert days(room, source, item) == 10
    assert len(shown(room, source, item, "one", "two")) == 2
    assert room.ledger.retention.assign(scope, None) == 1
    assert end(room, source, item) is None
    assert room.ledger.retention.assign(scope, None) == 0


def test_a_retention_reaches_no_other_collection_source_or_document(room: Room) -> None:
    source, (item, sibling) = filled(room, "a", "b")
    other, (far,) = filled(room)
    beside = opened(room, spec(source.spec.tenant, source.spec.collection))
    run = started(room, beside)
    (near,) = scanned(room, run, entry("a"))
    loaded(room, run, near, "one")
    room.ledger.retention.assign(scopes(source, item)["document"], Retention(days=1))
    assert [days(room, source, each) for each in (item, sibling)] == [1, None]
    room.ledger.retention.assign(scopes(source, item)["source"], Retention(days=2))
    assert (days(room, source, sibling), days(room, beside, near)) == (2, None)
    room.ledger.retention.assign(scopes(source, item)["collection"], Retention(days=3))
    assert (days(room, beside, near), days(room, other, far)) == (3, None)


def test_what_is_set_is_listed(room: Room) -> None:
    source, (item,) = filled(room)
    by_level = scopes(source, item)
    room.ledger.retention.assign(by_level["document"], Retention(days=0))
    room.ledger.retention.assign(by_level["source"], Retention(until=FUTURE))
    room.ledger.retention.assign(by_level["collection"], Retention(days=30))
    of_document = replace(by_level["source"], document_id=item.document_id)
    told = [(each.scope, each.retention) for each in room.ledger.retention.assigned(source.spec.collection)]
    assert told == [
        (by_level["collection"], Retention(days=30)),
        (by_level["source"], Retention(until=FUTURE)),
        (of_document, Retention(days=0)),
    ]
    assert set(told) <= {(each.scope, each.retention) for each in room.ledger.retention.assigned()}
    assert room.ledger.retention.assigned("another") == []


def test_an_ingest_that_names_days_takes_the_place_of_a_date(room: Room) -> None:
    source, (item,) = filled(room)
    room.ledger.retention.assign(scopes(source, item)["source"], Retention(until=FUTURE))
    assert resaved(room, replace(source.spec, retention_days=None)).spec.retention_days is None
    assert end(room, source, item) == FUTURE
    assert resaved(room, replace(source.spec, retention_days=5)).spec.retention_days == 5
    assert days(room, source, item) == 5


@pytest.mark.parametrize(
    "wrong",
    [
        Retention(),
        Retention(3, FUTURE),
        Retention(-1),
        Retention(36_501),
        Retention(until=datetime(2030, 1, 1)),
    ],
)
def test_what_cannot_be_a_retention_is_refused(room: Room, wrong: Retention) -> None:
    source, (item,) = filled(room)
    with pytest.raises(BadRequest):
        room.ledger.retention.assign(scopes(source, item)["collection"], wrong)


def test_what_is_not_there_is_said(room: Room) -> None:
    source, _ = filled(room)
    for scope in (
        RetentionScope("nowhere"),
        RetentionScope(source.spec.collection, "another", source.spec.uri),
        RetentionScope(document_id=uuid4()),
    ):
        with pytest.raises(NotFound, match="Nothing was changed"):
            room.ledger.retention.assign(scope, Retention(days=1))


def test_reading_the_same_content_again_does_not_lengthen_its_life(room: Room) -> None:
    source, (item,) = filled(room)
    room.ledger.retention.assign(scopes(source, item)["source"], Retention(days=10))
    before = end(room, source, item)
    run = started(room, source, "full")
    (again,) = scanned(room, run, entry("a"))
    loaded(room, run, again, "one", "two")
    assert end(room, source, item) == before
    run = started(room, source)
    (again,) = scanned(room, run, entry("a", "2"))
    loaded(room, run, again, "one", "three")
    assert before is not None and (end(room, source, item) or before) > before


# --- what has expired


def test_what_expired_is_listed_page_by_page(room: Room) -> None:
    source, items = filled(room, "a", "b", "c")
    kept, *gone = items
    for number, item in enumerate(gone):
        room.ledger.retention.assign(
            RetentionScope(document_id=item.document_id), Retention(until=PAST + timedelta(days=1 - number))
        )
    room.ledger.retention.assign(RetentionScope(document_id=kept.document_id), Retention(until=FUTURE))
    first = room.ledger.retention.expired(source, room.ledger.retention.clock(), None, 1)
    second = room.ledger.retention.expired(source, room.ledger.retention.clock(), first[0], 10)
    assert [each.document_id for each in (*first, *second)] == [each.document_id for each in reversed(gone)]
    told = first[0]
    assert (told.external_id, told.collection, told.tenant) == ("c", source.spec.collection, source.spec.tenant)
    assert (told.chunks, told.expired_at) == (2, PAST)
    assert due(room, source, FUTURE + timedelta(days=1)) == due(room, source)  # the future does not come by asking
    assert [each.external_id for each in due(room, source, PAST + timedelta(hours=1))] == ["c"]


def test_sources_with_expired_documents_are_found(room: Room) -> None:
    source, (item,) = filled(room)
    filled(room)
    assert room.ledger.retention.expired_sources(room.ledger.retention.clock(), source.spec.collection) == []
    room.ledger.retention.assign(scopes(source, item)["document"], Retention(until=PAST))
    assert room.ledger.retention.expired_sources(room.ledger.retention.clock(), source.spec.collection) == [source]
    assert source in room.ledger.retention.expired_sources(room.ledger.retention.clock())


def test_what_a_living_run_has_staged_is_left_to_it(room: Room) -> None:
    source, (item,) = filled(room)
    room.ledger.retention.assign(scopes(source, item)["document"], Retention(days=1))
    run = held(room, source)
    (again,) = scanned(room, run, entry("a", "2"))
    room.ledger.versions.stage(run, [version(run, again, "three")])
    room.expire(item.document_id)
    as_of = room.ledger.retention.clock()
    assert due(room, source) == []
    with pytest.raises(Terminal, match="took over"):
        room.ledger.retention.purge(purging(room, source), [item.document_id], as_of)
    room.ledger.versions.activate(run, [item.document_id])
    assert len(shown(room, source, item, "three")) == 1


# --- what a purge leaves


def test_a_purge_takes_out_what_is_listed_and_records_it(room: Room) -> None:
    source, (item, other) = filled(room, "a", "b")
    room.ledger.retention.assign(RetentionScope(document_id=item.document_id), Retention(until=PAST))
    epoch = room.epoch(source.generation.collection_id)
    run, as_of = purging(room, source), room.ledger.retention.clock()
    ids = [item.document_id, other.document_id]
    assert room.ledger.retention.purge(run, ids, as_of) == [item.document_id]  # the other one has not expired
    assert room.purged(run.run_id) == [item.document_id]
    assert room.ledger.retention.purge(run, ids, as_of) == []
    assert due(room, source) == [] and room.ledger.retention.expired_sources(as_of, source.spec.collection) == []
    assert room.epoch(source.generation.collection_id) == epoch + 1
    (removal,) = outbox(room.ledger, source.generation.collection_id, 10)
    assert set(removal.chunk_ids) == {chunk_id(item.document_id, words) for words in ("one", "two")}
    assert removal.document_gone and removal.document_id == item.document_id
    assert room.ledger.collections.counts(source.generation).documents == 1
    assert {each.document_id for each in room.ledger.reconciliation.chunks_after(source.generation, None, 10)} == {
        other.document_id
    }
    with pytest.raises(NotFound):
        room.catalog.document(reader(source), item.document_id)
    assert [each.document_id for each in room.catalog.documents(reader(source), source.spec.collection, 10)] == [
        other.document_id
    ]


def test_entities_and_open_records_go_with_a_purged_document(room: Room) -> None:
    source = opened(room)
    run, entity = started(room, source), uuid4()
    (item,) = scanned(room, run, entry("a"))
    room.ledger.versions.stage(run, [version(run, item, "one", mentions=[(entity, "ORG", 1)])])
    room.ledger.versions.activate(run, [item.document_id])
    (again,) = scanned(room, run, entry("a", "2"))
    room.ledger.quarantine.add(run, [failure(again)])
    room.ledger.runs.finish(run, "succeeded", {})
    room.ledger.retention.assign(RetentionScope(document_id=item.document_id), Retention(until=PAST))
    assert [each.document_id for each in due(room, source)] == [item.document_id]
    assert room.catalog.collections(reader(source))[0].quarantined == 0  # of an expired document nothing is told
    purged(room, source, item)
    assert room.entities(source.spec.tenant) == set()
    assert room.ledger.collections.counts(source.generation).quarantined == 0


def test_a_purge_is_kept_out_by_the_run_that_holds_the_source(room: Room) -> None:
    source, (item,) = filled(room)
    room.ledger.retention.assign(scopes(source, item)["document"], Retention(until=PAST))
    room.ledger.runs.claim(started(room, source), 60)
    with pytest.raises(Terminal, match="took over"):
        room.ledger.retention.purge(purging(room, source), [item.document_id], room.ledger.retention.clock())
    assert len(due(room, source)) == 1


def test_what_is_gone_at_the_source_is_purged_too(room: Room) -> None:
    source, (item, _) = filled(room, "a", "b")
    run = started(room, source)
    room.ledger.scans.record(run, [entry("b")])
    room.ledger.versions.remove(run, [item.document_id])
    room.ledger.runs.finish(run, "succeeded", {})
    room.ledger.retention.assign(scopes(source, item)["document"], Retention(until=PAST))
    assert [(each.document_id, each.chunks) for each in due(room, source)] == [(item.document_id, 0)]
    purged(room, source, item)
    assert item.document_id not in {each.document_id for each in due(room, source)}


# --- what is purged and still at its source


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_it_stays_gone_and_costs_nothing(room: Room, mode: str) -> None:
    source, (item,) = filled(room)
    purged(room, source, item)
    run = room.ledger.runs.start(source, mode, uuid4(), "tests")  # type: ignore[arg-type]
    result = room.ledger.scans.record(run, [entry("a")])
    assert (result.items, result.unchanged, result.vanished, result.known) == ([], 1, [], 1)


def test_touched_but_equal_it_stays_gone(room: Room) -> None:
    source, (item,) = filled(room)
    purged(room, source, item)
    run = started(room, source)
    (again,) = scanned(room, run, entry("a", "2"))
    assert (again.document_id, again.new) == (item.document_id, False)
    assert again.active_hash == version(run, item, "one", "two").raw_hash  # so that equal content is only touched
    room.ledger.versions.touch(run, [again])
    assert scanned(room, started(room, source), entry("a", "2")) == []
    assert shown(room, source, item, "one") == []


def test_changed_it_is_a_new_version_with_a_life_of_its_own(room: Room) -> None:
    source, (item,) = filled(room)
    purged(room, source, item)
    room.ledger.retention.assign(scopes(source, item)["source"], Retention(days=10))
    room.expire(item.document_id)
    run = started(room, source)
    (again,) = scanned(room, run, entry("a", "2"))
    loaded(room, run, again, "three")
    info = room.catalog.document(reader(source), item.document_id)
    assert (info.version, days(room, source, item)) == (2, 10)
    assert len(shown(room, source, item, "three")) == 1


def test_lengthened_it_comes_back_with_the_life_it_has_left(room: Room) -> None:
    source, (item,) = filled(room)
    room.ledger.retention.assign(scopes(source, item)["source"], Retention(days=10))
    first_end = end(room, source, item)
    purged(room, source, item)
    room.ledger.retention.assign(scopes(source, item)["source"], Retention(days=10))
    with pytest.raises(NotFound):  # its content is not here
        room.catalog.document(reader(source), item.document_id)
    run = started(room, source)
    (again,) = scanned(room, run, entry("a"))
    assert again.active_hash is None  # to be worked on
    loaded(room, run, again, "one", "two")
    assert end(room, source, item) == first_end


def test_under_a_new_name_it_is_known_by_its_content(room: Room) -> None:
    source, (item,) = filled(room)
    purged(room, source, item)
    run = started(room, source)
    (placeholder,) = scanned(room, run, entry("b"))
    same = version(run, item, "one", "two").raw_hash
    assert room.ledger.renames.missed(run, 10) == []  # there is no text to compare with
    assert room.ledger.renames.match_same_content(run, {placeholder.document_id: same}) == {
        placeholder.document_id: item.document_id
    }
    loaded(room, run, replace(placeholder, document_id=item.document_id), "one", "two")
    assert shown(room, source, item, "one", "two") == []
    assert [each.document_id for each in due(room, source)] == [item.document_id]


def test_gone_at_the_source_it_is_deleted(room: Room) -> None:
    source, (item, _) = filled(room, "a", "b")
    room.ledger.retention.assign(scopes(source, item)["document"], Retention(until=PAST))
    room.ledger.retention.purge(purging(room, source), [item.document_id], room.ledger.retention.clock())
    run = started(room, source)
    assert room.ledger.scans.record(run, [entry("b")]).vanished == [item.document_id]
    assert room.ledger.versions.remove(run, [item.document_id]) == 1
