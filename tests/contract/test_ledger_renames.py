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
    Room,
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


def test_one_run_at_a_time_works_on_a_source(room: Room) -> None:
    source = opened(room)
    first, second, elsewhere = started(room, source), started(room, source), started(room, opened(room))
    room.ledger.runs.claim(first, 60)
    room.ledger.runs.claim(first, 60)
    room.ledger.runs.claim(elsewhere, 60)
    with pytest.raises(Busy, match="tests, started"):
        room.ledger.runs.claim(second, 60)
    room.ledger.runs.finish(first, "succeeded", {})
    room.ledger.runs.claim(second, 60)


def test_a_renewal_prolongs_the_lease_of_its_own_run(room: Room) -> None:
    source = opened(room)
    run, other = started(room, source), started(room, source)
    assert not room.ledger.runs.renew(run, 60)  # nothing is claimed
    room.ledger.runs.claim(run, 60)
    room.expire_lease(run)
    assert room.ledger.runs.renew(run, 60)
    with pytest.raises(Busy):
        room.ledger.runs.claim(other, 60)


def test_a_renewal_neither_opens_a_closed_run_nor_takes_its_source_back(room: Room) -> None:
    source = opened(room)
    closed, slow, heir = started(room, source), started(room, source), started(room, source)
    room.ledger.runs.claim(closed, 60)
    room.ledger.runs.close(closed, {"error": "its task was killed"})
    assert not room.ledger.runs.renew(closed, 60)

    room.ledger.runs.claim(slow, 60)
    room.expire_lease(slow)
    room.ledger.runs.claim(heir, 60)
    room.expire_lease(heir)
    assert not room.ledger.runs.renew(slow, 60)  # although the heir's lease has lapsed, too
    room.ledger.runs.finish(heir, "failed", {})
    assert not room.ledger.runs.renew(slow, 60)
    assert not room.ledger.runs.others_running(heir)


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


def test_a_run_that_is_closed_while_a_stage_works_stays_closed(room: Room) -> None:
    runs = Renewals(room.ledger.runs)
    recorder = Recorder(cast(Runs, runs), lease_s=0.03)
    source = opened(room)
    run, other = started(room, source), started(room, source)
    with pytest.raises(LostLease), recorder.leased(run):  # noqa: PT012 - told when the block ends
        room.expire_lease(run)
        runs.wait_for_the_next()
        with pytest.raises(Busy):
            room.ledger.runs.claim(other, 60)
        room.ledger.runs.close(run, {"error": "given up"})
        wait_until_renewals_end(run)
        assert not room.ledger.runs.others_running(other)


