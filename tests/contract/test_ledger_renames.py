"""One run at a time, and documents that change their name, in the ledger."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from queue import Queue
from typing import cast, get_type_hints
from uuid import uuid4

import numpy as np
import pytest

from sluice.errors import Busy, LostLease, Terminal
from sluice.model.costs import Spent
from sluice.model.gates import Signature
from sluice.model.run import Run, StageStat
from sluice.model.scan import ListingEntry, ScanResult, WorkItem
from sluice.model.source import Source, SourceSpec
from sluice.pipeline.recording import Recorder
from sluice.ports.ledger import Ledger
from sluice.ports.runs import Runs
from support.ledger_rows import (
    LedgerDatabase,
    entry,
    failure,
    held,
    loaded,
    opened,
    reader,
    scanned,
    shown,
    spec,
    started,
    version,
)

# --- claims


def test_one_run_at_a_time_works_on_a_source(db: LedgerDatabase) -> None:
    source = opened(db)
    first, second, elsewhere = started(db, source), started(db, source), started(db, opened(db))
    db.ledger.runs.claim(first, 60)
    db.ledger.runs.claim(first, 60)
    db.ledger.runs.claim(elsewhere, 60)
    with pytest.raises(Busy, match="tests, started"):
        db.ledger.runs.claim(second, 60)
    db.ledger.runs.finish(first, "succeeded", {})
    db.ledger.runs.claim(second, 60)


def test_a_renewal_prolongs_the_lease_of_its_own_run(db: LedgerDatabase) -> None:
    source = opened(db)
    run, other = started(db, source), started(db, source)
    assert not db.ledger.runs.renew(run, 60)  # nothing is claimed
    db.ledger.runs.claim(run, 60)
    db.expire_lease(run)
    assert db.ledger.runs.renew(run, 60)
    with pytest.raises(Busy):
        db.ledger.runs.claim(other, 60)


def test_a_renewal_neither_opens_a_closed_run_nor_takes_its_source_back(db: LedgerDatabase) -> None:
    source = opened(db)
    closed, slow, heir = started(db, source), started(db, source), started(db, source)
    db.ledger.runs.claim(closed, 60)
    db.ledger.runs.close(closed, {"error": "its task was killed"})
    assert not db.ledger.runs.renew(closed, 60)

    db.ledger.runs.claim(slow, 60)
    db.expire_lease(slow)
    db.ledger.runs.claim(heir, 60)
    db.expire_lease(heir)
    assert not db.ledger.runs.renew(slow, 60)  # although the heir's lease has lapsed, too
    db.ledger.runs.finish(heir, "failed", {})
    assert not db.ledger.runs.renew(slow, 60)
    assert not db.ledger.runs.others_running(heir)


class Renewals:
    """Runs that grant leases of a minute, however short those are that a stage requests, and counts renewals: a
    test neither waits for a lease to expire nor loses one on a busy machine."""

    def __init__(self, runs: Runs) -> None:
        self._runs, self.fenced = runs, runs.fenced
        self._ended: Queue[bool] = Queue()

    def claim(self, run: Run, lease_s: float) -> None:
        self._runs.claim(run, 60)

    def renew(self, run: Run, lease_s: float) -> bool:
        renewed = self._runs.renew(run, 60)
        self._ended.put(renewed)
        return renewed

    def wait_for_the_next(self) -> None:
        """Waits for a renewal that begins after this call: the first to end may have begun before it."""
        while not self._ended.empty():
            self._ended.get()
        assert self._ended.get(timeout=10) and self._ended.get(timeout=10)


def wait_until_renewals_end(run: Run) -> None:
    for thread in threading.enumerate():
        if thread.name == f"lease-{run.run_id}":
            thread.join(10)
            assert not thread.is_alive()


def test_a_run_that_is_closed_while_a_stage_works_stays_closed(db: LedgerDatabase) -> None:
    runs = Renewals(db.ledger.runs)
    recorder = Recorder(cast(Runs, runs), lease_s=0.03)
    source = opened(db)
    run, other = started(db, source), started(db, source)
    with pytest.raises(LostLease), recorder.leased(run):  # noqa: PT012 - told when the block ends
        db.expire_lease(run)
        runs.wait_for_the_next()
        with pytest.raises(Busy):
            db.ledger.runs.claim(other, 60)
        db.ledger.runs.close(run, {"error": "given up"})
        wait_until_renewals_end(run)
        assert not db.ledger.runs.others_running(other)


def test_a_run_whose_lease_lapsed_is_taken_over_and_kept_out_of_every_write(db: LedgerDatabase) -> None:
    source = opened(db)
    dead = started(db, source)
    (item,) = scanned(db, dead, entry("a"))
    db.ledger.runs.claim(dead, 60)
    db.ledger.versions.stage(dead, [version(dead, item, "one")])
    db.expire_lease(dead)
    heir = started(db, source)
    db.ledger.runs.claim(heir, 60)
    ids = [item.document_id]
    writes: dict[str, Callable[[], object]] = {
        "scans.record": lambda: db.ledger.scans.record(dead, [entry("a"), entry("b")]),
        "scans.record_cursor": lambda: db.ledger.scans.record_cursor(dead, "state"),
        "renames.match_same_content": lambda: db.ledger.renames.match_same_content(dead, {item.document_id: b"h"}),
        "renames.match_similar": lambda: db.ledger.renames.match_similar(dead, {item.document_id: {}}),
        "versions.touch": lambda: db.ledger.versions.touch(dead, [item]),
        "quarantine.add": lambda: db.ledger.quarantine.add(dead, [failure(item)]),
        "versions.stage": lambda: db.ledger.versions.stage(dead, [version(dead, item, "one")]),
        "versions.activate": lambda: db.ledger.versions.activate(dead, ids),
        "versions.remove": lambda: db.ledger.versions.remove(dead, ids),
        "versions.drop_abandoned": lambda: db.ledger.versions.drop_abandoned(dead),
        "deletions.delete": lambda: db.ledger.deletions.delete(dead, ids, still_listed=True),
        "sources.remove": lambda: db.ledger.sources.remove(dead),
        "runs.fenced": lambda: db.ledger.runs.fenced(dead).__enter__(),
        "retention.purge": lambda: db.ledger.retention.purge(dead, ids, db.ledger.retention.clock()),
        "quality.record_gates": lambda: db.ledger.quality.record_gates(dead, 0, "validate", []),
        "quality.remember": lambda: db.ledger.quality.remember(
            dead, [Signature(item.document_id, np.ones(1, np.uint32), (2,))]
        ),
        "runs.record_stage": lambda: db.ledger.runs.record_stage(dead, StageStat(0, "extract", 1.0, {})),
        "costs.reserve": lambda: db.ledger.costs.reserve(dead, 0, 10),
        "costs.record_exceeded": lambda: db.ledger.costs.record_exceeded(dead, "budget"),
        "runs.finish": lambda: db.ledger.runs.finish(dead, "succeeded", {}),
    }
    for name, write in writes.items():
        with pytest.raises(Terminal, match="took over"):  # noqa: PT012 - says which one is not fenced
            write()
            raise AssertionError(f"{name} is not fenced")
    assert writes.keys() | _OF_ITSELF == _writes_of_a_run()
    db.ledger.costs.settle(dead, 0, Spent(1, 10, 0.1))  # what is paid is paid
    assert (db.ledger.costs.spent(dead).tokens, db.ledger.runs.stages(dead)) == (10, [])
    assert shown(db, source, item, "one") == []
    assert "b" not in [each.external_id for each in db.catalog.documents(reader(source), source.spec.collection, 9)]
    loaded(db, heir, item, "two")
    assert len(shown(db, source, item, "two")) == 1


def test_a_listing_older_than_that_of_another_run_changes_nothing(db: LedgerDatabase) -> None:
    """A run that was suspended while it listed must not delete what was added since."""
    source = opened(db)
    suspended = started(db, source)

    def listing() -> Iterator[ListingEntry]:
        yield entry("a")
        other = started(db, source)
        for item in scanned(db, other, entry("a"), entry("b")):
            loaded(db, other, item, item.entry.external_id)
        db.ledger.runs.finish(other, "succeeded", {})

    with pytest.raises(Terminal, match="took over"):
        db.ledger.scans.record(suspended, listing())
    assert db.ledger.renames.vanished(suspended) == []
    listed = db.catalog.documents(reader(source), source.spec.collection, 9)
    assert sorted(each.external_id for each in listed) == ["a", "b"]


# What a run says of itself, and how it comes by its source.
_OF_ITSELF = {"costs.settle", "runs.record_error", "runs.close", "runs.claim", "runs.renew"}
_READ = {
    "renames.missed",
    "renames.matched",
    "renames.vanished",
    "quarantine.items",
    "versions.deleted_by",
    "runs.others_running",
    "quality.gates",
    "quality.similar",
}
_READ |= {
    "costs.spent",
    "costs.exceeded",
    "quotas.beyond",
    "runs.stages",
    "runs.counts",
    "quarantine.reasons",
    "versions.superseded",
}


def _writes_of_a_run() -> set[str]:
    """Methods of the ledger whose first argument is a run, without those that only read."""
    outcome = set()
    for role, protocol in get_type_hints(Ledger).items():
        for name, method in vars(protocol).items():
            if not name.startswith("_") and list(inspect.signature(method).parameters)[1:2] == ["run"]:
                outcome.add(f"{role}.{name}")
    return outcome - _READ


def test_a_run_whose_process_has_ended_is_taken_over_at_once(db: LedgerDatabase) -> None:
    source = opened(db)
    first, second, third = (started(db, source) for _ in range(3))
    with db.ledger.runs.session(first.run_id):
        db.ledger.runs.claim(first, 3600)
        with pytest.raises(Busy):
            db.ledger.runs.claim(second, 3600)
        db.ledger.runs.claim(first, 3600)
    db.ledger.runs.claim(second, 3600)
    with pytest.raises(Busy):  # of the second nothing but its lease is known
        db.ledger.runs.claim(third, 3600)
    with pytest.raises(Terminal, match="took over"):
        db.ledger.costs.record_exceeded(first, "budget")


def test_a_session_says_nothing_of_other_runs(db: LedgerDatabase) -> None:
    source = opened(db)
    first, second = started(db, source), started(db, source)
    db.ledger.runs.claim(first, 3600)
    with db.ledger.runs.session(second.run_id), pytest.raises(Busy):
        db.ledger.runs.claim(second, 3600)
    with db.ledger.runs.session(second.run_id), pytest.raises(Busy):
        db.ledger.runs.claim(second, 3600)


def test_a_late_end_does_not_free_what_another_run_holds(db: LedgerDatabase) -> None:
    source = opened(db)
    dead, heir, third = started(db, source), started(db, source), started(db, source)
    db.ledger.runs.claim(dead, 60)
    db.expire_lease(dead)
    db.ledger.runs.claim(heir, 60)
    db.ledger.runs.finish(dead, "failed", {})
    with pytest.raises(Busy):
        db.ledger.runs.claim(third, 60)


def test_a_killed_run_does_not_count_as_running_once_another_has_taken_over(db: LedgerDatabase) -> None:
    source = opened(db)
    killed, killed_before_its_claim, heir = (started(db, source) for _ in range(3))
    elsewhere = held(db, opened(db))
    db.ledger.runs.claim(killed, 60)
    (item,) = scanned(db, killed, entry("a"))
    db.ledger.versions.stage(killed, [version(killed, item, "one")])
    db.expire_lease(killed)
    db.ledger.runs.claim(heir, 60)
    assert not db.ledger.runs.others_running(heir)
    assert db.ledger.runs.others_running(started(db, elsewhere.source))
    assert db.ledger.versions.drop_abandoned(heir) == 1
    db.ledger.runs.finish(heir, "succeeded", {})

    third = started(db, source)
    db.ledger.runs.claim(killed_before_its_claim, 60)  # it was only slow
    assert db.ledger.runs.others_running(third)
    with pytest.raises(Busy):
        db.ledger.runs.claim(third, 60)


# --- renames


def served(db: LedgerDatabase, source: Source, **texts: str) -> dict[str, WorkItem]:
    run = started(db, source)
    items = {item.entry.external_id: item for item in scanned(db, run, *(entry(name) for name in texts))}
    for name, item in items.items():
        loaded(db, run, item, *texts[name].split())
    db.ledger.runs.finish(run, "succeeded", {})
    return items


def hash_of(run: Run, item: WorkItem, *words: str) -> bytes:
    return version(run, item, *words).raw_hash


def test_the_same_content_under_another_name_is_the_same_document(db: LedgerDatabase) -> None:
    source = opened(db)
    old = served(db, source, **{"a/x": "one two", "b": "three"})
    run = started(db, source)
    new, fresh = scanned(db, run, entry("c/x"), entry("fresh"), entry("b"))
    hashes = {new.document_id: hash_of(run, new, "one", "two"), fresh.document_id: hash_of(run, fresh, "other")}
    outcome = db.ledger.renames.match_same_content(run, hashes)
    assert outcome == {new.document_id: old["a/x"].document_id}
    assert db.ledger.renames.match_same_content(run, hashes) == outcome, "a second try finds what the first one did"
    assert db.ledger.renames.matched(run) == {old["a/x"].document_id}
    info = db.catalog.document(reader(source), old["a/x"].document_id)
    assert (info.external_id, info.uri, info.version) == ("c/x", "file:///c/x", 1)

    moved = replace(new, document_id=old["a/x"].document_id)
    loaded(db, run, moved, "one", "two")
    db.ledger.runs.finish(run, "succeeded", {})
    after = db.ledger.scans.record(started(db, source), [entry("c/x"), entry("fresh"), entry("b")])
    assert (after.unchanged, after.vanished) == (2, [])

    later = db.ledger.retention.clock() + timedelta(seconds=1)
    assert new.document_id in db.ledger.pruning.keyed(later, 100_000), (
        "nobody needs the key of the name's own id any more"
    )
    assert new.document_id not in db.ledger.pruning.keyed(later - timedelta(days=1), 100_000)
    db.ledger.pruning.key_destroyed([new.document_id])
    assert new.document_id not in db.ledger.pruning.keyed(later, 100_000)


def test_until_it_is_loaded_a_moved_document_counts_as_changed(db: LedgerDatabase) -> None:
    source = opened(db)
    old = served(db, source, a="one", b="two")
    crashed = started(db, source)
    (new,) = scanned(db, crashed, entry("c"), entry("b"))
    db.ledger.renames.match_same_content(crashed, {new.document_id: hash_of(crashed, new, "one")})
    (item,) = scanned(db, started(db, source), entry("c"), entry("b"))
    assert (item.document_id, item.new, item.active_hash) == (old["a"].document_id, False, None)


def test_an_older_run_finds_no_moves_that_a_later_scan_may_have_undone(db: LedgerDatabase) -> None:
    source = opened(db)
    first = started(db, source)
    (item,) = scanned(db, first, entry("old"))
    loaded(db, first, item, "one")
    older, newer = started(db, source), started(db, source)
    (placeholder,) = scanned(db, older, entry("new"))
    db.ledger.scans.record(newer, [entry("old")])
    same = {placeholder.document_id: version(first, item, "one").raw_hash}
    assert db.ledger.renames.match_same_content(older, same) == {}
    assert db.ledger.renames.match_similar(older, {placeholder.document_id: {item.document_id: 0.9}}) == {}
    assert db.catalog.document(reader(source), item.document_id).external_id == "old"


def test_likeness_tells_a_move_with_an_edit(db: LedgerDatabase) -> None:
    source = opened(db)
    old = served(db, source, a="one two three", b="four five six")
    run = started(db, source)
    new, other = scanned(db, run, entry("c"), entry("d"))
    a, b = old["a"].document_id, old["b"].document_id
    missed = db.ledger.renames.missed(run, 10)
    assert [document_id for document_id, _ in missed] == sorted([a, b])
    assert all(len(sealed) == 40 for _, sealed in missed)
    assert len(db.ledger.renames.missed(run, 1)) == 1
    outcome = {new.document_id: a, other.document_id: b}
    assert (
        db.ledger.renames.match_similar(run, {new.document_id: {a: 0.9, b: 0.8}, other.document_id: {a: 0.85, b: 0.6}})
        == outcome
    )
    assert db.ledger.renames.match_similar(run, {new.document_id: {}, other.document_id: {}}) == outcome
    assert db.ledger.renames.matched(run) == {a, b}
    assert db.ledger.renames.missed(run, 10) == []


def test_each_document_is_taken_over_once(db: LedgerDatabase) -> None:
    source = opened(db)
    old = served(db, source, **{"v/a": "one", "v/b": "one"})
    run = started(db, source)
    items = scanned(db, run, entry("w/a"), entry("w/b"), entry("w/c"))
    outcome = db.ledger.renames.match_same_content(run, {each.document_id: hash_of(run, each, "one") for each in items})
    a, b, _ = items
    assert outcome == {a.document_id: old["v/a"].document_id, b.document_id: old["v/b"].document_id}


def test_what_is_still_there_or_never_served_is_no_former_name(db: LedgerDatabase) -> None:
    source = opened(db)
    served(db, source, kept="one")
    run = started(db, source)
    (refused,) = scanned(db, run, entry("refused"), entry("kept"))
    db.ledger.quarantine.add(run, [failure(refused)])
    again = started(db, source)
    (copy,) = scanned(db, again, entry("copy"), entry("kept"))
    assert db.ledger.renames.match_same_content(again, {copy.document_id: hash_of(again, copy, "one")}) == {}


def test_a_source_that_says_renamed_is_believed_unless_the_old_name_is_there(db: LedgerDatabase) -> None:
    source = opened(db)
    old = served(db, source, a="one", b="two", c="three")
    run = started(db, source)
    listed = [replace(entry("x"), previous_name="a"), replace(entry("y"), previous_name="b"), entry("b"), entry("c")]
    result = db.ledger.scans.record(run, listed)
    x, y = result.items
    assert (x.document_id, x.new, x.renamed, x.active_hash) == (old["a"].document_id, False, True, None)
    assert (y.new, y.renamed) == (True, False)
    assert (result.vanished, result.known) == ([], 3)
    assert db.ledger.renames.matched(run) == {old["a"].document_id}


# --- what a scan missed, and a run that is resumed


def test_a_run_that_failed_still_knows_what_its_scan_missed(db: LedgerDatabase) -> None:
    """Its tasks may be cleared: a rename stays a rename, and what was purged does not come back under a new name."""
    source = opened(db)
    old = served(db, source, a="one", b="two", kept="three")
    db.expire(old["b"].document_id)
    assert db.ledger.retention.purge(started(db, source, "purge"), [old["b"].document_id], db.ledger.retention.clock())
    run = started(db, source)
    db.ledger.runs.claim(run, 60)
    new, back = scanned(db, run, entry("c"), entry("d"), entry("kept"))
    missed = sorted([old["a"].document_id, old["b"].document_id])
    assert db.ledger.renames.vanished(run) == missed
    db.ledger.runs.finish(run, "failed", {})
    assert db.ledger.renames.vanished(run) == missed

    beside = db.ledger.runs.start(source, "replay", uuid4(), "tests")
    db.ledger.runs.claim(beside, 60)  # no scan of its own
    db.ledger.runs.finish(beside, "succeeded", {})

    db.ledger.runs.claim(run, 60)
    hashes = {new.document_id: hash_of(run, new, "one"), back.document_id: hash_of(run, back, "two")}
    outcome = {new.document_id: old["a"].document_id, back.document_id: old["b"].document_id}
    assert db.ledger.renames.match_same_content(run, hashes) == outcome
    assert db.ledger.renames.vanished(run) == []


def test_a_run_that_was_taken_over_still_knows_what_its_scan_missed(db: LedgerDatabase) -> None:
    source = opened(db)
    old = served(db, source, a="one", b="two")
    slow = started(db, source)
    db.ledger.runs.claim(slow, 60)
    scanned(db, slow, entry("b"))
    db.expire_lease(slow)
    heir = started(db, source)
    db.ledger.runs.claim(heir, 60)
    assert db.ledger.renames.vanished(slow) == [old["a"].document_id]
    scanned(db, heir, entry("a"), entry("b"))
    assert db.ledger.renames.vanished(slow) == [], "a later scan knows better"


def test_what_a_scan_missed_is_forgotten_when_the_run_succeeds(db: LedgerDatabase) -> None:
    source = opened(db)
    old = served(db, source, a="one", b="two")
    run = started(db, source)
    scanned(db, run, entry("b"))
    assert db.ledger.renames.vanished(run) == [old["a"].document_id]
    db.ledger.versions.remove(run, db.ledger.renames.vanished(run))
    assert db.ledger.renames.vanished(run) == [], "what is removed is not removed again"
    db.ledger.runs.finish(run, "succeeded", {})
    assert db.ledger.renames.vanished(run) == []


# --- settings and refusals


def test_what_a_run_sets_is_written_with_its_scan(db: LedgerDatabase) -> None:
    source = opened(db, spec(access_groups=("staff",), include=("*.md",)))
    run = held(db, source)
    wanted = replace(source.spec, access_groups=("board",), retention_days=3, include=None)
    before = db.epoch(source.generation.collection_id)
    (item,) = db.ledger.scans.record(run, [entry("a")], wanted).items
    assert db.ledger.runs.get(run.run_id).source.spec == replace(wanted, include=("*.md",))
    assert db.epoch(source.generation.collection_id) != before
    loaded(db, run, item, "one")
    assert db.ledger.scans.record(held_again(db, run), [entry("a")], spec_of(source)).unchanged == 1


def held_again(db: LedgerDatabase, run: Run) -> Run:
    db.ledger.runs.finish(run, "succeeded", {})
    return held(db, run.source)


def spec_of(source: Source) -> SourceSpec:
    return SourceSpec(source.spec.uri, source.spec.collection, source.spec.tenant)


def test_a_scan_that_is_refused_changes_nothing_at_all(db: LedgerDatabase) -> None:
    source = opened(db, spec(access_groups=("staff",)))
    old = served(db, source, a="one", b="two")
    run = held(db, source)
    before = db.epoch(source.generation.collection_id)
    wanted = replace(source.spec, access_groups=(), retention_days=1, include=("c*",))
    listed = [replace(entry("x"), previous_name="a"), replace(entry("b"), uri="file:///elsewhere"), entry("new")]
    seen: list[ScanResult] = []

    def refuse(result: ScanResult) -> None:
        seen.append(result)
        raise Terminal("refused")

    with pytest.raises(Terminal, match="refused"):
        db.ledger.scans.record(run, listed, wanted, refuse)
    assert [(each.seen, each.known, each.vanished) for each in seen] == [(3, 2, [])]
    assert db.ledger.runs.get(run.run_id).source.spec == source.spec
    assert db.epoch(source.generation.collection_id) == before
    who = reader(source, "staff")
    outcome = {each.external_id: each.document_id for each in db.catalog.documents(who, source.spec.collection, 9)}
    assert outcome == {name: item.document_id for name, item in old.items()}
    assert db.catalog.document(who, old["b"].document_id).uri == "file:///b"
    assert (db.ledger.renames.matched(run), db.ledger.renames.vanished(run)) == (set(), [])
    other = started(db, source)
    db.ledger.runs.finish(run, "failed", {})
    assert db.ledger.versions.remove(other, [old["a"].document_id]) == 1, "no scan was completed"
