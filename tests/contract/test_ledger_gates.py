"""What gates read from the ledger and leave in it."""

from __future__ import annotations

import random
from uuid import uuid4

import numpy as np

from sluice.model.gates import GateResult, GateRow, GateRule, Signature
from sluice.model.run import Run
from sluice.model.scan import WorkItem
from support.ledger_rows import LedgerDatabase, entry, loaded, opened, scanned, spec, started

# --- rules


def test_a_collections_rules_are_its_own(db: LedgerDatabase) -> None:
    one, other = opened(db).generation, opened(db).generation
    assert db.ledger.quality.rules(one) == {}
    whole = GateRule("mask", 0.5, ("EMAIL", "PHONE"))
    assert db.ledger.quality.set_rule(one, "documents", "personal_data", GateRule("block")) is False
    assert db.ledger.quality.set_rule(one, "documents", "personal_data", whole) is True
    assert db.ledger.quality.set_rule(one, "chunks", "blank_chunk", GateRule(limit=2)) is False
    assert db.ledger.quality.set_rule(one, "documents", "language", GateRule(options=())) is False
    assert db.ledger.quality.rules(one) == {
        ("documents", "personal_data"): whole,
        ("chunks", "blank_chunk"): GateRule(None, 2.0, None),
        ("documents", "language"): GateRule(None, None, ()),
    }
    assert db.ledger.quality.rules(other) == {}
    assert db.ledger.quality.set_rule(one, "chunks", "blank_chunk", None) is True
    assert db.ledger.quality.set_rule(one, "chunks", "blank_chunk", None) is False
    assert set(db.ledger.quality.rules(one)) == {("documents", "personal_data"), ("documents", "language")}


# --- rows


def test_rows_are_kept_in_order_and_replaced_by_a_retry(db: LedgerDatabase) -> None:
    run = started(db, opened(db))
    (item,) = scanned(db, run, entry("a"))
    one = GateRow(item.document_id, None, "documents", "some_replacements", "between", 0.002)
    two = GateRow(item.document_id, None, "documents", "personal_data", "between", {"EMAIL": 2, "at": [[3, 9]]})
    three = GateRow(item.document_id, 4, "chunks", "blank_chunk", "between", float("nan"))
    db.ledger.quality.record_gates(run, 0, "validate", [], [three])
    for _ in range(2):
        db.ledger.quality.record_gates(run, 0, "validate", [GateResult("d", "e", None, False, False, 1, 1)], [two, one])
    db.ledger.quality.record_gates(run, 1, "validate", [], [one])
    db.ledger.quality.record_gates(run, 0, "chunk", [], [three])
    output = GateRow(item.document_id, 4, "chunks", "blank_chunk", "between", "nan")
    assert db.gate_rows(run, 0) == [output, two, one]
    assert db.gate_rows(run, 1) == [one]
    db.ledger.quality.record_gates(run, 0, "validate", [])
    assert db.gate_rows(run, 0) == [output]
    assert db.gate_rows(started(db, opened(db)), 0) == []


def test_of_each_check_the_first_thousand_rows_are_kept(db: LedgerDatabase) -> None:
    run = started(db, opened(db))
    many = [GateRow(uuid4(), ordinal, "chunks", "many", "e", ordinal) for ordinal in range(1200)]
    few = [GateRow(uuid4(), 0, "chunks", "few", "e"), GateRow(uuid4(), 0, "documents", "many", "e")]
    db.ledger.quality.record_gates(run, 0, "chunk", [], [*many, *few])
    assert db.gate_rows(run, 0) == [*many[:1000], *few]


# --- signatures


def signature(item: WorkItem, *bands: int) -> Signature:
    minima = np.array(random.Random(item.document_id.int).choices(range(2**32), k=64), np.uint32)
    return Signature(item.document_id, minima, tuple(bands))


def near(db: LedgerDatabase, run: Run, *bands: int, limit: int = 10) -> set[object]:
    return {each.document_id for each in db.ledger.quality.similar(run, bands, limit)}


def test_what_is_served_is_found_by_any_band(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    a, b = scanned(db, run, entry("a"), entry("b"))
    low, high = -(2**63), 2**63 - 1
    first, second = signature(a, low, random.getrandbits(62)), signature(b, high)
    db.ledger.quality.remember(run, [second, first])
    loaded(db, run, a, "one")
    later = started(db, source)
    (result,) = db.ledger.quality.similar(later, [low, 5], 10)
    assert (result.document_id, result.bands) == (a.document_id, first.bands)
    assert result.minima.dtype == np.uint32 and result.minima.tolist() == first.minima.tolist()
    assert near(db, later, high) == set(), "it was never served"
    assert near(db, run, low, high) == {a.document_id, b.document_id}, "this run remembers it"
    assert near(db, run, low, high, limit=1) < {a.document_id, b.document_id}
    assert near(db, later, 5) == near(db, later) == set()


def test_a_signature_follows_its_document(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (a,) = scanned(db, run, entry("a"))
    old, new = random.getrandbits(62), random.getrandbits(62)
    db.ledger.quality.remember(run, [signature(a, old)])
    loaded(db, run, a, "one")
    edit = started(db, source)
    db.ledger.quality.remember(edit, [signature(a, new)])
    db.ledger.quality.remember(edit, [])
    assert (near(db, edit, old), near(db, edit, new)) == (set(), {a.document_id})
    db.ledger.versions.remove(edit, [a.document_id])
    assert near(db, edit, new) == set()
    db.ledger.quality.remember(edit, [signature(a, new)])
    assert near(db, edit, new) == set(), "it is gone, and so is what it is found by"


def test_generations_of_other_collections_are_no_matter(db: LedgerDatabase) -> None:
    one, other = opened(db), opened(db, spec())
    run, band = started(db, one), random.getrandbits(62)
    (a,) = scanned(db, run, entry("a"))
    loaded(db, run, a, "one")
    db.ledger.quality.remember(run, [signature(a, band)])
    (b,) = scanned(db, started(db, other), entry("b"))
    db.ledger.quality.remember(started(db, other), [signature(b, band)])
    assert near(db, started(db, one), band) == {a.document_id}