def test_a_run_whose_lease_lapsed_is_taken_over_and_kept_out_of_every_write(room: Room) -> None:
    source = opened(room)
    dead = started(room, source)
    (item,) = scanned(room, dead, entry("a"))
    room.ledger.runs.claim(dead, 60)
    room.ledger.versions.stage(dead, [version(dead, item, "one")])
    room.expire_lease(dead)
    heir = started(room, source)
    room.ledger.runs.claim(heir, 60)
    ids = [item.document_id]
    writes: dict[str, Callable[[], object]] = {
        "scans.record": lambda: room.ledger.scans.record(dead, [entry("a"), entry("b")]),
        "scans.record_cursor": lambda: room.ledger.scans.record_cursor(dead, "state"),
        "renames.match_same_content": lambda: room.ledger.renames.match_same_content(dead, {item.document_id: b"h"}),
        "renames.match_similar": lambda: room.ledger.renames.match_similar(dead, {item.document_id: {}}),
        "versions.touch": lambda: room.ledger.versions.touch(dead, [item]),
        "quarantine.add": lambda: room.ledger.quarantine.add(dead, [failure(item)]),
        "versions.stage": lambda: room.ledger.versions.stage(dead, [version(dead, item, "one")]),
        "versions.activate": lambda: room.ledger.versions.activate(dead, ids),
        "versions.remove": lambda: room.ledger.versions.remove(dead, ids),
        "versions.drop_abandoned": lambda: room.ledger.versions.drop_abandoned(dead),
        "deletions.delete": lambda: room.ledger.deletions.delete(dead, ids, listed=True),
        "sources.remove": lambda: room.ledger.sources.remove(dead),
        "runs.fenced": lambda: room.ledger.runs.fenced(dead).__enter__(),
        "retention.purge": lambda: room.ledger.retention.purge(dead, ids, room.ledger.retention.clock()),
        "quality.record_gates": lambda: room.ledger.quality.record_gates(dead, 0, "validate", []),
        "quality.remember": lambda: room.ledger.quality.remember(
            dead, [Signature(item.document_id, np.ones(1, np.uint32), (2,))]
        ),
        "runs.record_stage": lambda: room.ledger.runs.record_stage(dead, StageStat(0, "extract", 1.0, {})),
        "costs.reserve": lambda: room.ledger.costs.reserve(dead, 0, 10),
        "costs.record_exceeded": lambda: room.ledger.costs.record_exceeded(dead, "budget"),
        "runs.finish": lambda: room.ledger.runs.finish(dead, "succeeded", {}),
    }
    for name, write in writes.items():
        with pytest.raises(Terminal, match="took over"):  # noqa: PT012 - says which one is not fenced
            write()
            raise AssertionError(f"{name} is not fenced")
    assert writes.keys() | _OF_ITSELF == _writes_of_a_run()
    room.ledger.costs.settle(dead, 0, Spent(1, 10, 0.1))  # what is paid is paid
    assert (room.ledger.costs.spent(dead).tokens, room.ledger.runs.stages(dead)) == (10, [])
    assert shown(room, source, item, "one") == []
    assert "b" not in [each.external_id for each in room.catalog.documents(reader(source), source.spec.collection, 9)]
    loaded(room, heir, item, "two")
    assert len(shown(room, source, item, "two")) == 1


def test_a_listing_older_than_that_of_another_run_changes_nothing(room: Room) -> None:
    """A run that was suspended while it listed must not delete what was added since."""
    source = opened(room)
    suspended = started(room, source)

    def listing() -> Iterator[ListingEntry]:
        yield entry("a")
        other = started(room, source)
        for item in scanned(room, other, entry("a"), entry("b")):
            loaded(room, other, item, item.entry.external_id)
        room.ledger.runs.finish(other, "succeeded", {})

    with pytest.raises(Terminal, match="took over"):
        room.ledger.scans.record(suspended, listing())
    assert room.ledger.renames.vanished(suspended) == []
    listed = room.catalog.documents(reader(source), source.spec.collection, 9)
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
    found = set()
    for role, protocol in get_type_hints(Ledger).items():
        for name, method in vars(protocol).items():
            if not name.startswith("_") and list(inspect.signature(method).parameters)[1:2] == ["run"]:
                found.add(f"{role}.{name}")
    return found - _READ


def test_a_run_whose_process_has_ended_is_taken_over_at_once(room: Room) -> None:
    source = opened(room)
    first, second, third = (started(room, source) for _ in range(3))
    with room.ledger.runs.session(first.run_id):
        room.ledger.runs.claim(first, 3600)
        with pytest.raises(Busy):
            room.ledger.runs.claim(second, 3600)
        room.ledger.runs.claim(first, 3600)
    room.ledger.runs.claim(second, 3600)
    with pytest.raises(Busy):  # of the second nothing but its lease is known
        room.ledger.runs.claim(third, 3600)
    with pytest.raises(Terminal, match="took over"):
        room.ledger.costs.record_exceeded(first, "budget")


def test_a_session_says_nothing_of_other_runs(room: Room) -> None:
    source = opened(room)
    first, second = started(room, source), started(room, source)
    room.ledger.runs.claim(first, 3600)
    with room.ledger.runs.session(second.run_id), pytest.raises(Busy):
        room.ledger.runs.claim(second, 3600)
    with room.ledger.runs.session(second.run_id), pytest.raises(Busy):
        room.ledger.runs.claim(second, 3600)


def test_a_late_end_does_not_free_what_another_run_holds(room: Room) -> None:
    source = opened(room)
    dead, heir, third = started(room, source), started(room, source), started(room, source)
    room.ledger.runs.claim(dead, 60)
    room.expire_lease(dead)
    room.ledger.runs.claim(heir, 60)
    room.ledger.runs.finish(dead, "failed", {})
    with pytest.raises(Busy):
        room.ledger.runs.claim(third, 60)


