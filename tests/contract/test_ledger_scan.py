"""What the projections must hold, as the ledger tells it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from sluice.model.chunk import Relation
from sluice.model.points import SourceDocument
from sluice.model.run import StageStat
from support.ledger_rows import (
    LedgerDatabase,
    carried_out,
    chunk_id,
    entry,
    failure,
    held,
    loaded,
    opened,
    scanned,
    spec,
    started,
    version,
)


def test_pages_follow_the_bytes_of_ids_and_miss_nothing(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    items = scanned(db, run, *(entry(str(number)) for number in range(12)))
    for item in items:
        loaded(db, run, item, "one", "two", "three")
    other = opened(db, spec(collection=source.spec.collection))  # another tenant in the same collection
    run = started(db, other)
    (theirs,) = scanned(db, run, entry("a"))
    loaded(db, run, theirs, "four")

    seen: list[UUID] = []
    while page := db.ledger.reconciliation.chunks_after(source.generation, seen[-1] if seen else None, 7):
        assert len(page) <= 7
        seen += [each.chunk_id for each in page]
    wanted = {chunk_id(item.document_id, words) for item in items for words in ("one", "two", "three")}
    assert seen == sorted(wanted | {chunk_id(theirs.document_id, "four")}, key=lambda each: each.bytes)
    (result,) = db.ledger.reconciliation.chunks_of(source.generation, [chunk_id(theirs.document_id, "four"), uuid4()])
    assert (result.tenant, result.source_id, result.document_id) == (
        other.spec.tenant,
        other.source_id,
        theirs.document_id,
    )


def test_a_row_holds_all_that_its_projections_are_made_from(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    person, place = uuid4(), uuid4()
    mentions = [(person, "PERSON", 2, True), (place, "GPE", 1, False), (uuid4(), "PHRASE", 0, True)]
    said = [Relation(person, "citizen_of", place), Relation(place, "located_in", person)]
    staged = version(run, item, "one", "two", mentions=mentions, relations=said)
    db.ledger.versions.stage(run, [staged])
    db.ledger.versions.activate(run, [item.document_id])
    row = next(each for each in db.ledger.reconciliation.chunks_after(source.generation, None, 10) if each.ordinal == 1)
    chunk = staged.chunks[1]
    assert (row.chunk_id, row.text_hash, row.mime) == (chunk.chunk_id, chunk.text_hash, staged.mime)
    assert (row.sealed_text, row.sealed_headings, row.sealed_names) == (
        chunk.sealed_text,
        chunk.sealed_headings,
        chunk.sealed_names,
    )
    assert (row.sealed_title, row.sealed_metadata) == (staged.sealed_title, staged.sealed_metadata)
    assert row.mentions == tuple(sorted(mentions))
    assert [each.kind for each in row.mentions if each.about and not each.occurrences] == ["PHRASE"]
    assert row.relations == tuple(sorted(said))
    assert not row.changing
    run = started(db, source)
    (edited,) = scanned(db, run, entry("a", "2"))
    db.ledger.versions.stage(run, [version(run, edited, "one", "two", mentions=mentions, relations=said[:1])])
    db.ledger.versions.activate(run, [item.document_id])
    rows = db.ledger.reconciliation.chunks_after(source.generation, None, 10)
    assert [row.relations for row in rows] == [tuple(said[:1])] * 2


def test_what_is_pending_queued_or_gone(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    loaded(db, run, item, "one", "two")
    one, two, three = (chunk_id(item.document_id, words) for words in ("one", "two", "three"))
    ids = [one, two, three, uuid4()]

    run = held(db, source)
    (edited,) = scanned(db, run, entry("a", "2"))
    db.ledger.versions.stage(run, [version(run, edited, "one", "three")])
    assert [each.changing for each in db.ledger.reconciliation.chunks_of(source.generation, ids)] == [True, True]
    assert db.ledger.reconciliation.claimed(source.generation, ids) == {one, two, three}

    db.ledger.versions.activate(run, [item.document_id])
    now = db.ledger.reconciliation.chunks_of(source.generation, ids)
    assert [each.chunk_id for each in now] == sorted([one, three]) and not any(each.changing for each in now)
    assert db.ledger.reconciliation.claimed(source.generation, ids) == {one, two, three}  # two is queued
    carried_out(db.ledger, source.generation.collection_id)
    assert db.ledger.reconciliation.claimed(source.generation, ids) == {one, three}

    db.ledger.versions.remove(run, [item.document_id])
    assert db.ledger.reconciliation.chunks_of(source.generation, ids) == []
    assert db.ledger.reconciliation.claimed(source.generation, ids) == {one, three}


def test_what_a_dead_run_left_pending_is_not_in_anyones_hands(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    loaded(db, run, item, "one")
    run = started(db, source)
    (edited,) = scanned(db, run, entry("a", "2"))
    db.ledger.versions.stage(run, [version(run, edited, "one", "two")])
    db.ledger.runs.finish(run, "failed", {})
    ids = [chunk_id(item.document_id, words) for words in ("one", "two")]
    assert [each.changing for each in db.ledger.reconciliation.chunks_of(source.generation, ids)] == [False]
    assert db.ledger.reconciliation.claimed(source.generation, ids) == set(ids)


def test_served_documents_are_told_by_the_scheme_of_their_source(db: LedgerDatabase) -> None:
    uploads = opened(db, spec(uri="uploads://t/c"))
    files = opened(db, spec(collection=uploads.spec.collection))
    run, other = started(db, uploads), started(db, files)
    served = scanned(db, run, entry("a"), entry("b"), entry("c"), entry("refused"))
    for item in served[:3]:
        loaded(db, run, item, "one")
    db.ledger.quarantine.add(run, [failure(served[3])])
    (theirs,) = scanned(db, other, entry("a"))
    loaded(db, other, theirs, "one")
    db.ledger.versions.remove(run, [served[2].document_id])

    place = uploads.spec.tenant, uploads.spec.collection
    wanted = sorted(
        (SourceDocument(each.document_id, *place, each.entry.external_id) for each in served[:2]), key=id_of
    )
    asked = ("uploads", uploads.spec.collection)
    assert db.ledger.reconciliation.documents_from(*asked, None, 10) == wanted
    assert db.ledger.reconciliation.documents_from(*asked, None, 1) == wanted[:1]
    assert db.ledger.reconciliation.documents_from(*asked, wanted[0].document_id, 10) == wanted[1:]
    assert db.ledger.reconciliation.documents_from("upload", uploads.spec.collection, None, 10) == []
    assert set(wanted) <= set(db.ledger.reconciliation.documents_from("uploads", None, None, 100_000))


def id_of(document: SourceDocument) -> UUID:
    return document.document_id


def test_a_run_is_as_old_as_its_last_sign_of_life(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    unknown = uuid4()
    db.backdate(run.run_id, 500)

    def age() -> timedelta:
        result = db.ledger.reconciliation.last_active([run.run_id, unknown])
        assert result.keys() == {run.run_id}
        return datetime.now(UTC) - result[run.run_id]

    assert age() > timedelta(hours=499)
    db.ledger.runs.record_stage(run, StageStat(0, "extract", 1.0, {}))
    assert abs(age()) < timedelta(minutes=1)
    db.ledger.runs.claim(run, 3600)
    assert age() < timedelta(minutes=-59)  # nobody may count it as over while it holds its source
    db.ledger.runs.finish(run, "succeeded", {})
    assert abs(age()) < timedelta(minutes=1)


def test_open_quarantine_records_are_told_by_document(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    refused, mended = scanned(db, run, entry("a"), entry("b"))
    db.ledger.quarantine.add(run, [failure(refused), failure(mended)])
    ids = [refused.document_id, mended.document_id]
    assert db.ledger.reconciliation.in_quarantine(ids) == set(ids)
    loaded(db, run, mended, "one")
    unknown = uuid4()
    assert db.ledger.reconciliation.in_quarantine([*ids, unknown]) == {refused.document_id, unknown}


def test_asking_for_nothing_and_recording(db: LedgerDatabase) -> None:
    generation = opened(db).generation
    assert (
        db.ledger.reconciliation.chunks_after(generation, None, 10)
        == db.ledger.reconciliation.chunks_of(generation, [])
        == []
    )
    assert db.ledger.reconciliation.claimed(generation, []) == db.ledger.reconciliation.in_quarantine([]) == set()
    assert db.ledger.reconciliation.last_active([]) == {}
    assert db.ledger.reconciliation.record(generation, datetime.now(UTC), False, {"missing": 0})
    gone = replace(generation, collection_id=uuid4())
    assert not db.ledger.reconciliation.record(gone, datetime.now(UTC), False, {"missing": 0})
