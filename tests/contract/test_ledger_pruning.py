"""History that is removed, in the ledger."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import get_args
from uuid import UUID, uuid4

import pytest

from sluice.errors import NotFound
from sluice.model.retention import Prunable
from sluice.model.run import StageStat
from support.ledger_rows import LedgerDatabase, entry, failure, loaded, opened, reader, scanned, shown, started, version


@pytest.fixture
def later(db: LedgerDatabase) -> datetime:
    """By then everything is old; what other tests left is removed first."""
    moment = db.ledger.retention.clock() + timedelta(days=1)
    for kind in get_args(Prunable):
        while db.ledger.pruning.prune(kind, moment, 1000):
            pass
    db.ledger.pruning.key_destroyed(db.ledger.pruning.keyed(moment, 100_000))
    return moment


def test_text_of_superseded_versions_goes_and_what_is_served_stays(db: LedgerDatabase, later: datetime) -> None:
    source = opened(db)
    run = started(db, source)
    a, b = scanned(db, run, entry("a"), entry("b"))
    for item in (a, b):
        loaded(db, run, item, "one")
    run = started(db, source)
    edited, gone = scanned(db, run, entry("a", "2"))[0], b
    loaded(db, run, edited, "two")
    db.ledger.versions.remove(run, [gone.document_id])
    assert db.ledger.pruning.prunable("versions", db.ledger.retention.clock() - timedelta(days=1)) == 0, (
        "both went just now"
    )
    assert db.ledger.pruning.prunable("versions", later) == 2
    assert [db.ledger.pruning.prune("versions", later, 1) for _ in range(3)] == [1, 1, 0]
    assert db.ledger.pruning.prunable("versions", later) == 0
    assert shown(db, source, a, "one", "two") == [b"\x01\x00texttwo"]
    assert db.catalog.document(reader(source), a.document_id).version == 2
    assert db.ledger.runs.get(run.run_id) == run


def test_a_run_goes_when_a_later_one_has_succeeded_and_nothing_refers_to_it(
    db: LedgerDatabase, later: datetime
) -> None:
    source = opened(db)
    served, superseded, idle, last, running = (started(db, source) for _ in range(5))
    a, b = scanned(db, served, entry("a"), entry("b"))
    loaded(db, served, a, "one")
    loaded(db, superseded, b, "one")
    db.ledger.scans.record(last, [entry("a"), entry("b", "2")])
    loaded(db, last, b, "two")
    for run in (served, superseded, idle, last, running):
        db.ledger.runs.record_stage(run, StageStat(0, "scan", 1.0, {}))
        if run is not running:
            db.ledger.runs.finish(run, "failed" if run is idle else "succeeded", {})
    assert db.ledger.pruning.prunable("runs", db.ledger.retention.clock() - timedelta(days=1)) == 0
    assert db.ledger.pruning.prunable("runs", later) == db.ledger.pruning.prune("runs", later, 10) == 2
    assert db.ledger.pruning.prune("runs", later, 10) == 0
    with pytest.raises(NotFound):
        db.ledger.runs.get(idle.run_id)
    stored = {run.run_id: len(db.ledger.runs.stages(run)) for run in (served, superseded, last, running)}
    assert list(stored.values()) == [1, 0, 1, 1], "the one that made a superseded version is a bare row"
    older = db.ledger.runs.get(superseded.run_id)
    assert db.ledger.versions.superseded(older, [b.document_id]) == {b.document_id}


def test_a_key_goes_when_nothing_is_left_that_it_opens(db: LedgerDatabase, later: datetime) -> None:
    source = opened(db)
    run = started(db, source)
    served, gone, never = scanned(db, run, entry("a"), entry("b"), entry("c"))
    for item in (served, gone):
        loaded(db, run, item, "one")
    db.ledger.quarantine.add(run, [failure(never)])
    db.ledger.versions.remove(run, [gone.document_id, never.document_id])
    assert db.ledger.pruning.keyed(later, 9) == [never.document_id], "the text of the other is there still"
    db.ledger.pruning.prune("versions", later, 9)
    assert set(db.ledger.pruning.keyed(later, 9)) == {gone.document_id, never.document_id}
    assert len(db.ledger.pruning.keyed(later, 1)) == 1
    assert db.ledger.pruning.keyed(db.ledger.retention.clock() - timedelta(days=1), 9) == []
    destroyed: list[UUID] = []
    assert db.ledger.pruning.destroy_keys(later, 9, destroyed.extend) == 2
    assert set(destroyed) == {gone.document_id, never.document_id}
    assert db.ledger.pruning.keyed(later, 9) == []
    assert db.ledger.pruning.destroy_keys(later, 9, destroyed.extend) == 0


def test_of_reconciliations_the_last_stays(db: LedgerDatabase, later: datetime) -> None:
    generation = opened(db).generation
    for _ in range(3):
        db.ledger.reconciliation.record(generation, db.ledger.retention.clock(), False, {"ok": True})
    assert (
        db.ledger.pruning.prunable("reconciliations", later)
        == db.ledger.pruning.prune("reconciliations", later, 9)
        == 2
    )
    assert db.ledger.pruning.prune("reconciliations", later, 9) == 0


def test_what_a_cleared_task_stages_is_not_touched(db: LedgerDatabase, later: datetime) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    db.ledger.versions.stage(run, [version(run, item, "one")])
    db.ledger.runs.finish(run, "failed", {})
    for kind in get_args(Prunable):
        assert db.ledger.pruning.prunable(kind, later) == 0, kind
    db.ledger.versions.activate(run, [item.document_id])
    assert shown(db, source, item, "one")
    assert db.ledger.versions.superseded(started(db, source), [uuid4()]) == set()
