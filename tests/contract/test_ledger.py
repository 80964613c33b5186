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
    LedgerDatabase,
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


def test_opening_a_source_again_finds_it(db: LedgerDatabase) -> None:
    wanted = spec(access_groups=("staff",), retention_days=7, include=("*.md",), exclude=("draft/*",))
    source = opened(db, wanted)
    assert opened(db, wanted) == source
    assert source.generation.number == 1
    assert source.generation.backing_collection == f"{wanted.collection}__g1"
    assert source.generation.filter_fields == ("mime", "year")


def test_what_is_not_given_is_kept(db: LedgerDatabase) -> None:
    wanted = spec(access_groups=("staff",), retention_days=7, include=("*.md",), exclude=("draft/*",))
    source = opened(db, wanted)
    epoch = db.epoch(source.generation.collection_id)
    place = (wanted.tenant, wanted.collection, wanted.uri)
    bare = spec(wanted.tenant, wanted.collection, wanted.uri)
    assert opened(db, bare) == source
    assert db.epoch(source.generation.collection_id) == epoch
    assert db.ledger.sources.spec(*place) == wanted
    cleared = replace(bare, access_groups=(), retention_days=0, include=(), exclude=())
    assert opened(db, cleared) == source, "to open it changes nothing"
    assert resaved(db, bare) == source
    assert db.epoch(source.generation.collection_id) == epoch
    assert resaved(db, cleared).spec == cleared
    assert db.ledger.sources.spec(*place) == cleared
    assert db.epoch(source.generation.collection_id) != epoch


def test_a_new_source_is_open_to_its_tenant_and_kept_as_its_collection_says(db: LedgerDatabase) -> None:
    bare = spec()
    assert db.ledger.sources.spec(bare.tenant, bare.collection, bare.uri) is None
    source = opened(db, bare)
    assert source.spec == replace(bare, access_groups=(), include=(), exclude=())
    assert started(db, source).source == source
    assert db.ledger.sources.spec(bare.tenant, bare.collection, bare.uri) == source.spec
    assert db.ledger.sources.spec("another", bare.collection, bare.uri) is None


def test_an_existing_collection_keeps_its_profile(db: LedgerDatabase) -> None:
    source = opened(db)
    other = spec(collection=source.spec.collection)
    again = db.ledger.sources.open(other, Profile("tokens:9:0", "hash:4", "off", 4), ("author",))
    assert again.generation == source.generation
    assert again.source_id != source.source_id


