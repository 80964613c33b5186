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
    LedgerDatabase,
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


def filled(db: LedgerDatabase, *names: str, texts: tuple[str, ...] = ("one", "two")) -> tuple[Source, list[WorkItem]]:
    source = opened(db)
    run = started(db, source)
    items = scanned(db, run, *(entry(name) for name in names or ("a",)))
    for item in items:
        loaded(db, run, item, *texts)
    db.ledger.runs.finish(run, "succeeded", {})
    return source, items


def scopes(source: Source, item: WorkItem) -> dict[str, RetentionScope]:
    of_source = RetentionScope(source.spec.collection, source.spec.tenant, source.spec.uri)
    return {
        "collection": RetentionScope(source.spec.collection),
        "source": of_source,
        "document": RetentionScope(document_id=item.document_id),
    }


def end(db: LedgerDatabase, source: Source, item: WorkItem) -> datetime | None:
    return db.catalog.document(reader(source), item.document_id).expires_at


def days(db: LedgerDatabase, source: Source, item: WorkItem) -> float | None:
    info = db.catalog.document(reader(source), item.document_id)
    assert info.activated_at is not None
    return None if info.expires_at is None else (info.expires_at - info.activated_at) / timedelta(days=1)


def due(db: LedgerDatabase, source: Source, as_of: datetime | None = None) -> list[ExpiredDocument]:
    return db.ledger.retention.expired(source, as_of or db.ledger.retention.clock(), None, 100)


def purging(db: LedgerDatabase, source: Source) -> Run:
    return db.ledger.runs.start(source, "purge", uuid4(), "tests")


def purged(db: LedgerDatabase, source: Source, *items: WorkItem) -> Run:
    """Expired by a date for the whole source, and purged."""
    scope = RetentionScope(source.spec.collection, source.spec.tenant, source.spec.uri)
    db.ledger.retention.assign(scope, Retention(until=PAST))
    run = purging(db, source)
    db.ledger.retention.purge(run, [each.document_id for each in items], db.ledger.retention.clock())
    db.ledger.runs.finish(run, "succeeded", {})
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
    db: LedgerDatabase, collection: int | None, source_days: int | None, document: int | None, holds: int | None
) -> None:
    source, (item,) = filled(db)
    for scope, wanted in zip(scopes(source, item).values(), (collection, source_days, document), strict=True):
        if wanted is not None:
            db.ledger.retention.assign(scope, Retention(days=wanted))
    assert days(db, source, item) == holds
    run = started(db, source)
    (again,) = scanned(db, run, entry("a", "2"))
    loaded(db, run, again, "three")  # a version that becomes active later goes by the same
    assert days(db, source, item) == holds


@pytest.mark.parametrize("level", ["collection", "source", "document"])
def test_setting_shortens_and_lengthens_what_is_served_already(db: LedgerDatabase, level: str) -> None:
    source, (item,) = filled(db)
    scope = scopes(source, item)[level]
    epoch = db.epoch(source.generation.collection_id)
    assert db.ledger.retention.assign(scope, Retention(until=FUTURE)) == 1
    assert end(db, source, item) == FUTURE
    later = db.epoch(source.generation.collection_id)
    assert db.ledger.retention.assign(scope, Retention(until=PAST)) == 1
    assert shown(db, source, item, "one", "two") == []
    assert len({frozenset(each) for each in (epoch, later, db.epoch(source.generation.collection_id))}) == 3
    assert db.ledger.retention.assign(scope, Retention(days=10)) == 1
    assert days(db, source, item) == 10
    assert len(shown(db, source, item, "one", "two")) == 2
    assert db.ledger.retention.assign(scope, None) == 1
    assert end(db, source, item) is None
    assert db.ledger.retention.assign(scope, None) == 0


def test_a_retention_reaches_no_other_collection_source_or_document(db: LedgerDatabase) -> None:
    source, (item, sibling) = filled(db, "a", "b")
    other, (far,) = filled(db)
    beside = opened(db, spec(source.spec.tenant, source.spec.collection))
    run = started(db, beside)
    (near,) = scanned(db, run, entry("a"))
    loaded(db, run, near, "one")
    db.ledger.retention.assign(scopes(source, item)["document"], Retention(days=1))
    assert [days(db, source, each) for each in (item, sibling)] == [1, None]
    db.ledger.retention.assign(scopes(source, item)["source"], Retention(days=2))
    assert (days(db, source, sibling), days(db, beside, near)) == (2, None)
    db.ledger.retention.assign(scopes(source, item)["collection"], Retention(days=3))
    assert (days(db, beside, near), days(db, other, far)) == (3, None)