def test_a_killed_run_does_not_count_as_running_once_another_has_taken_over(room: Room) -> None:
    source = opened(room)
    killed, killed_before_its_claim, heir = (started(room, source) for _ in range(3))
    elsewhere = held(room, opened(room))
    room.ledger.runs.claim(killed, 60)
    (item,) = scanned(room, killed, entry("a"))
    room.ledger.versions.stage(killed, [version(killed, item, "one")])
    room.expire_lease(killed)
    room.ledger.runs.claim(heir, 60)
    assert not room.ledger.runs.others_running(heir)
    assert room.ledger.runs.others_running(started(room, elsewhere.source))
    assert room.ledger.versions.drop_abandoned(heir) == 1
    room.ledger.runs.finish(heir, "succeeded", {})

    third = started(room, source)
    room.ledger.runs.claim(killed_before_its_claim, 60)  # it was only slow
    assert room.ledger.runs.others_running(third)
    with pytest.raises(Busy):
        room.ledger.runs.claim(third, 60)


# --- renames


def served(room: Room, source: Source, **texts: str) -> dict[str, WorkItem]:
    run = started(room, source)
    items = {item.entry.external_id: item for item in scanned(room, run, *(entry(name) for name in texts))}
    for name, item in items.items():
        loaded(room, run, item, *texts[name].split())
    room.ledger.runs.finish(run, "succeeded", {})
    return items


def hash_of(run: Run, item: WorkItem, *words: str) -> bytes:
    return version(run, item, *words).raw_hash


def test_the_same_content_under_another_name_is_the_same_document(room: Room) -> None:
    source = opened(room)
    old = served(room, source, **{"a/x": "one two", "b": "three"})
    run = started(room, source)
    new, fresh = scanned(room, run, entry("c/x"), entry("fresh"), entry("b"))
    hashes = {new.document_id: hash_of(run, new, "one", "two"), fresh.document_id: hash_of(run, fresh, "other")}
    found = room.ledger.renames.match_same_content(run, hashes)
    assert found == {new.document_id: old["a/x"].document_id}
    assert room.ledger.renames.match_same_content(run, hashes) == found, "a second try finds what the first one did"
    assert room.ledger.renames.matched(run) == {old["a/x"].document_id}
    info = room.catalog.document(reader(source), old["a/x"].document_id)
    assert (info.external_id, info.uri, info.version) == ("c/x", "file:///c/x", 1)

    moved = replace(new, document_id=old["a/x"].document_id)
    loaded(room, run, moved, "one", "two")
    room.ledger.runs.finish(run, "succeeded", {})
    after = room.ledger.scans.record(started(room, source), [entry("c/x"), entry("fresh"), entry("b")])
    assert (after.unchanged, after.vanished) == (2, [])

    later = room.ledger.retention.clock() + timedelta(seconds=1)
    assert new.document_id in room.ledger.pruning.keyed(later, 100_000), (
        "nobody needs the key of the name's own id any more"
    )
    assert new.document_id not in room.ledger.pruning.keyed(later - timedelta(days=1), 100_000)
    room.ledger.pruning.key_destroyed([new.document_id])
    assert new.document_id not in room.ledger.pruning.keyed(later, 100_000)


def test_until_it_is_loaded_a_moved_document_counts_as_changed(room: Room) -> None:
    source = opened(room)
    old = served(room, source, a="one", b="two")
    crashed = started(room, source)
    (new,) = scanned(room, crashed, entry("c"), entry("b"))
    room.ledger.renames.match_same_content(crashed, {new.document_id: hash_of(crashed, new, "one")})
    (item,) = scanned(room, started(room, source), entry("c"), entry("b"))
    assert (item.document_id, item.new, item.active_hash) == (old["a"].document_id, False, None)


def test_an_older_run_finds_no_moves_that_a_later_scan_may_have_undone(room: Room) -> None:
    source = opened(room)
    first = started(room, source)
    (item,) = scanned(room, first, entry("old"))
    loaded(room, first, item, "one")
    older, newer = started(room, source), started(room, source)
    (placeholder,) = scanned(room, older, entry("new"))
    room.ledger.scans.record(newer, [entry("old")])
    same = {placeholder.document_id: version(first, item, "one").raw_hash}
    assert room.ledger.renames.match_same_content(older, same) == {}
    assert room.ledger.renames.match_similar(older, {placeholder.document_id: {item.document_id: 0.9}}) == {}
    assert room.catalog.document(reader(source), item.document_id).external_id == "old"


