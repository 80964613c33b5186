"""Saved sources, their schedules and who may see them."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from sluice.errors import BadRequest, NotFound
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.source import SavedSource, Schedule, Source
from support.ledger_rows import LedgerDatabase, name, opened, reader, resaved, spec, started


def saved(db: LedgerDatabase, source: Source) -> SavedSource:
    [result] = [each for each in db.ledger.sources.saved(source.spec.tenant) if each.source_id == source.source_id]
    return result


def scheduled(db: LedgerDatabase, source: Source, schedule: Schedule) -> None:
    db.ledger.sources.set_schedule(source.spec.tenant, source.spec.collection, source.spec.uri, schedule)


def test_a_source_is_nightly_and_never_ran_until_it_does(db: LedgerDatabase) -> None:
    source = opened(db, spec(access_groups=("staff",), retention_days=7, include=("*.md",), exclude=("x/*",)))
    result = saved(db, source)
    assert (result.spec, result.schedule, result.last, result.held_by) == (source.spec, Schedule(), None, None)
    run = started(db, source)
    assert result.saved_at <= run.started_at
    last = saved(db, source).last
    assert last and (last.run_id, last.state, last.started_at) == (run.run_id, "running", run.started_at)
    assert (last.finished_at, last.error) == (None, None)


def test_the_run_that_was_started_last_counts_however_it_ended(db: LedgerDatabase) -> None:
    source = opened(db)
    first, second = started(db, source), started(db, source)
    db.ledger.runs.finish(second, "failed", {"error": "Unavailable: the share is not mounted"})
    db.ledger.runs.finish(first, "succeeded", {"documents": {}})
    last = saved(db, source).last
    assert last and (last.run_id, last.state, last.error) == (
        second.run_id,
        "failed",
        "Unavailable: the share is not mounted",
    )
    assert last.finished_at and last.finished_at >= last.started_at


def test_a_schedule_is_kept_through_runs_and_changes_of_the_source(db: LedgerDatabase) -> None:
    source = opened(db)
    scheduled(db, source, Schedule(" 0  4 * * MON-FRI ", paused=True))
    resaved(db, replace(source.spec, retention_days=3))
    started(db, source)
    assert saved(db, source).schedule == Schedule("0 4 * * MON-FRI", paused=True)
    scheduled(db, source, Schedule())
    assert saved(db, source).schedule == Schedule()


def test_what_is_no_schedule_changes_nothing(db: LedgerDatabase) -> None:
    source = opened(db)
    scheduled(db, source, Schedule("*/5 * * * *"))
    with pytest.raises(BadRequest, match="five fields"):
        scheduled(db, source, Schedule("every morning"))
    assert saved(db, source).schedule == Schedule("*/5 * * * *")


def test_a_schedule_needs_a_saved_source_of_that_tenant_and_collection(db: LedgerDatabase) -> None:
    wanted = opened(db).spec
    for place in ((name(), wanted.collection), (wanted.tenant, name())):
        with pytest.raises(NotFound, match="not a saved source"):
            db.ledger.sources.set_schedule(*place, wanted.uri, Schedule(paused=True))
    assert [each.schedule for each in db.ledger.sources.saved(wanted.tenant)] == [Schedule()]


def test_they_come_by_tenant_collection_and_uri(db: LedgerDatabase) -> None:
    tenants, collections = sorted([name(), name()]), sorted([name(), name()])
    places = [(tenant, where, uri) for tenant in tenants for where in collections for uri in ("file:///Z", "file:///a")]
    for place in reversed(places):
        opened(db, spec(*place))
    everything = db.ledger.sources.saved()
    mine = [each.spec for each in everything if each.spec.tenant in tenants]
    assert [(each.tenant, each.collection, each.uri) for each in mine] == places
    assert [each.spec for each in db.ledger.sources.saved(tenants[0])] == mine[:4]
    assert [each.spec for each in db.ledger.sources.saved(tenants[1], collections[0])] == mine[4:6]
    assert len(db.ledger.sources.saved(None, collections[1])) == 4


def test_who_holds_a_source_is_told_while_it_lasts(db: LedgerDatabase) -> None:
    source = opened(db)
    run = db.ledger.runs.start(source, "incremental", uuid4(), "airflow:sluice_ingest/manual")
    db.ledger.runs.claim(run, 60.0)
    assert saved(db, source).held_by == "airflow:sluice_ingest/manual"
    db.ledger.runs.finish(run, "succeeded", {})
    assert saved(db, source).held_by is None
    lapsed = started(db, source)
    db.ledger.runs.claim(lapsed, -1.0)
    assert saved(db, source).held_by is None


def test_a_run_is_found_by_who_started_it(db: LedgerDatabase) -> None:
    source, other = opened(db), opened(db)
    asked = f"airflow:sluice_ingest/{name()}"
    assert db.ledger.runs.last_by(saved(db, source), asked) is None
    first = db.ledger.runs.start(source, "incremental", uuid4(), asked)
    again = db.ledger.runs.start(source, "incremental", uuid4(), asked)
    started(db, source)
    result = db.ledger.runs.last_by(saved(db, source), asked)
    assert result and result.run_id == again.run_id != first.run_id
    assert db.ledger.runs.last_by(saved(db, other), asked) is None


def test_the_mark_of_the_last_run_that_succeeded_is_given_to_the_next(db: LedgerDatabase) -> None:
    source, other = opened(db), opened(db)
    first, second, third = (started(db, source) for _ in range(3))
    assert db.ledger.scans.last_cursor(source) is None
    for run, mark, state in ((first, "one", "succeeded"), (second, "two", "succeeded"), (third, "three", "failed")):
        db.ledger.scans.record_cursor(run, mark)
        db.ledger.runs.finish(run, state, {})
    assert (db.ledger.scans.last_cursor(source), db.ledger.scans.last_cursor(other)) == ("two", None)


# --- who may see them


def test_a_reader_sees_the_sources_of_their_tenant_that_they_may_read(db: LedgerDatabase) -> None:
    tenant, where = name(), name()
    staff = opened(db, spec(tenant, where, "file:///a", access_groups=("staff", "board")))
    everyone = opened(db, spec(tenant, where, "file:///b"))
    elsewhere = opened(db, spec(tenant, None, "file:///c"))
    opened(db, spec(None, where, "file:///d"))
    started(db, staff)

    def seen(who: Principal, collection: str | None = None) -> set[str]:
        return {each.spec.uri for each in db.catalog.sources(who, collection)}

    assert seen(reader(everyone)) == {"file:///b", "file:///c"}
    assert seen(reader(everyone, "board")) == seen(reader(everyone, ALL_GROUPS)) == {"file:///a", *seen(reader(staff))}
    assert seen(reader(everyone, "staff"), where) == {"file:///a", "file:///b"}
    assert seen(reader(everyone), elsewhere.spec.collection) == {"file:///c"}
    assert seen(Principal("reader", name(), frozenset({ALL_GROUPS}))) == set()
    [output] = [each for each in db.catalog.sources(reader(staff, "staff")) if each.source_id == staff.source_id]
    assert output == saved(db, staff)


def test_what_took_nothing_in_is_no_last_run(db: LedgerDatabase) -> None:
    """A source stays due through replays, purges and runs that found another one at work; its mark stays, too."""
    source = opened(db)
    run = started(db, source)
    db.ledger.scans.record_cursor(run, "one")
    db.ledger.runs.finish(run, "succeeded", {})
    for mode in ("replay", "purge"):
        other = db.ledger.runs.start(source, mode, uuid4())
        db.ledger.runs.finish(other, "succeeded", {})
    late = started(db, source)
    db.ledger.runs.finish(late, "failed", {"error": "Busy: another run is at work"})
    last = saved(db, source).last
    assert last and last.run_id == run.run_id
    assert db.ledger.scans.last_cursor(source) == "one"