def test_what_is_set_is_listed(db: LedgerDatabase) -> None:
    source, (item,) = filled(db)
    by_level = scopes(source, item)
    db.ledger.retention.assign(by_level["document"], Retention(days=0))
    db.ledger.retention.assign(by_level["source"], Retention(until=FUTURE))
    db.ledger.retention.assign(by_level["collection"], Retention(days=30))
    of_document = replace(by_level["source"], document_id=item.document_id)
    output = [(each.scope, each.retention) for each in db.ledger.retention.assigned(source.spec.collection)]
    assert output == [
        (by_level["collection"], Retention(days=30)),
        (by_level["source"], Retention(until=FUTURE)),
        (of_document, Retention(days=0)),
    ]
    assert set(output) <= {(each.scope, each.retention) for each in db.ledger.retention.assigned()}
    assert db.ledger.retention.assigned("another") == []


def test_an_ingest_that_names_days_takes_the_place_of_a_date(db: LedgerDatabase) -> None:
    source, (item,) = filled(db)
    db.ledger.retention.assign(scopes(source, item)["source"], Retention(until=FUTURE))
    assert resaved(db, replace(source.spec, retention_days=None)).spec.retention_days is None
    assert end(db, source, item) == FUTURE
    assert resaved(db, replace(source.spec, retention_days=5)).spec.retention_days == 5
    assert days(db, source, item) == 5


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
def test_what_cannot_be_a_retention_is_refused(db: LedgerDatabase, wrong: Retention) -> None:
    source, (item,) = filled(db)
    with pytest.raises(BadRequest):
        db.ledger.retention.assign(scopes(source, item)["collection"], wrong)


def test_what_is_not_there_is_said(db: LedgerDatabase) -> None:
    source, _ = filled(db)
    for scope in (
        RetentionScope("nowhere"),
        RetentionScope(source.spec.collection, "another", source.spec.uri),
        RetentionScope(document_id=uuid4()),
    ):
        with pytest.raises(NotFound, match="Nothing was changed"):
            db.ledger.retention.assign(scope, Retention(days=1))


def test_reading_the_same_content_again_does_not_lengthen_its_life(db: LedgerDatabase) -> None:
    source, (item,) = filled(db)
    db.ledger.retention.assign(scopes(source, item)["source"], Retention(days=10))
    before = end(db, source, item)
    run = started(db, source, "full")
    (again,) = scanned(db, run, entry("a"))
    loaded(db, run, again, "one", "two")
    assert end(db, source, item) == before
    run = started(db, source)
    (again,) = scanned(db, run, entry("a", "2"))
    loaded(db, run, again, "one", "three")
    assert before is not None and (end(db, source, item) or before) > before


# --- what has expired


def test_what_expired_is_listed_page_by_page(db: LedgerDatabase) -> None:
    source, items = filled(db, "a", "b", "c")
    stored, *gone = items
    for number, item in enumerate(gone):
        db.ledger.retention.assign(
            RetentionScope(document_id=item.document_id), Retention(until=PAST + timedelta(days=1 - number))
        )
    db.ledger.retention.assign(RetentionScope(document_id=stored.document_id), Retention(until=FUTURE))
    first = db.ledger.retention.expired(source, db.ledger.retention.clock(), None, 1)
    second = db.ledger.retention.expired(source, db.ledger.retention.clock(), first[0], 10)
    assert [each.document_id for each in (*first, *second)] == [each.document_id for each in reversed(gone)]
    output = first[0]
    assert (output.external_id, output.collection, output.tenant) == ("c", source.spec.collection, source.spec.tenant)
    assert (output.chunks, output.expired_at) == (2, PAST)
    assert due(db, source, FUTURE + timedelta(days=1)) == due(db, source)  # the future does not come by asking
    assert [each.external_id for each in due(db, source, PAST + timedelta(hours=1))] == ["c"]