def test_likeness_tells_a_move_with_an_edit(room: Room) -> None:
    source = opened(room)
    old = served(room, source, a="one two three", b="four five six")
    run = started(room, source)
    new, other = scanned(room, run, entry("c"), entry("d"))
    a, b = old["a"].document_id, old["b"].document_id
    missed = room.ledger.renames.missed(run, 10)
    assert [document_id for document_id, _ in missed] == sorted([a, b])
    assert all(len(sealed) == 40 for _, sealed in missed)
    assert len(room.ledger.renames.missed(run, 1)) == 1
    found = {new.document_id: a, other.document_id: b}
    assert (
        room.ledger.renames.match_similar(
            run, {new.document_id: {a: 0.9, b: 0.8}, other.document_id: {a: 0.85, b: 0.6}}
        )
        == found
    )
    assert room.ledger.renames.match_similar(run, {new.document_id: {}, other.document_id: {}}) == found
    assert room.ledger.renames.matched(run) == {a, b}
    assert room.ledger.renames.missed(run, 10) == []


def test_each_document_is_taken_over_once(room: Room) -> None:
    source = opened(room)
    old = served(room, source, **{"v/a": "one", "v/b": "one"})
    run = started(room, source)
    items = scanned(room, run, entry("w/a"), entry("w/b"), entry("w/c"))
    found = room.ledger.renames.match_same_content(run, {each.document_id: hash_of(run, each, "one") for each in items})
    a, b, _ = items
    assert found == {a.document_id: old["v/a"].document_id, b.document_id: old["v/b"].document_id}


def test_what_is_still_there_or_never_served_is_no_former_name(room: Room) -> None:
    source = opened(room)
    served(room, source, kept="one")
    run = started(room, source)
    (refused,) = scanned(room, run, entry("refused"), entry("kept"))
    room.ledger.quarantine.add(run, [failure(refused)])
    again = started(room, source)
    (copy,) = scanned(room, again, entry("copy"), entry("kept"))
    assert room.ledger.renames.match_same_content(again, {copy.document_id: hash_of(again, copy, "one")}) == {}


def test_a_source_that_says_renamed_is_believed_unless_the_old_name_is_there(room: Room) -> None:
    source = opened(room)
    old = served(room, source, a="one", b="two", c="three")
    run = started(room, source)
    listed = [replace(entry("x"), previous_name="a"), replace(entry("y"), previous_name="b"), entry("b"), entry("c")]
    result = room.ledger.scans.record(run, listed)
    x, y = result.items
    assert (x.document_id, x.new, x.renamed, x.active_hash) == (old["a"].document_id, False, True, None)
    assert (y.new, y.renamed) == (True, False)
    assert (result.vanished, result.known) == ([], 3)
    assert room.ledger.renames.matched(run) == {old["a"].document_id}


# --- what a scan missed, and a run that is resumed


def test_a_run_that_failed_still_knows_what_its_scan_missed(room: Room) -> None:
    """Its tasks may be cleared: a rename stays a rename, and what was purged does not come back under a new name."""
    source = opened(room)
    old = served(room, source, a="one", b="two", kept="three")
    room.expire(old["b"].document_id)
    assert room.ledger.retention.purge(
        started(room, source, "purge"), [old["b"].document_id], room.ledger.retention.clock()
    )
    run = started(room, source)
    room.ledger.runs.claim(run, 60)
    new, back = scanned(room, run, entry("c"), entry("d"), entry("kept"))
    missed = sorted([old["a"].document_id, old["b"].document_id])
    assert room.ledger.renames.vanished(run) == missed
    room.ledger.runs.finish(run, "failed", {})
    assert room.ledger.renames.vanished(run) == missed

    beside = room.ledger.runs.start(source, "replay", uuid4(), "tests")
    room.ledger.runs.claim(beside, 60)  # no scan of its own
    room.ledger.runs.finish(beside, "succeeded", {})

    room.ledger.runs.claim(run, 60)
    hashes = {new.document_id: hash_of(run, new, "one"), back.document_id: hash_of(run, back, "two")}
    found = {new.document_id: old["a"].document_id, back.document_id: old["b"].document_id}
    assert room.ledger.renames.match_same_content(run, hashes) == found
    assert room.ledger.renames.vanished(run) == []