def test_a_source_takes_new_groups_and_globs(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    changed = replace(source.spec, access_groups=("staff",), include=("*.md",))
    assert resaved(db, changed).source_id == source.source_id
    assert db.ledger.runs.get(run.run_id).source.spec == changed


def test_a_new_retention_reaches_documents_that_are_unchanged(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    loaded(db, run, item, "one")
    resaved(db, replace(source.spec, retention_days=3))
    info = db.catalog.document(reader(source), item.document_id)
    assert info.expires_at is not None and info.activated_at is not None
    assert (info.expires_at - info.activated_at).days == 3
    resaved(db, replace(source.spec, retention_days=None))
    assert db.catalog.document(reader(source), item.document_id).expires_at == info.expires_at
    resaved(db, replace(source.spec, retention_days=0))
    assert db.catalog.document(reader(source), item.document_id).expires_at is None


@pytest.mark.parametrize("bad", ["", "Upper", "-dash", "a__g1", "x" * 64, "a b", "é", "a\n"])
def test_a_bad_collection_name_is_refused(db: LedgerDatabase, bad: str) -> None:
    with pytest.raises(BadRequest, match="cannot be a collection's name"):
        opened(db, replace(spec(), collection=bad))


@pytest.mark.parametrize(
    "change", [{"tenant": ""}, {"retention_days": -1}, {"uri": "file:///\0"}, {"access_groups": ("",)}]
)
def test_a_bad_source_is_refused(db: LedgerDatabase, change: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        opened(db, replace(spec(), **change))  # type: ignore[arg-type]


def test_a_run_is_started_once(db: LedgerDatabase) -> None:
    source = opened(db)
    run_id = uuid4()
    run = db.ledger.runs.start(source, "full", run_id, "tests")
    assert db.ledger.runs.start(source, "full", run_id, "tests") == run
    assert db.ledger.runs.get(run_id) == run
    assert run.source == source and run.mode == "full"


def test_a_run_belongs_to_one_source(db: LedgerDatabase) -> None:
    run = started(db, opened(db))
    with pytest.raises(Terminal, match="belongs to"):
        db.ledger.runs.start(opened(db), "full", run.run_id)


def test_an_unknown_run_is_not_found(db: LedgerDatabase) -> None:
    with pytest.raises(NotFound):
        db.ledger.runs.get(uuid4())


# --- scans


def test_a_scan_gives_new_entries_ids_that_stay(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    listed = [ListingEntry(f"d{i}", f"file:///d{i}", "1", 5, offset=i) for i in range(20)]
    result = db.ledger.scans.record(run, iter(listed))
    assert (result.seen, result.unchanged, result.quarantined, result.vanished) == (20, 0, 0, [])
    assert [item.entry for item in result.items] == listed
    assert all(item.new and item.active_hash is None for item in result.items)
    assert len({item.document_id for item in result.items}) == 20
    assert db.ledger.scans.record(started(db, source), listed).items == result.items


def test_an_unchanged_document_is_not_an_item(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    a, b = scanned(db, run, entry("a"), entry("b"))
    loaded(db, run, a, "one")
    loaded(db, run, b, "two")
    result = db.ledger.scans.record(started(db, source), [entry("a"), entry("b", "2")])
    assert (result.seen, result.unchanged) == (2, 1)
    (item,) = result.items
    assert item.document_id == b.document_id and not item.new
    assert item.active_hash == version(run, b, "two").raw_hash


def test_a_full_scan_takes_nothing_for_unchanged(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    a, b = scanned(db, run, entry("a"), entry("b"))
    loaded(db, run, a, "one")
    db.ledger.quarantine.add(run, [failure(b)])
    result = db.ledger.scans.record(started(db, source, "full"), [entry("a"), entry("b")])
    assert (result.unchanged, result.quarantined, len(result.items)) == (0, 0, 2)
    assert [item.new for item in result.items] == [False, True]


def test_a_scan_tells_what_vanished(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    a, b, c = scanned(db, run, entry("a"), entry("b"), entry("c"))
    loaded(db, run, a, "one")
    loaded(db, run, b, "two")
    result = db.ledger.scans.record(started(db, source), [entry("b")])
    assert sorted(result.vanished) == sorted([a.document_id, c.document_id])
    assert shown(db, source, a, "one"), "a scan alone removes nothing"
    assert db.ledger.scans.record(started(db, source), []).seen == 0


def test_what_a_container_held_is_not_gone_while_it_cannot_be_opened(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    names = ("x.zip!/a", "x.zip!/b!/c", "w!/y.zip!/d", "x.zip2!/d", "y.zip!/e", "x.zi", "x.zip!/left out")
    items = scanned(db, run, *map(entry, names))
    for item in items:
        loaded(db, run, item, item.entry.external_id)
    others = [item.document_id for item in items[3:]]
    broken = [replace(entry(name), holds=lambda name: name != "x.zip!/left out") for name in ("x.zip", "w!/y.zip")]
    result = db.ledger.scans.record(started(db, source), broken)
    assert sorted(result.vanished) == sorted(others) and result.seen == 2
    assert result.known == len(others), "what they hold is no part of what might be missing"
    result = db.ledger.scans.record(started(db, source), [entry("x.zip"), entry("w!/y.zip")])
    assert sorted(result.vanished) == sorted(item.document_id for item in items)


def test_an_entry_listed_twice_is_named_and_nothing_is_kept(db: LedgerDatabase) -> None:
    source = opened(db)
    with pytest.raises(Terminal, match="'twice'"):
        db.ledger.scans.record(started(db, source), [entry("once"), entry("twice"), entry("twice", "2")])
    assert db.catalog.documents(reader(source), source.spec.collection, 10) == []


def test_a_scan_that_breaks_off_changes_nothing(db: LedgerDatabase) -> None:
    def broken() -> Iterator[ListingEntry]:
        for i in range(6000):
            yield entry(f"d{i}")
        raise OSError("the share is gone")

    source = opened(db)
    with pytest.raises(OSError, match="share is gone"):
        db.ledger.scans.record(started(db, source), broken())
    assert db.catalog.documents(reader(source), source.spec.collection, 10) == []
    assert len(scanned(db, started(db, source), entry("d1"))) == 1


@pytest.mark.parametrize("bad", ["", "nul\0", "lone\udcff"])
def test_an_entry_that_cannot_be_stored_is_named(db: LedgerDatabase, bad: str) -> None:
    with pytest.raises(Terminal, match="external id"):
        db.ledger.scans.record(started(db, opened(db)), [entry(bad)])


def test_a_scan_learns_new_uris(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    loaded(db, run, item, "one")
    before = db.epoch(source.generation.collection_id)
    moved = replace(entry("a"), uri="file:///elsewhere/a")
    assert db.ledger.scans.record(started(db, source), [moved]).unchanged == 1
    assert db.catalog.document(reader(source), item.document_id).uri == moved.uri
    assert db.epoch(source.generation.collection_id) != before


def test_odd_names_come_back_as_they_were(db: LedgerDatabase) -> None:
    names = ["tab\there", "new\nline", "back\\slash", "quote'\"", "\\N", "emoji 🦀", "e\u0301", "é", "%s", "{}"]
    items = scanned(db, started(db, opened(db)), *(entry(each) for each in names))
    assert [item.entry.external_id for item in items] == names


# --- quarantine and touch


def test_a_quarantined_document_waits_until_it_changes(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    db.ledger.quarantine.add(run, [failure(item)])
    db.ledger.quarantine.add(run, [failure(item)])
    result = db.ledger.scans.record(started(db, source), [entry("a")])
    assert (result.unchanged, result.quarantined, result.items) == (0, 1, [])
    assert db.ledger.runs.counts(run) == Counts(0, 0, 1)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a", "2"))
    assert item.new, "it was never active"
    loaded(db, run, item, "one")
    assert db.ledger.runs.counts(run) == Counts(1, 1, 0)
    assert db.ledger.scans.record(started(db, source), [entry("a", "2")]).unchanged == 1


def test_a_later_failure_replaces_the_earlier(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    db.ledger.quarantine.add(run, [failure(item, "first")])
    db.ledger.quarantine.add(run, [failure(item, "first"), failure(item, "last \0 \udcff")])
    assert db.ledger.collections.counts(source.generation).quarantined == 1
    assert db.catalog.document(reader(source), item.document_id).quarantine == "last  �"


def test_a_failing_edit_leaves_the_active_version_served(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    loaded(db, run, item, "one")
    later = started(db, source)
    (edited,) = scanned(db, later, entry("a", "2"))
    db.ledger.quarantine.add(later, [failure(edited)])
    assert len(shown(db, source, item, "one")) == 1
    assert db.ledger.collections.counts(source.generation) == Counts(1, 1, 1)


def test_touching_remembers_the_fingerprint(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    loaded(db, run, item, "one")
    later = started(db, source)
    (again,) = scanned(db, later, entry("a", "2"))
    db.ledger.versions.touch(later, [again])
    db.ledger.versions.touch(later, [again])
    assert db.ledger.scans.record(started(db, source), [entry("a", "2")]).unchanged == 1


def test_going_back_to_what_is_served_ends_a_quarantine(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    loaded(db, run, item, "one")
    second, third = started(db, source), started(db, source)
    (broken,) = scanned(db, second, entry("a", "2"))
    db.ledger.quarantine.add(second, [failure(broken)])
    (back,) = scanned(db, third, entry("a", "1"))
    assert back.active_hash == version(run, item, "one").raw_hash
    db.ledger.versions.touch(third, [back])
    assert db.ledger.collections.counts(source.generation) == Counts(1, 1, 0)