def test_sources_with_expired_documents_are_found(db: LedgerDatabase) -> None:
    source, (item,) = filled(db)
    filled(db)
    assert db.ledger.retention.expired_sources(db.ledger.retention.clock(), source.spec.collection) == []
    db.ledger.retention.assign(scopes(source, item)["document"], Retention(until=PAST))
    assert db.ledger.retention.expired_sources(db.ledger.retention.clock(), source.spec.collection) == [source]
    assert source in db.ledger.retention.expired_sources(db.ledger.retention.clock())


def test_what_a_living_run_has_staged_is_left_to_it(db: LedgerDatabase) -> None:
    source, (item,) = filled(db)
    db.ledger.retention.assign(scopes(source, item)["document"], Retention(days=1))
    run = held(db, source)
    (again,) = scanned(db, run, entry("a", "2"))
    db.ledger.versions.stage(run, [version(run, again, "three")])
    db.expire(item.document_id)
    as_of = db.ledger.retention.clock()
    assert due(db, source) == []
    with pytest.raises(Terminal, match="took over"):
        db.ledger.retention.purge(purging(db, source), [item.document_id], as_of)
    db.ledger.versions.activate(run, [item.document_id])
    assert len(shown(db, source, item, "three")) == 1


# --- what a purge leaves


def test_a_purge_takes_out_what_is_listed_and_records_it(db: LedgerDatabase) -> None:
    source, (item, other) = filled(db, "a", "b")
    db.ledger.retention.assign(RetentionScope(document_id=item.document_id), Retention(until=PAST))
    epoch = db.epoch(source.generation.collection_id)
    run, as_of = purging(db, source), db.ledger.retention.clock()
    ids = [item.document_id, other.document_id]
    assert db.ledger.retention.purge(run, ids, as_of) == [item.document_id]  # the other one has not expired
    assert db.purged(run.run_id) == [item.document_id]
    assert db.ledger.retention.purge(run, ids, as_of) == []
    assert due(db, source) == [] and db.ledger.retention.expired_sources(as_of, source.spec.collection) == []
    assert db.epoch(source.generation.collection_id) != epoch
    (removal,) = outbox(db.ledger, source.generation.collection_id, 10)
    assert set(removal.chunk_ids) == {chunk_id(item.document_id, words) for words in ("one", "two")}
    assert removal.document_gone and removal.document_id == item.document_id
    assert db.ledger.collections.counts(source.generation).documents == 1
    assert {each.document_id for each in db.ledger.reconciliation.chunks_after(source.generation, None, 10)} == {
        other.document_id
    }
    with pytest.raises(NotFound):
        db.catalog.document(reader(source), item.document_id)
    assert [each.document_id for each in db.catalog.documents(reader(source), source.spec.collection, 10)] == [
        other.document_id
    ]


def test_entities_and_open_records_go_with_a_purged_document(db: LedgerDatabase) -> None:
    source = opened(db)
    run, entity = started(db, source), uuid4()
    (item,) = scanned(db, run, entry("a"))
    db.ledger.versions.stage(run, [version(run, item, "one", mentions=[(entity, "ORG", 1)])])
    db.ledger.versions.activate(run, [item.document_id])
    (again,) = scanned(db, run, entry("a", "2"))
    db.ledger.quarantine.add(run, [failure(again)])
    db.ledger.runs.finish(run, "succeeded", {})
    db.ledger.retention.assign(RetentionScope(document_id=item.document_id), Retention(until=PAST))
    assert [each.document_id for each in due(db, source)] == [item.document_id]
    assert db.catalog.collections(reader(source))[0].quarantined == 0  # of an expired document nothing is told
    purged(db, source, item)
    assert db.entities(source.spec.tenant) == set()
    assert db.ledger.collections.counts(source.generation).quarantined == 0


def test_a_purge_is_kept_out_by_the_run_that_holds_the_source(db: LedgerDatabase) -> None:
    source, (item,) = filled(db)
    db.ledger.retention.assign(scopes(source, item)["document"], Retention(until=PAST))
    db.ledger.runs.claim(started(db, source), 60)
    with pytest.raises(Terminal, match="took over"):
        db.ledger.retention.purge(purging(db, source), [item.document_id], db.ledger.retention.clock())
    assert len(due(db, source)) == 1