def test_a_run_that_was_taken_over_still_knows_what_its_scan_missed(room: Room) -> None:
    source = opened(room)
    old = served(room, source, a="one", b="two")
    slow = started(room, source)
    room.ledger.runs.claim(slow, 60)
    scanned(room, slow, entry("b"))
    room.expire_lease(slow)
    heir = started(room, source)
    room.ledger.runs.claim(heir, 60)
    assert room.ledger.renames.vanished(slow) == [old["a"].document_id]
    scanned(room, heir, entry("a"), entry("b"))
    assert room.ledger.renames.vanished(slow) == [], "a later scan knows better"


def test_what_a_scan_missed_is_forgotten_when_the_run_succeeds(room: Room) -> None:
    source = opened(room)
    old = served(room, source, a="one", b="two")
    run = started(room, source)
    scanned(room, run, entry("b"))
    assert room.ledger.renames.vanished(run) == [old["a"].document_id]
    room.ledger.versions.remove(run, room.ledger.renames.vanished(run))
    assert room.ledger.renames.vanished(run) == [], "what is removed is not removed again"
    room.ledger.runs.finish(run, "succeeded", {})
    assert room.ledger.renames.vanished(run) == []


# --- settings and refusals


def test_what_a_run_sets_is_written_with_its_scan(room: Room) -> None:
    source = opened(room, spec(access_groups=("staff",), include=("*.md",)))
    run = held(room, source)
    wanted = replace(source.spec, access_groups=("board",), retention_days=3, include=None)
    before = room.epoch(source.generation.collection_id)
    (item,) = room.ledger.scans.record(run, [entry("a")], wanted).items
    assert room.ledger.runs.get(run.run_id).source.spec == replace(wanted, include=("*.md",))
    assert room.epoch(source.generation.collection_id) == before + 1
    loaded(room, run, item, "one")
    assert room.ledger.scans.record(held_again(room, run), [entry("a")], spec_of(source)).unchanged == 1


def held_again(room: Room, run: Run) -> Run:
    room.ledger.runs.finish(run, "succeeded", {})
    return held(room, run.source)


def spec_of(source: Source) -> SourceSpec:
    return SourceSpec(source.spec.uri, source.spec.collection, source.spec.tenant)


def test_a_scan_that_is_refused_changes_nothing_at_all(room: Room) -> None:
    source = opened(room, spec(access_groups=("staff",)))
    old = served(room, source, a="one", b="two")
    run = held(room, source)
    before = room.epoch(source.generation.collection_id)
    wanted = replace(source.spec, access_groups=(), retention_days=1, include=("c*",))
    listed = [replace(entry("x"), previous_name="a"), replace(entry("b"), uri="file:///elsewhere"), entry("new")]
    seen: list[ScanResult] = []

    def refuse(result: ScanResult) -> None:
        seen.append(result)
        raise Terminal("refused")

    with pytest.raises(Terminal, match="refused"):
        room.ledger.scans.record(run, listed, wanted, refuse)
    assert [(each.seen, each.known, each.vanished) for each in seen] == [(3, 2, [])]
    assert room.ledger.runs.get(run.run_id).source.spec == source.spec
    assert room.epoch(source.generation.collection_id) == before
    who = reader(source, "staff")
    found = {each.external_id: each.document_id for each in room.catalog.documents(who, source.spec.collection, 9)}
    assert found == {name: item.document_id for name, item in old.items()}
    assert room.catalog.document(who, old["b"].document_id).uri == "file:///b"
    assert (room.ledger.renames.matched(run), room.ledger.renames.vanished(run)) == (set(), [])
    other = started(room, source)
    room.ledger.runs.finish(run, "failed", {})
    assert room.ledger.versions.remove(other, [old["a"].document_id]) == 1, "no scan was completed"
