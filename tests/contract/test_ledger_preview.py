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
from support.ledger_rows import LedgerDatabase, entry, failure, loaded, opened, scanned, started


def served(db: LedgerDatabase, source: Source, *names: str) -> list[WorkItem]:
    run = started(db, source)
    items = scanned(db, run, *(entry(name) for name in names))
    for item in items:
        loaded(db, run, item, f"words of {item.entry.external_id}")
    db.ledger.runs.finish(run, "succeeded", {})
    return items


def preview(db: LedgerDatabase, source: Source | None, *entries: ListingEntry) -> ScanPreview:
    return db.ledger.scans.preview(source, list(entries))


def test_of_a_source_that_is_not_saved_all_is_new(db: LedgerDatabase) -> None:
    outcome = preview(db, None, entry("a"), replace(entry("b"), size_bytes=5))
    assert (outcome.documents, outcome.size_bytes) == ({"new": 2}, {"new": 15})
    assert (outcome.seen, outcome.vanished, outcome.known) == (2, 0, 0)
    assert preview(db, None).documents == {}


def test_each_kind_of_document_is_counted_with_its_bytes(db: LedgerDatabase) -> None:
    source = opened(db)
    stored, edited, left = served(db, source, "kept", "edited", "left")
    run = started(db, source)
    listed = [entry("kept"), entry("edited"), entry("left"), entry("refused"), entry("again")]
    refused, again = scanned(db, run, *listed)
    db.ledger.quarantine.add(run, [failure(refused), replace(failure(again), retry=True)])
    db.ledger.runs.finish(run, "succeeded", {})
    outcome = preview(
        db,
        source,
        replace(entry("kept"), uri="file:///elsewhere"),
        replace(entry("edited", "2"), size_bytes=700),
        entry("refused"),
        entry("again"),
        entry("added"),
    )
    assert outcome.documents == {"unchanged": 1, "changed": 1, "quarantined": 1, "new": 2}
    assert outcome.size_bytes == {"unchanged": 10, "changed": 700, "quarantined": 10, "new": 20}
    assert (outcome.seen, outcome.vanished, outcome.known) == (5, 1, 5)
    assert {stored.document_id, edited.document_id, left.document_id}, "they had ids before"


def test_a_rename_counts_where_the_source_says_so(db: LedgerDatabase) -> None:
    source = opened(db)
    served(db, source, "a", "b", "c")
    outcome = preview(
        db,
        source,
        replace(entry("a2"), previous_name="a"),
        replace(entry("b2"), previous_name="b"),
        entry("b"),  # it is there still
        replace(entry("x"), previous_name="never"),
        entry("d"),  # perhaps c under another name: nobody knows before it is read
    )
    assert outcome.documents == {"moved": 1, "new": 3, "unchanged": 1}
    assert (outcome.vanished, outcome.known) == (1, 3)


def test_what_was_purged_stays_gone_until_it_changes(db: LedgerDatabase) -> None:
    source = opened(db)
    (item,) = served(db, source, "a")
    scope = RetentionScope(source.spec.collection, source.spec.tenant, source.spec.uri)
    db.ledger.retention.assign(scope, Retention(until=datetime.now(UTC) - timedelta(hours=1)))
    run = db.ledger.runs.start(source, "purge", uuid4(), "tests")
    assert db.ledger.retention.purge(run, [item.document_id], db.ledger.retention.clock()) == [item.document_id]
    db.ledger.runs.finish(run, "succeeded", {})
    assert preview(db, source, entry("a")).documents == {"gone": 1}
    assert preview(db, source, entry("a", "2")).documents == {"changed": 1}


def test_what_a_container_holds_that_cannot_be_opened_has_not_vanished(db: LedgerDatabase) -> None:
    source = opened(db)
    served(db, source, "kept.zip!/a", "b")
    outcome = preview(db, source, replace(entry("kept.zip"), holds=lambda name: True))
    assert (outcome.documents, outcome.vanished, outcome.known) == ({"new": 1}, 1, 1)


def test_it_says_what_the_scan_then_finds_and_leaves_no_trace(db: LedgerDatabase) -> None:
    source = opened(db)
    served(db, source, "a", "b", "c")
    entries = [entry("a"), entry("b", "2"), entry("new")]
    epoch = db.epoch(source.generation.collection_id)
    outcome = preview(db, source, *entries)
    assert preview(db, source, *entries) == outcome, "the first one wrote nothing"
    assert db.epoch(source.generation.collection_id) == epoch
    result = db.ledger.scans.record(started(db, source), entries)
    assert (outcome.seen, outcome.known, outcome.vanished) == (result.seen, result.known, len(result.vanished))
    assert outcome.documents == {"unchanged": result.unchanged, "changed": 1, "new": 1}
    assert len(result.items) == 2


def test_it_waits_for_no_run_that_is_at_work(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    db.ledger.runs.claim(run, 60)
    with db.ledger.runs.fenced(run):
        assert preview(db, source, entry("a")).documents == {"new": 1}


def test_a_listing_that_cannot_be_compared_is_refused(db: LedgerDatabase) -> None:
    source = opened(db)
    with pytest.raises(Terminal, match="'a' more than once"):
        preview(db, source, entry("a"), entry("b"), entry("a"))
    with pytest.raises(Terminal, match="fingerprint"):
        preview(db, None, entry("a", ""))
