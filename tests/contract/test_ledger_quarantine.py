"""Quarantine records and gate results as they are read, and whose bytes are kept."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from sluice.errors import NotFound
from sluice.model.gates import GateResult, GateRow, GateTotal
from sluice.model.grants import Principal
from sluice.model.scan import WorkItem
from support.ledger_rows import LedgerDatabase, entry, failure, loaded, opened, reader, scanned, spec, started


def stored(item: WorkItem, size: int | None = 10, code: str = "encrypted"):  # type: ignore[no-untyped-def]
    return replace(failure(item), retained_bytes=size, code=code)


def ids(items: list[WorkItem]) -> list[object]:
    return [item.document_id for item in items]


# --- what a replay works on, and what may be let go of


def test_a_replay_works_on_open_records_with_bytes(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    a, b, c = scanned(db, run, entry("a", "f1"), entry("b"), entry("c"))
    loaded(db, run, b, "old text")
    db.ledger.quarantine.add(run, [stored(a, 7), stored(b), stored(c, None)])
    other = opened(db)
    (foreign,) = scanned(db, started(db, other), entry("a"))
    db.ledger.quarantine.add(started(db, other), [stored(foreign)])

    replay = db.ledger.runs.start(source, "replay", uuid4(), "tests")
    assert db.ledger.runs.get(replay.run_id).mode == "replay"
    items = {item.entry.external_id: item for item in db.ledger.quarantine.items(replay)}
    assert set(items) == {"a", "b"}
    assert (items["a"].entry.fingerprint, items["a"].entry.size_bytes, items["a"].new) == ("f1", 7, True)
    assert (items["b"].new, items["b"].active_hash) == (False, None)
    assert ids(db.ledger.quarantine.items(replay)) == sorted([a.document_id, b.document_id])
    assert ids(db.ledger.quarantine.items(replay, [b.document_id, c.document_id, foreign.document_id])) == [
        b.document_id
    ]
    assert db.ledger.quarantine.items(replay, []) == []

    loaded(db, replay, items["a"], "served now")
    assert ids(db.ledger.quarantine.items(replay)) == [b.document_id]


def test_bytes_are_released_when_their_record_is_closed(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    served, same, gone, still, never = scanned(db, run, *map(entry, ("served", "same", "gone", "still", "never")))
    db.ledger.quarantine.add(run, [stored(each) for each in (served, same, gone, still)] + [stored(never, None)])
    assert db.ledger.quarantine.resolved(source.source_id, 10) == []
    loaded(db, run, served, "one")
    loaded(db, run, never, "two")
    db.ledger.versions.touch(run, [same])
    db.ledger.versions.remove(run, [gone.document_id])
    released = sorted([served.document_id, same.document_id, gone.document_id])
    assert db.ledger.quarantine.resolved(source.source_id, 10) == released
    assert db.ledger.quarantine.resolved(source.source_id, 2) == released[:2]
    assert db.ledger.quarantine.resolved(opened(db).source_id, 10) == []
    db.ledger.quarantine.delete_retained(released[1:])
    assert db.ledger.quarantine.resolved(source.source_id, 10) == released[:1]
    db.ledger.quarantine.delete_retained([still.document_id])
    assert ids(db.ledger.quarantine.items(run)) == [still.document_id], "what is open stays"


def test_bytes_that_a_new_record_counts_on_are_not_released(db: LedgerDatabase) -> None:
    source = opened(db)
    first = started(db, source)
    (item,) = scanned(db, first, entry("a"))
    db.ledger.quarantine.add(first, [stored(item)])
    loaded(db, first, item, "one")
    second = started(db, source)
    (item,) = scanned(db, second, entry("a", "2"))
    db.ledger.quarantine.add(second, [stored(item, 99)])
    assert db.ledger.quarantine.resolved(source.source_id, 10) == []
    db.ledger.quarantine.add(second, [stored(item, None)])
    assert db.ledger.quarantine.items(second) == [], "the newer failure is what counts"
    assert db.ledger.quarantine.resolved(source.source_id, 10) == [item.document_id]


# --- who may read what


def test_refusals_are_listed_by_collection_and_code_page_by_page(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    a, b, c, d = scanned(db, run, *map(entry, "abcd"))
    loaded(db, run, d, "fine")
    db.ledger.quarantine.add(run, [stored(a), stored(b, None, "empty"), stored(c)])
    other = opened(db, spec(source.spec.tenant))
    (e,) = scanned(db, started(db, other), entry("e"))
    db.ledger.quarantine.add(started(db, other), [stored(e)])
    who, here = reader(source), source.spec.collection

    def listed(*asked: str, **page: object) -> list[str]:
        return [each.external_id for each in db.catalog.quarantine_records(who, *asked, **{"limit": 9, **page})]  # type: ignore[arg-type]

    assert sorted(listed()) == ["a", "b", "c", "e"]
    assert sorted(listed(here)) == ["a", "b", "c"]
    assert sorted(listed(here, "encrypted")) == ["a", "c"]
    assert listed("nowhere") == []
    assert sorted(listed(run_id=run.run_id)) == ["a", "b", "c"]
    by_id = sorted([(each.document_id, each.entry.external_id) for each in (a, b, c, e)])
    assert listed(limit=2) == [name for _, name in by_id[:2]]
    assert listed(after=by_id[1][0]) == [name for _, name in by_id[2:]]
    first = db.catalog.quarantine_record(who, a.document_id)
    assert (first.document_id, first.source_uri, first.run_id) == (a.document_id, source.spec.uri, run.run_id)
    assert (first.stage, first.code, first.retained_bytes, first.rows) == ("extract", "encrypted", 10, ())
    assert first.quarantined_at >= run.started_at
    assert db.catalog.quarantine_record(who, b.document_id).retained_bytes is None


def test_a_refusal_is_shown_with_the_rows_of_its_run(db: LedgerDatabase) -> None:
    source = opened(db)
    former, run = started(db, source), started(db, source)
    a, b = scanned(db, run, entry("a"), entry("b"))
    mine = GateRow(a.document_id, 3, "chunks", "blank_chunk", "between", {"share": 0.5})
    for each in (former, run):
        rows = [mine, GateRow(b.document_id, None, "documents", "too_long", "between", 9)]
        db.ledger.quality.record_gates(each, 0, "chunk", [], rows)
    db.ledger.quarantine.add(run, [stored(a), stored(b)])
    assert db.catalog.quarantine_record(reader(source), a.document_id).rows == (mine,)


def test_what_may_not_be_read_is_not_there(db: LedgerDatabase) -> None:
    source = opened(db, spec(access_groups=("legal",)))
    run = started(db, source)
    a, b, c = scanned(db, run, entry("a"), entry("b"), entry("c"))
    db.ledger.quarantine.add(run, [stored(a), stored(b), stored(c)])
    db.ledger.quality.record_gates(
        run, 0, "validate", [], [GateRow(each.document_id, None, "d", "x", "e") for each in (a, b)]
    )
    db.set_own_groups(b.document_id, ["board"])
    db.expire(c.document_id)
    legal, board, stranger = reader(source, "legal"), reader(source, "board"), Principal("x", "another tenant")
    assert [each.external_id for each in db.catalog.quarantine_records(legal, limit=9)] == ["a"]
    assert [each.external_id for each in db.catalog.quarantine_records(board, limit=9)] == ["b"]
    assert (
        db.catalog.quarantine_records(stranger, limit=9) == db.catalog.quarantine_records(reader(source), limit=9) == []
    )
    result = db.catalog.run_gates(legal, run.run_id, limit=9)
    assert ([each.external_id for each in result.rows], result.rows_total) == (["a"], 1)
    for who in (board, stranger, reader(source)):
        with pytest.raises(NotFound):
            db.catalog.run_gates(who, run.run_id, limit=9)
        with pytest.raises(NotFound):
            db.catalog.quarantine_record(who, a.document_id)
    with pytest.raises(NotFound):
        db.catalog.run_gates(legal, uuid4(), limit=9)
    loaded(db, run, a, "served")
    with pytest.raises(NotFound):
        db.catalog.quarantine_record(legal, a.document_id)


# --- the gates of a run


def test_the_gates_of_a_run_are_summed_up_and_their_rows_paged(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    a, b = scanned(db, run, entry("a"), entry("b"))
    one = GateRow(a.document_id, None, "documents", "too_long", "between", 9)
    two = GateRow(b.document_id, 1, "documents", "too_long", "between", [1, None, "x"])
    three = GateRow(a.document_id, 0, "chunks", "blank_chunk", "between")
    db.ledger.quality.record_gates(
        run, 1, "validate", [GateResult("documents", "between", "c", True, True, 5, 0)], [two]
    )
    db.ledger.quality.record_gates(
        run, 0, "validate", [GateResult("documents", "between", "c", False, True, 2, 1)], [one]
    )
    db.ledger.quality.record_gates(
        run, 0, "chunk", [GateResult("chunks", "between", None, False, False, 3, 1)], [three]
    )
    db.ledger.runs.finish(run, "succeeded", {})
    result = db.catalog.run_gates(reader(source), run.run_id, limit=9)
    assert (result.run_id, result.collection, result.source_uri) == (
        run.run_id,
        source.spec.collection,
        source.spec.uri,
    )
    assert (result.mode, result.orchestrator, result.state) == ("incremental", "tests", "succeeded")
    assert result.started_at == run.started_at and result.finished_at is not None
    assert result.gates == (
        GateTotal("chunk", "chunks", "between", None, False, False, 3, 1),
        GateTotal("validate", "documents", "between", "c", True, False, 7, 1),
    )
    assert [(each.external_id, each.row) for each in result.rows] == [("a", three), ("a", one), ("b", two)]
    assert result.rows_total == 3
    page = db.catalog.run_gates(reader(source), run.run_id, limit=1, offset=2)
    assert ([each.row for each in page.rows], page.rows_total) == ([two], 3)
    assert db.catalog.run_gates(reader(source), run.run_id, limit=1, offset=7).rows_total == 3
