"""What gates read from the ledger and leave in it."""

from __future__ import annotations

import random
from uuid import uuid4

import numpy as np

from sluice.model.gates import GateResult, GateRow, GateRule, Signature
from sluice.model.run import Run
from sluice.model.scan import WorkItem
from support.ledger_rows import Room, entry, loaded, opened, scanned, spec, started

# --- rules


def test_a_collections_rules_are_its_own(room: Room) -> None:
    one, other = opened(room).generation, opened(room).generation
    assert room.ledger.quality.rules(one) == {}
    whole = GateRule("mask", 0.5, ("EMAIL", "PHONE"))
    assert room.ledger.quality.set_rule(one, "documents", "personal_data", GateRule("block")) is False
    assert room.ledger.quality.set_rule(one, "documents", "personal_data", whole) is True
    assert room.ledger.quality.set_rule(one, "chunks", "blank_chunk", GateRule(limit=2)) is False
    assert room.ledger.quality.set_rule(one, "documents", "language", GateRule(options=())) is False
    assert room.ledger.quality.rules(one) == {
        ("documents", "personal_data"): whole,
        ("chunks", "blank_chunk"): GateRule(None, 2.0, None),
        ("documents", "language"): GateRule(None, None, ()),
    }
    assert room.ledger.quality.rules(other) == {}
    assert room.ledger.quality.set_rule(one, "chunks", "blank_chunk", None) is True
    assert room.ledger.quality.set_rule(one, "chunks", "blank_chunk", None) is False
    assert set(room.ledger.quality.rules(one)) == {("documents", "personal_data"), ("documents", "language")}


# --- rows


def test_rows_are_kept_in_order_and_replaced_by_a_retry(room: Room) -> None:
    run = started(room, opened(room))
    (item,) = scanned(room, run, entry("a"))
    one = GateRow(item.document_id, None, "documents", "some_replacements", "between", 0.002)
    two = GateRow(item.document_id, None, "documents", "personal_data", "between", {"EMAIL": 2, "at": [[3, 9]]})
    three = GateRow(item.document_id, 4, "chunks", "blank_chunk", "between", float("nan"))
    room.ledger.quality.record_gates(run, 0, "validate", [], [three])
    for _ in range(2):
        room.ledger.quality.record_gates(
            run, 0, "validate", [GateResult("d", "e", None, False, False, 1, 1)], [two, one]
        )
    room.ledger.quality.record_gates(run, 1, "validate", [], [one])
    room.ledger.quality.record_gates(run, 0, "chunk", [], [three])
    told = GateRow(item.document_id, 4, "chunks", "blank_chunk", "between", "nan")
    assert room.gate_rows(run, 0) == [told, two, one]
    assert room.gate_rows(run, 1) == [one]
    room.ledger.quality.record_gates(run, 0, "validate", [])
    assert room.gate_rows(run, 0) == [told]
    assert room.gate_rows(started(room, opened(room)), 0) == []


def test_of_each_check_the_first_thousand_rows_are_kept(room: Room) -> None:
    run = started(room, opened(room))
    many = [GateRow(uuid4(), ordinal, "chunks", "many", "e", ordinal) for ordinal in range(1200)]
    few = [GateRow(uuid4(), 0, "chunks", "few", "e"), GateRow(uuid4(), 0, "documents", "many", "e")]
    room.ledger.quality.record_gates(run, 0, "chunk", [], [*many, *few])
    assert room.gate_rows(run, 0) == [*many[:1000], *few]


# --- signatures


def signature(item: WorkItem, *bands: int) -> Signature:
    minima = np.array(random.Random(item.document_id.int).choices(range(2**32), k=64), np.uint32)
    return Signature(item.document_id, minima, tuple(bands))


def near(room: Room, run: Run, *bands: int, limit: int = 10) -> set[object]:
    return {each.document_id for each in room.ledger.quality.similar(run, bands, limit)}


def test_what_is_served_is_found_by_any_band(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    a, b = scanned(room, run, entry("a"), entry("b"))
    low, high = -(2**63), 2**63 - 1
    first, second = signature(a, low, random.getrandbits(62)), signature(b, high)
    room.ledger.quality.remember(run, [second, first])
    loaded(room, run, a, "one")
    later = started(room, source)
    (found,) = room.ledger.quality.similar(later, [low, 5], 10)
    assert (found.document_id, found.bands) == (a.document_id, first.bands)
    assert found.minima.dtype == np.uint32 and found.minima.tolist() == first.minima.tolist()
    assert near(room, later, high) == set(), "it was never served"
    assert near(room, run, low, high) == {a.document_id, b.document_id}, "this run remembers it"
    assert near(room, run, low, high, limit=1) < {a.document_id, b.document_id}
    assert near(room, later, 5) == near(room, later) == set()


def test_a_signature_follows_its_document(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    (a,) = scanned(room, run, entry("a"))
    old, new = random.getrandbits(62), random.getrandbits(62)
    room.ledger.quality.remember(run, [signature(a, old)])
    loaded(room, run, a, "one")
    edit = started(room, source)
    room.ledger.quality.remember(edit, [signature(a, new)])
    room.ledger.quality.remember(edit, [])
    assert (near(room, edit, old), near(room, edit, new)) == (set(), {a.document_id})
    room.ledger.versions.remove(edit, [a.document_id])
    assert near(room, edit, new) == set()
    room.ledger.quality.remember(edit, [signature(a, new)])
    assert near(room, edit, new) == set(), "it is gone, and so is what it is found by"


def test_generations_of_other_collections_are_no_matter(room: Room) -> None:
    one, other = opened(room), opened(room, spec())
    run, band = started(room, one), random.getrandbits(62)
    (a,) = scanned(room, run, entry("a"))
    loaded(room, run, a, "one")
    room.ledger.quality.remember(run, [signature(a, band)])
    (b,) = scanned(room, started(room, other), entry("b"))
    room.ledger.quality.remember(started(room, other), [signature(b, band)])
    assert near(room, started(room, one), band) == {a.document_id}
