"""History that is removed, in the ledger."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import get_args
from uuid import uuid4

import pytest

from sluice.errors import NotFound
from sluice.model.retention import Prunable
from sluice.model.run import StageStat
from support.ledger_rows import Room, entry, failure, loaded, opened, reader, scanned, shown, started, version


@pytest.fixture
def later(room: Room) -> datetime:
    """By then everything is old; what other tests left is removed first."""
    moment = room.ledger.retention.clock() + timedelta(days=1)
    for kind in get_args(Prunable):
        while room.ledger.pruning.prune(kind, moment, 1000):
            pass
    room.ledger.pruning.key_destroyed(room.ledger.pruning.keyed(moment, 100_000))
    return moment


def test_text_of_superseded_versions_goes_and_what_is_served_stays(room: Room, later: datetime) -> None:
    source = opened(room)
    run = started(room, source)
    a, b = scanned(room, run, entry("a"), entry("b"))
    for item in (a, b):
        loaded(room, run, item, "one")
    run = started(room, source)
    edited, gone = scanned(room, run, entry("a", "2"))[0], b
    loaded(room, run, edited, "two")
    room.ledger.versions.remove(run, [gone.document_id])
    assert room.ledger.pruning.prunable("versions", room.ledger.retention.clock() - timedelta(days=1)) == 0, (
        "both went just now"
    )
    assert room.ledger.pruning.prunable("versions", later) == 2
    assert [room.ledger.pruning.prune("versions", later, 1) for _ in range(3)] == [1, 1, 0]
    assert room.ledger.pruning.prunable("versions", later) == 0
    assert shown(room, source, a, "one", "two") == [b"\x01\x00texttwo"]
    assert room.catalog.document(reader(source), a.document_id).version == 2
    assert room.ledger.runs.get(run.run_id) == run


def test_a_run_goes_when_a_later_one_has_succeeded_and_nothing_refers_to_it(room: Room, later: datetime) -> None:
    source = opened(room)
    served, superseded, idle, last, running = (started(room, source) for _ in range(5))
    a, b = scanned(room, served, entry("a"), entry("b"))
    loaded(room, served, a, "one")
    loaded(room, superseded, b, "one")
    room.ledger.scans.record(last, [entry("a"), entry("b", "2")])
    loaded(room, last, b, "two")
    for run in (served, superseded, idle, last, running):
        room.ledger.runs.record_stage(run, StageStat(0, "scan", 1.0, {}))
        if run is not running:
            room.ledger.runs.finish(run, "failed" if run is idle else "succeeded", {})
    assert room.ledger.pruning.prunable("runs", room.ledger.retention.clock() - timedelta(days=1)) == 0
    assert room.ledger.pruning.prunable("runs", later) == room.ledger.pruning.prune("runs", later, 10) == 2
    assert room.ledger.pruning.prune("runs", later, 10) == 0
    with pytest.raises(NotFound):
        room.ledger.runs.get(idle.run_id)
    kept = {run.run_id: len(room.ledger.runs.stages(run)) for run in (served, superseded, last, running)}
    assert list(kept.values()) == [1, 0, 1, 1], "the one that made a superseded version is a bare row"
    older = room.ledger.runs.get(superseded.run_id)
    assert room.ledger.versions.superseded(older, [b.document_id]) == {b.document_id}


def test_a_key_goes_when_nothing_is_left_that_it_opens(room: Room, later: datetime) -> None:
    source = opened(room)
    run = started(room, source)
    served, gone, never = scanned(room, run, entry("a"), entry("b"), entry("c"))
    for item in (served, gone):
        loaded(room, run, item, "one")
    room.ledger.quarantine.add(run, [failure(never)])
    room.ledger.versions.remove(run, [gone.document_id, never.document_id])
    assert room.ledger.pruning.keyed(later, 9) == [never.document_id], "the text of the other is there still"
    room.ledger.pruning.prune("versions", later, 9)
    assert set(room.ledger.pruning.keyed(later, 9)) == {gone.document_id, never.document_id}
    assert len(room.ledger.pruning.keyed(later, 1)) == 1
    assert room.ledger.pruning.keyed(room.ledger.retention.clock() - timedelta(days=1), 9) == []
    room.ledger.pruning.key_destroyed([gone.document_id, never.document_id])
    assert room.ledger.pruning.keyed(later, 9) == []


def test_of_reconciliations_the_last_stays(room: Room, later: datetime) -> None:
    generation = opened(room).generation
    for _ in range(3):
        room.ledger.reconciliation.record(generation, room.ledger.retention.clock(), False, {"ok": True})
    assert (
        room.ledger.pruning.prunable("reconciliations", later)
        == room.ledger.pruning.prune("reconciliations", later, 9)
        == 2
    )
    assert room.ledger.pruning.prune("reconciliations", later, 9) == 0


def test_what_a_cleared_task_stages_is_not_touched(room: Room, later: datetime) -> None:
    source = opened(room)
    run = started(room, source)
    (item,) = scanned(room, run, entry("a"))
    room.ledger.versions.stage(run, [version(run, item, "one")])
    room.ledger.runs.finish(run, "failed", {})
    for kind in get_args(Prunable):
        assert room.ledger.pruning.prunable(kind, later) == 0, kind
    room.ledger.versions.activate(run, [item.document_id])
    assert shown(room, source, item, "one")
    assert room.ledger.versions.superseded(started(room, source), [uuid4()]) == set()