def test_what_is_gone_at_the_source_is_purged_too(db: LedgerDatabase) -> None:
    source, (item, _) = filled(db, "a", "b")
    run = started(db, source)
    db.ledger.scans.record(run, [entry("b")])
    db.ledger.versions.remove(run, [item.document_id])
    db.ledger.runs.finish(run, "succeeded", {})
    db.ledger.retention.assign(scopes(source, item)["document"], Retention(until=PAST))
    assert [(each.document_id, each.chunks) for each in due(db, source)] == [(item.document_id, 0)]
    purged(db, source, item)
    assert item.document_id not in {each.document_id for each in due(db, source)}


# --- what is purged and still at its source


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_it_stays_gone_and_costs_nothing(db: LedgerDatabase, mode: str) -> None:
    source, (item,) = filled(db)
    purged(db, source, item)
    run = db.ledger.runs.start(source, mode, uuid4(), "tests")  # type: ignore[arg-type]
    result = db.ledger.scans.record(run, [entry("a")])
    assert (result.items, result.unchanged, result.vanished, result.known) == ([], 1, [], 1)


def test_touched_but_equal_it_stays_gone(db: LedgerDatabase) -> None:
    source, (item,) = filled(db)
    purged(db, source, item)
    run = started(db, source)
    (again,) = scanned(db, run, entry("a", "2"))
    assert (again.document_id, again.new) == (item.document_id, False)
    assert again.active_hash == version(run, item, "one", "two").raw_hash  # so that equal content is only touched
    db.ledger.versions.touch(run, [again])
    assert scanned(db, started(db, source), entry("a", "2")) == []
    assert shown(db, source, item, "one") == []


def test_changed_it_is_a_new_version_with_a_life_of_its_own(db: LedgerDatabase) -> None:
    source, (item,) = filled(db)
    purged(db, source, item)
    db.ledger.retention.assign(scopes(source, item)["source"], Retention(days=10))
    db.expire(item.document_id)
    run = started(db, source)
    (again,) = scanned(db, run, entry("a", "2"))
    loaded(db, run, again, "three")
    info = db.catalog.document(reader(source), item.document_id)
    assert (info.version, days(db, source, item)) == (2, 10)
    assert len(shown(db, source, item, "three")) == 1


def test_lengthened_it_comes_back_with_the_life_it_has_left(db: LedgerDatabase) -> None:
    source, (item,) = filled(db)
    db.ledger.retention.assign(scopes(source, item)["source"], Retention(days=10))
    first_end = end(db, source, item)
    purged(db, source, item)
    db.ledger.retention.assign(scopes(source, item)["source"], Retention(days=10))
    with pytest.raises(NotFound):  # its content is not here
        db.catalog.document(reader(source), item.document_id)
    run = started(db, source)
    (again,) = scanned(db, run, entry("a"))
    assert again.active_hash is None  # to be worked on
    loaded(db, run, again, "one", "two")
    assert end(db, source, item) == first_end


def test_under_a_new_name_it_is_known_by_its_content(db: LedgerDatabase) -> None:
    source, (item,) = filled(db)
    purged(db, source, item)
    run = started(db, source)
    (placeholder,) = scanned(db, run, entry("b"))
    same = version(run, item, "one", "two").raw_hash
    assert db.ledger.renames.missed(run, 10) == []  # there is no text to compare with
    assert db.ledger.renames.match_same_content(run, {placeholder.document_id: same}) == {
        placeholder.document_id: item.document_id
    }
    loaded(db, run, replace(placeholder, document_id=item.document_id), "one", "two")
    assert shown(db, source, item, "one", "two") == []
    assert [each.document_id for each in due(db, source)] == [item.document_id]


def test_gone_at_the_source_it_is_deleted(db: LedgerDatabase) -> None:
    source, (item, _) = filled(db, "a", "b")
    db.ledger.retention.assign(scopes(source, item)["document"], Retention(until=PAST))
    db.ledger.retention.purge(purging(db, source), [item.document_id], db.ledger.retention.clock())
    run = started(db, source)
    assert db.ledger.scans.record(run, [entry("b")]).vanished == [item.document_id]
    assert db.ledger.versions.remove(run, [item.document_id]) == 1
