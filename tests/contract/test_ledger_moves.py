"""One run at a time, and documents that change their name: the ledger in memory and the one on PostgreSQL."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from ledger_rows import (
    Room,
    entry,
    failure,
    loaded,
    opened,
    reader,
    scanned,
    shown,
    started,
    version,
)
from sluice.errors import Busy, Terminal
from sluice.model import Item, Run, Source

# --- claims


def test_one_run_at_a_time_works_on_a_source(room: Room) -> None:
    source = opened(room)
    first, second, elsewhere = started(room, source), started(room, source), started(room, opened(room))
    room.ledger.claim(first, 60)
    room.ledger.claim(first, 60)
    room.ledger.claim(elsewhere, 60)
    with pytest.raises(Busy, match="tests, started"):
        room.ledger.claim(second, 60)
    room.ledger.finish_run(first, "succeeded", {})
    room.ledger.claim(second, 60)


def test_a_run_that_gives_no_sign_of_life_is_taken_over_and_kept_out(room: Room) -> None:
    source = opened(room)
    dead = started(room, source)
    (item,) = scanned(room, dead, entry("a"))
    room.ledger.claim(dead, 0.05)
    room.ledger.stage(dead, [version(dead, item, "one")])
    time.sleep(0.1)
    heir = started(room, source)
    room.ledger.claim(heir, 60)
    for write in (
        lambda: room.ledger.stage(dead, [version(dead, item, "one")]),
        lambda: room.ledger.activate(dead, [item.document_id]),
        lambda: room.ledger.remove_documents(dead, [item.document_id]),
        lambda: room.ledger.adopt_same(dead, {item.document_id: b"h"}),
        lambda: room.ledger.adopt_similar(dead, {item.document_id: {}}),
    ):
        with pytest.raises(Terminal, match="took over"):
            write()
    assert shown(room, source, item, "one") == []
    loaded(room, heir, item, "two")
    assert len(shown(room, source, item, "two")) == 1


def test_a_late_end_does_not_free_what_another_run_holds(room: Room) -> None:
    source = opened(room)
    dead, heir, third = started(room, source), started(room, source), started(room, source)
    room.ledger.claim(dead, 0.01)
    time.sleep(0.05)
    room.ledger.claim(heir, 60)
    room.ledger.finish_run(dead, "failed", {})
    with pytest.raises(Busy):
        room.ledger.claim(third, 60)


def test_a_killed_run_does_not_count_as_running_once_another_has_taken_over(room: Room) -> None:
    source = opened(room)
    killed, killed_before_its_claim, heir = (started(room, source) for _ in range(3))
    elsewhere = started(room, opened(room))
    room.ledger.claim(killed, 0.01)
    (item,) = scanned(room, killed, entry("a"))
    room.ledger.stage(killed, [version(killed, item, "one")])
    time.sleep(0.05)
    room.ledger.claim(heir, 60)
    assert not room.ledger.others_running(heir)
    assert room.ledger.others_running(started(room, elsewhere.source))
    assert room.ledger.drop_leftovers(heir) == 1
    room.ledger.finish_run(heir, "succeeded", {})

    third = started(room, source)
    room.ledger.claim(killed_before_its_claim, 60)  # it was only slow
    assert room.ledger.others_running(third)
    with pytest.raises(Busy):
        room.ledger.claim(third, 60)


# --- moves


def served(room: Room, source: Source, **texts: str) -> dict[str, Item]:
    run = started(room, source)
    items = {item.entry.external_id: item for item in scanned(room, run, *(entry(name) for name in texts))}
    for name, item in items.items():
        loaded(room, run, item, *texts[name].split())
    room.ledger.finish_run(run, "succeeded", {})
    return items


def hash_of(run: Run, item: Item, *words: str) -> bytes:
    return version(run, item, *words).raw_hash


def test_the_same_content_under_another_name_is_the_same_document(room: Room) -> None:
    source = opened(room)
    old = served(room, source, **{"a/x": "one two", "b": "three"})
    run = started(room, source)
    new, fresh = scanned(room, run, entry("c/x"), entry("fresh"), entry("b"))
    hashes = {new.document_id: hash_of(run, new, "one", "two"), fresh.document_id: hash_of(run, fresh, "other")}
    found = room.ledger.adopt_same(run, hashes)
    assert found == {new.document_id: old["a/x"].document_id}
    assert room.ledger.adopt_same(run, hashes) == found, "a second try finds what the first one did"
    assert room.ledger.moved(run) == {old["a/x"].document_id}
    info = room.catalog.document(reader(source), old["a/x"].document_id)
    assert (info.external_id, info.uri, info.version) == ("c/x", "file:///c/x", 1)

    moved = replace(new, document_id=old["a/x"].document_id)
    loaded(room, run, moved, "one", "two")
    room.ledger.finish_run(run, "succeeded", {})
    after = room.ledger.record_scan(started(room, source), [entry("c/x"), entry("fresh"), entry("b")])
    assert (after.unchanged, after.vanished) == (2, [])


def test_until_it_is_loaded_a_moved_document_counts_as_changed(room: Room) -> None:
    source = opened(room)
    old = served(room, source, a="one", b="two")
    crashed = started(room, source)
    (new,) = scanned(room, crashed, entry("c"), entry("b"))
    room.ledger.adopt_same(crashed, {new.document_id: hash_of(crashed, new, "one")})
    (item,) = scanned(room, started(room, source), entry("c"), entry("b"))
    assert (item.document_id, item.new, item.active_hash) == (old["a"].document_id, False, None)


def test_an_older_run_finds_no_moves_that_a_later_scan_may_have_undone(room: Room) -> None:
    source = opened(room)
    first = started(room, source)
    (item,) = scanned(room, first, entry("old"))
    loaded(room, first, item, "one")
    older, newer = started(room, source), started(room, source)
    (placeholder,) = scanned(room, older, entry("new"))
    room.ledger.record_scan(newer, [entry("old")])
    same = {placeholder.document_id: version(first, item, "one").raw_hash}
    assert room.ledger.adopt_same(older, same) == {}
    assert room.ledger.adopt_similar(older, {placeholder.document_id: {item.document_id: 0.9}}) == {}
    assert room.catalog.document(reader(source), item.document_id).external_id == "old"


def test_likeness_tells_a_move_with_an_edit(room: Room) -> None:
    source = opened(room)
    old = served(room, source, a="one two three", b="four five six")
    run = started(room, source)
    new, other = scanned(room, run, entry("c"), entry("d"))
    a, b = old["a"].document_id, old["b"].document_id
    missed = room.ledger.missed(run, 10)
    assert [document_id for document_id, _ in missed] == sorted([a, b])
    assert all(len(sealed) == 40 for _, sealed in missed)
    assert len(room.ledger.missed(run, 1)) == 1
    found = {new.document_id: a, other.document_id: b}
    assert (
        room.ledger.adopt_similar(run, {new.document_id: {a: 0.9, b: 0.8}, other.document_id: {a: 0.85, b: 0.6}})
        == found
    )
    assert room.ledger.adopt_similar(run, {new.document_id: {}, other.document_id: {}}) == found
    assert room.ledger.moved(run) == {a, b}
    assert room.ledger.missed(run, 10) == []


def test_each_document_is_taken_over_once(room: Room) -> None:
    source = opened(room)
    old = served(room, source, **{"v/a": "one", "v/b": "one"})
    run = started(room, source)
    items = scanned(room, run, entry("w/a"), entry("w/b"), entry("w/c"))
    found = room.ledger.adopt_same(run, {each.document_id: hash_of(run, each, "one") for each in items})
    a, b, _ = items
    assert found == {a.document_id: old["v/a"].document_id, b.document_id: old["v/b"].document_id}


def test_what_is_still_there_or_never_served_is_no_former_name(room: Room) -> None:
    source = opened(room)
    served(room, source, kept="one")
    run = started(room, source)
    (refused,) = scanned(room, run, entry("refused"), entry("kept"))
    room.ledger.quarantine(run, [failure(refused)])
    again = started(room, source)
    (copy,) = scanned(room, again, entry("copy"), entry("kept"))
    assert room.ledger.adopt_same(again, {copy.document_id: hash_of(again, copy, "one")}) == {}


def test_a_source_that_says_renamed_is_believed_unless_the_old_name_is_there(room: Room) -> None:
    source = opened(room)
    old = served(room, source, a="one", b="two", c="three")
    run = started(room, source)
    listed = [replace(entry("x"), former="a"), replace(entry("y"), former="b"), entry("b"), entry("c")]
    result = room.ledger.record_scan(run, listed)
    x, y = result.items
    assert (x.document_id, x.new, x.moved, x.active_hash) == (old["a"].document_id, False, True, None)
    assert (y.new, y.moved) == (True, False)
    assert (result.vanished, result.known) == ([], 3)
    assert room.ledger.moved(run) == {old["a"].document_id}
