"""Sources, runs, scans and quarantine, in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from sluice.errors import BadRequest, NotFound, Terminal
from sluice.model.generation import Profile
from sluice.model.run import Counts
from sluice.model.scan import ListingEntry
from support.ledger_rows import (
    Room,
    entry,
    failure,
    loaded,
    opened,
    reader,
    resaved,
    scanned,
    shown,
    spec,
    started,
    version,
)

# --- sources and runs


def test_opening_a_source_again_finds_it(room: Room) -> None:
    wanted = spec(access_groups=("staff",), retention_days=7, include=("*.md",), exclude=("draft/*",))
    source = opened(room, wanted)
    assert opened(room, wanted) == source
    assert source.generation.number == 1
    assert source.generation.backing_collection == f"{wanted.collection}__g1"
    assert source.generation.filter_fields == ("mime", "year")


def test_what_is_not_given_is_kept(room: Room) -> None:
    wanted = spec(access_groups=("staff",), retention_days=7, include=("*.md",), exclude=("draft/*",))
    source = opened(room, wanted)
    epoch = room.epoch(source.generation.collection_id)
    place = (wanted.tenant, wanted.collection, wanted.uri)
    bare = spec(wanted.tenant, wanted.collection, wanted.uri)
    assert opened(room, bare) == source
    assert room.epoch(source.generation.collection_id) == epoch
    assert room.ledger.sources.spec(*place) == wanted
    cleared = replace(bare, access_groups=(), retention_days=0, include=(), exclude=())
    assert opened(room, cleared) == source, "to open it changes nothing"
    assert resaved(room, bare) == source
    assert room.epoch(source.generation.collection_id) == epoch
    assert resaved(room, cleared).spec == cleared
    assert room.ledger.sources.spec(*place) == cleared
    assert room.epoch(source.generation.collection_id) == epoch + 1


def test_a_new_source_is_open_to_its_tenant_and_kept_as_its_collection_says(room: Room) -> None:
    bare = spec()
    assert room.ledger.sources.spec(bare.tenant, bare.collection, bare.uri) is None
    source = opened(room, bare)
    assert source.spec == replace(bare, access_groups=(), include=(), exclude=())
    assert started(room, source).source == source
    assert room.ledger.sources.spec(bare.tenant, bare.collection, bare.uri) == source.spec
    assert room.ledger.sources.spec("another", bare.collection, bare.uri) is None


def test_an_existing_collection_keeps_its_profile(room: Room) -> None:
    source = opened(room)
    other = spec(collection=source.spec.collection)
    again = room.ledger.sources.open(other, Profile("tokens:9:0", "hash:4", "off", 4), ("author",))
    assert again.generation == source.generation
    assert again.source_id != source.source_id


def test_a_source_takes_new_groups_and_globs(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    changed = replace(source.spec, access_groups=("staff",), include=("*.md",))
    assert resaved(room, changed).source_id == source.source_id
    assert room.ledger.runs.get(run.run_id).source.spec == changed


def test_a_new_retention_reaches_documents_that_are_unchanged(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    (item,) = scanned(room, run, entry("a"))
    loaded(room, run, item, "one")
    resaved(room, replace(source.spec, retention_days=3))
    info = room.catalog.document(reader(source), item.document_id)
    assert info.expires_at is not None and info.activated_at is not None
    assert (info.expires_at - info.activated_at).days == 3
    resaved(room, replace(source.spec, retention_days=None))
    assert room.catalog.document(reader(source), item.document_id).expires_at == info.expires_at
    resaved(room, replace(source.spec, retention_days=0))
    assert room.catalog.document(reader(source), item.document_id).expires_at is None


@pytest.mark.parametrize("bad", ["", "Upper", "-dash", "a__g1", "x" * 64, "a b", "é", "a\n"])
def test_a_bad_collection_name_is_refused(room: Room, bad: str) -> None:
    with pytest.raises(BadRequest, match="cannot be a collection's name"):
        opened(room, replace(spec(), collection=bad))


@pytest.mark.parametrize(
    "change", [{"tenant": ""}, {"retention_days": -1}, {"uri": "file:///\0"}, {"access_groups": ("",)}]
)
def test_a_bad_source_is_refused(room: Room, change: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        opened(room, replace(spec(), **change))  # type: ignore[arg-type]


def test_a_run_is_started_once(room: Room) -> None:
    source = opened(room)
    run_id = uuid4()
    run = room.ledger.runs.start(source, "full", run_id, "tests")
    assert room.ledger.runs.start(source, "full", run_id, "tests") == run
    assert room.ledger.runs.get(run_id) == run
    assert run.source == source and run.mode == "full"


def test_a_run_belongs_to_one_source(room: Room) -> None:
    run = started(room, opened(room))
    with pytest.raises(Terminal, match="belongs to"):
        room.ledger.runs.start(opened(room), "full", run.run_id)


def test_an_unknown_run_is_not_found(room: Room) -> None:
    with pytest.raises(NotFound):
        room.ledger.runs.get(uuid4())


# --- scans


def test_a_scan_gives_new_entries_ids_that_stay(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    listed = [ListingEntry(f"d{i}", f"file:///d{i}", "1", 5, offset=i) for i in range(20)]
    result = room.ledger.scans.record(run, iter(listed))
    assert (result.seen, result.unchanged, result.quarantined, result.vanished) == (20, 0, 0, [])
    assert [item.entry for item in result.items] == listed
    assert all(item.new and item.active_hash is None for item in result.items)
    assert len({item.document_id for item in result.items}) == 20
    assert room.ledger.scans.record(started(room, source), listed).items == result.items


def test_an_unchanged_document_is_not_an_item(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    a, b = scanned(room, run, entry("a"), entry("b"))
    loaded(room, run, a, "one")
    loaded(room, run, b, "two")
    result = room.ledger.scans.record(started(room, source), [entry("a"), entry("b", "2")])
    assert (result.seen, result.unchanged) == (2, 1)
    (item,) = result.items
    assert item.document_id == b.document_id and not item.new
    assert item.active_hash == version(run, b, "two").raw_hash


def test_a_full_scan_takes_nothing_for_unchanged(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    a, b = scanned(room, run, entry("a"), entry("b"))
    loaded(room, run, a, "one")
    room.ledger.quarantine.add(run, [failure(b)])
    result = room.ledger.scans.record(started(room, source, "full"), [entry("a"), entry("b")])
    assert (result.unchanged, result.quarantined, len(result.items)) == (0, 0, 2)
    assert [item.new for item in result.items] == [False, True]


def test_a_scan_tells_what_vanished(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    a, b, c = scanned(room, run, entry("a"), entry("b"), entry("c"))
    loaded(room, run, a, "one")
    loaded(room, run, b, "two")
    result = room.ledger.scans.record(started(room, source), [entry("b")])
    assert sorted(result.vanished) == sorted([a.document_id, c.document_id])
    assert shown(room, source, a, "one"), "a scan alone removes nothing"
    assert room.ledger.scans.record(started(room, source), []).seen == 0


def test_what_a_container_held_is_not_gone_while_it_cannot_be_opened(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    names = ("x.zip!/a", "x.zip!/b!/c", "w!/y.zip!/d", "x.zip2!/d", "y.zip!/e", "x.zi", "x.zip!/left out")
    items = scanned(room, run, *map(entry, names))
    for item in items:
        loaded(room, run, item, item.entry.external_id)
    others = [item.document_id for item in items[3:]]
    broken = [replace(entry(name), holds=lambda name: name != "x.zip!/left out") for name in ("x.zip", "w!/y.zip")]
    result = room.ledger.scans.record(started(room, source), broken)
    assert sorted(result.vanished) == sorted(others) and result.seen == 2
    assert result.known == len(others), "what they hold is no part of what might be missing"
    result = room.ledger.scans.record(started(room, source), [entry("x.zip"), entry("w!/y.zip")])
    assert sorted(result.vanished) == sorted(item.document_id for item in items)


def test_an_entry_listed_twice_is_named_and_nothing_is_kept(room: Room) -> None:
    source = opened(room)
    with pytest.raises(Terminal, match="'twice'"):
        room.ledger.scans.record(started(room, source), [entry("once"), entry("twice"), entry("twice", "2")])
    assert room.catalog.documents(reader(source), source.spec.collection, 10) == []


def test_a_scan_that_breaks_off_changes_nothing(room: Room) -> None:
    def broken() -> Iterator[ListingEntry]:
        for i in range(6000):
            yield entry(f"d{i}")
        raise OSError("the share is gone")

    source = opened(room)
    with pytest.raises(OSError, match="share is gone"):
        room.ledger.scans.record(started(room, source), broken())
    assert room.catalog.documents(reader(source), source.spec.collection, 10) == []
    assert len(scanned(room, started(room, source), entry("d1"))) == 1


@pytest.mark.parametrize("bad", ["", "nul\0", "lone\udcff"])
def test_an_entry_that_cannot_be_stored_is_named(room: Room, bad: str) -> None:
    with pytest.raises(Terminal, match="external id"):
        room.ledger.scans.record(started(room, opened(room)), [entry(bad)])


def test_a_scan_learns_new_uris(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    (item,) = scanned(room, run, entry("a"))
    loaded(room, run, item, "one")
    before = room.epoch(source.generation.collection_id)
    moved = replace(entry("a"), uri="file:///elsewhere/a")
    assert room.ledger.scans.record(started(room, source), [moved]).unchanged == 1
    assert room.catalog.document(reader(source), item.document_id).uri == moved.uri
    assert room.epoch(source.generation.collection_id) == before + 1


def test_odd_names_come_back_as_they_were(room: Room) -> None:
    names = ["tab\there", "new\nline", "back\\slash", "quote'\"", "\\N", "emoji 🦀", "e\u0301", "é", "%s", "{}"]
    items = scanned(room, started(room, opened(room)), *(entry(each) for each in names))
    assert [item.entry.external_id for item in items] == names


# --- quarantine and touch


def test_a_quarantined_document_waits_until_it_changes(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    (item,) = scanned(room, run, entry("a"))
    room.ledger.quarantine.add(run, [failure(item)])
    room.ledger.quarantine.add(run, [failure(item)])
    result = room.ledger.scans.record(started(room, source), [entry("a")])
    assert (result.unchanged, result.quarantined, result.items) == (0, 1, [])
    assert room.ledger.runs.counts(run) == Counts(0, 0, 1)
    run = started(room, source)
    (item,) = scanned(room, run, entry("a", "2"))
    assert item.new, "it was never active"
    loaded(room, run, item, "one")
    assert room.ledger.runs.counts(run) == Counts(1, 1, 0)
    assert room.ledger.scans.record(started(room, source), [entry("a", "2")]).unchanged == 1


def test_a_later_failure_replaces_the_earlier(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    (item,) = scanned(room, run, entry("a"))
    room.ledger.quarantine.add(run, [failure(item, "first")])
    room.ledger.quarantine.add(run, [failure(item, "first"), failure(item, "last \0 \udcff")])
    assert room.ledger.collections.counts(source.generation).quarantined == 1
    assert room.catalog.document(reader(source), item.document_id).quarantine == "last  �"


def test_a_failing_edit_leaves_the_active_version_served(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    (item,) = scanned(room, run, entry("a"))
    loaded(room, run, item, "one")
    later = started(room, source)
    (edited,) = scanned(room, later, entry("a", "2"))
    room.ledger.quarantine.add(later, [failure(edited)])
    assert len(shown(room, source, item, "one")) == 1
    assert room.ledger.collections.counts(source.generation) == Counts(1, 1, 1)


def test_touching_remembers_the_fingerprint(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    (item,) = scanned(room, run, entry("a"))
    loaded(room, run, item, "one")
    later = started(room, source)
    (again,) = scanned(room, later, entry("a", "2"))
    room.ledger.versions.touch(later, [again])
    room.ledger.versions.touch(later, [again])
    assert room.ledger.scans.record(started(room, source), [entry("a", "2")]).unchanged == 1


def test_going_back_to_what_is_served_ends_a_quarantine(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    (item,) = scanned(room, run, entry("a"))
    loaded(room, run, item, "one")
    second, third = started(room, source), started(room, source)
    (broken,) = scanned(room, second, entry("a", "2"))
    room.ledger.quarantine.add(second, [failure(broken)])
    (back,) = scanned(room, third, entry("a", "1"))
    assert back.active_hash == version(run, item, "one").raw_hash
    room.ledger.versions.touch(third, [back])
    assert room.ledger.collections.counts(source.generation) == Counts(1, 1, 0)
