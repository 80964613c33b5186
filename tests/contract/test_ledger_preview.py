"""What a run would find, before anything is written."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from sluice.errors import Terminal
from sluice.model.retention import Retention, RetentionScope
from sluice.model.scan import ListingEntry, ScanPreview, WorkItem
from sluice.model.source import Source
from support.ledger_rows import Room, entry, failure, loaded, opened, scanned, started


def served(room: Room, source: Source, *names: str) -> list[WorkItem]:
    run = started(room, source)
    items = scanned(room, run, *(entry(name) for name in names))
    for item in items:
        loaded(room, run, item, f"words of {item.entry.external_id}")
    room.ledger.runs.finish(run, "succeeded", {})
    return items


def preview(room: Room, source: Source | None, *entries: ListingEntry) -> ScanPreview:
    return room.ledger.scans.preview(source, list(entries))


def test_of_a_source_that_is_not_saved_all_is_new(room: Room) -> None:
    found = preview(room, None, entry("a"), replace(entry("b"), size_bytes=5))
    assert (found.documents, found.size_bytes) == ({"new": 2}, {"new": 15})
    assert (found.seen, found.vanished, found.known) == (2, 0, 0)
    assert preview(room, None).documents == {}


def test_each_kind_of_document_is_counted_with_its_bytes(room: Room) -> None:
    source = opened(room)
    kept, edited, left = served(room, source, "kept", "edited", "left")
    run = started(room, source)
    listed = [entry("kept"), entry("edited"), entry("left"), entry("refused"), entry("again")]
    refused, again = scanned(room, run, *listed)
    room.ledger.quarantine.add(run, [failure(refused), replace(failure(again), retry=True)])
    room.ledger.runs.finish(run, "succeeded", {})
    found = preview(
        room,
        source,
        replace(entry("kept"), uri="file:///elsewhere"),
        replace(entry("edited", "2"), size_bytes=700),
        entry("refused"),
        entry("again"),
        entry("added"),
    )
    assert found.documents == {"unchanged": 1, "changed": 1, "quarantined": 1, "new": 2}
    assert found.size_bytes == {"unchanged": 10, "changed": 700, "quarantined": 10, "new": 20}
    assert (found.seen, found.vanished, found.known) == (5, 1, 5)
    assert {kept.document_id, edited.document_id, left.document_id}, "they had ids before"


def test_a_rename_counts_where_the_source_says_so(room: Room) -> None:
    source = opened(room)
    served(room, source, "a", "b", "c")
    found = preview(
        room,
        source,
        replace(entry("a2"), previous_name="a"),
        replace(entry("b2"), previous_name="b"),
        entry("b"),  # it is there still
        replace(entry("x"), previous_name="never"),
        entry("d"),  # perhaps c under another name: nobody knows before it is read
    )
    assert found.documents == {"moved": 1, "new": 3, "unchanged": 1}
    assert (found.vanished, found.known) == (1, 3)


def test_what_was_purged_stays_gone_until_it_changes(room: Room) -> None:
    source = opened(room)
    (item,) = served(room, source, "a")
    scope = RetentionScope(source.spec.collection, source.spec.tenant, source.spec.uri)
    room.ledger.retention.assign(scope, Retention(until=datetime.now(UTC) - timedelta(hours=1)))
    run = room.ledger.runs.start(source, "purge", uuid4(), "tests")
    assert room.ledger.retention.purge(run, [item.document_id], room.ledger.retention.clock()) == [item.document_id]
    room.ledger.runs.finish(run, "succeeded", {})
    assert preview(room, source, entry("a")).documents == {"gone": 1}
    assert preview(room, source, entry("a", "2")).documents == {"changed": 1}


def test_what_a_container_holds_that_cannot_be_opened_has_not_vanished(room: Room) -> None:
    source = opened(room)
    served(room, source, "kept.zip!/a", "b")
    found = preview(room, source, replace(entry("kept.zip"), holds=lambda name: True))
    assert (found.documents, found.vanished, found.known) == ({"new": 1}, 1, 1)


def test_it_says_what_the_scan_then_finds_and_leaves_no_trace(room: Room) -> None:
    source = opened(room)
    served(room, source, "a", "b", "c")
    entries = [entry("a"), entry("b", "2"), entry("new")]
    epoch = room.epoch(source.generation.collection_id)
    found = preview(room, source, *entries)
    assert preview(room, source, *entries) == found, "the first one wrote nothing"
    assert room.epoch(source.generation.collection_id) == epoch
    result = room.ledger.scans.record(started(room, source), entries)
    assert (found.seen, found.known, found.vanished) == (result.seen, result.known, len(result.vanished))
    assert found.documents == {"unchanged": result.unchanged, "changed": 1, "new": 1}
    assert len(result.items) == 2


def test_it_waits_for_no_run_that_is_at_work(room: Room) -> None:
    source = opened(room)
    run = started(room, source)
    room.ledger.runs.claim(run, 60)
    with room.ledger.runs.fenced(run):
        assert preview(room, source, entry("a")).documents == {"new": 1}


def test_a_listing_that_cannot_be_compared_is_refused(room: Room) -> None:
    source = opened(room)
    with pytest.raises(Terminal, match="'a' more than once"):
        preview(room, source, entry("a"), entry("b"), entry("a"))
    with pytest.raises(Terminal, match="fingerprint"):
        preview(room, None, entry("a", ""))
