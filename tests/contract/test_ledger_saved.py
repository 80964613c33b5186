"""Saved sources, their schedules and who may see them."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from sluice.errors import BadRequest, NotFound
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.source import SavedSource, Schedule, Source
from support.ledger_rows import Room, name, opened, reader, resaved, spec, started


def saved(room: Room, source: Source) -> SavedSource:
    [found] = [each for each in room.ledger.sources.saved(source.spec.tenant) if each.source_id == source.source_id]
    return found


def scheduled(room: Room, source: Source, schedule: Schedule) -> None:
    room.ledger.sources.set_schedule(source.spec.tenant, source.spec.collection, source.spec.uri, schedule)


def test_a_source_is_nightly_and_never_ran_until_it_does(room: Room) -> None:
    source = opened(room, spec(access_groups=("staff",), retention_days=7, include=("*.md",), exclude=("x/*",)))
    found = saved(room, source)
    assert (found.spec, found.schedule, found.last, found.held_by) == (source.spec, Schedule(), None, None)
    run = started(room, source)
    assert found.saved_at <= run.started_at
    last = saved(room, source).last
    assert last and (last.run_id, last.state, last.started_at) == (run.run_id, "running", run.started_at)
    assert (last.finished_at, last.error) == (None, None)


def test_the_run_that_was_started_last_counts_however_it_ended(room: Room) -> None:
    source = opened(room)
    first, second = started(room, source), started(room, source)
    room.ledger.runs.finish(second, "failed", {"error": "Unavailable: the share is not mounted"})
    room.ledger.runs.finish(first, "succeeded", {"documents": {}})
    last = saved(room, source).last
    assert last and (last.run_id, last.state, last.error) == (
        second.run_id,
        "failed",
        "Unavailable: the share is not mounted",
    )
    assert last.finished_at and last.finished_at >= last.started_at


def test_a_schedule_is_kept_through_runs_and_changes_of_the_source(room: Room) -> None:
    source = opened(room)
    scheduled(room, source, Schedule(" 0  4 * * MON-FRI ", paused=True))
    resaved(room, replace(source.spec, retention_days=3))
    started(room, source)
    assert saved(room, source).schedule == Schedule("0 4 * * MON-FRI", paused=True)
    scheduled(room, source, Schedule())
    assert saved(room, source).schedule == Schedule()


def test_what_is_no_schedule_changes_nothing(room: Room) -> None:
    source = opened(room)
    scheduled(room, source, Schedule("*/5 * * * *"))
    with pytest.raises(BadRequest, match="five fields"):
        scheduled(room, source, Schedule("every morning"))
    assert saved(room, source).schedule == Schedule("*/5 * * * *")


def test_a_schedule_needs_a_saved_source_of_that_tenant_and_collection(room: Room) -> None:
    wanted = opened(room).spec
    for place in ((name(), wanted.collection), (wanted.tenant, name())):
        with pytest.raises(NotFound, match="not a saved source"):
            room.ledger.sources.set_schedule(*place, wanted.uri, Schedule(paused=True))
    assert [each.schedule for each in room.ledger.sources.saved(wanted.tenant)] == [Schedule()]


def test_they_come_by_tenant_collection_and_uri(room: Room) -> None:
    tenants, collections = sorted([name(), name()]), sorted([name(), name()])
    places = [(tenant, where, uri) for tenant in tenants for where in collections for uri in ("file:///Z", "file:///a")]
    for place in reversed(places):
        opened(room, spec(*place))
    everything = room.ledger.sources.saved()
    mine = [each.spec for each in everything if each.spec.tenant in tenants]
    assert [(each.tenant, each.collection, each.uri) for each in mine] == places
    assert [each.spec for each in room.ledger.sources.saved(tenants[0])] == mine[:4]
    assert [each.spec for each in room.ledger.sources.saved(tenants[1], collections[0])] == mine[4:6]
    assert len(room.ledger.sources.saved(None, collections[1])) == 4


def test_who_holds_a_source_is_told_while_it_lasts(room: Room) -> None:
    source = opened(room)
    run = room.ledger.runs.start(source, "incremental", uuid4(), "airflow:sluice_ingest/manual")
    room.ledger.runs.claim(run, 60.0)
    assert saved(room, source).held_by == "airflow:sluice_ingest/manual"
    room.ledger.runs.finish(run, "succeeded", {})
    assert saved(room, source).held_by is None
    lapsed = started(room, source)
    room.ledger.runs.claim(lapsed, -1.0)
    assert saved(room, source).held_by is None


def test_a_run_is_found_by_who_started_it(room: Room) -> None:
    source, other = opened(room), opened(room)
    asked = f"airflow:sluice_ingest/{name()}"
    assert room.ledger.runs.last_by(saved(room, source), asked) is None
    first = room.ledger.runs.start(source, "incremental", uuid4(), asked)
    again = room.ledger.runs.start(source, "incremental", uuid4(), asked)
    started(room, source)
    found = room.ledger.runs.last_by(saved(room, source), asked)
    assert found and found.run_id == again.run_id != first.run_id
    assert room.ledger.runs.last_by(saved(room, other), asked) is None


def test_the_mark_of_the_last_run_that_succeeded_is_given_to_the_next(room: Room) -> None:
    source, other = opened(room), opened(room)
    first, second, third = (started(room, source) for _ in range(3))
    assert room.ledger.scans.last_cursor(source) is None
    for run, mark, state in ((first, "one", "succeeded"), (second, "two", "succeeded"), (third, "three", "failed")):
        room.ledger.scans.record_cursor(run, mark)
        room.ledger.runs.finish(run, state, {})
    assert (room.ledger.scans.last_cursor(source), room.ledger.scans.last_cursor(other)) == ("two", None)


# --- who may see them


def test_a_reader_sees_the_sources_of_their_tenant_that_they_may_read(room: Room) -> None:
    tenant, where = name(), name()
    staff = opened(room, spec(tenant, where, "file:///a", access_groups=("staff", "board")))
    everyone = opened(room, spec(tenant, where, "file:///b"))
    elsewhere = opened(room, spec(tenant, None, "file:///c"))
    opened(room, spec(None, where, "file:///d"))
    started(room, staff)

    def seen(who: Principal, collection: str | None = None) -> set[str]:
        return {each.spec.uri for each in room.catalog.sources(who, collection)}

    assert seen(reader(everyone)) == {"file:///b", "file:///c"}
    assert seen(reader(everyone, "board")) == seen(reader(everyone, ALL_GROUPS)) == {"file:///a", *seen(reader(staff))}
    assert seen(reader(everyone, "staff"), where) == {"file:///a", "file:///b"}
    assert seen(reader(everyone), elsewhere.spec.collection) == {"file:///c"}
    assert seen(Principal("reader", name(), frozenset({ALL_GROUPS}))) == set()
    [told] = [each for each in room.catalog.sources(reader(staff, "staff")) if each.source_id == staff.source_id]
    assert told == saved(room, staff)


def test_what_took_nothing_in_is_no_last_run(room: Room) -> None:
    """A source stays due through replays, purges and runs that found another one at work; its mark stays, too."""
    source = opened(room)
    run = started(room, source)
    room.ledger.scans.record_cursor(run, "one")
    room.ledger.runs.finish(run, "succeeded", {})
    for mode in ("replay", "purge"):
        other = room.ledger.runs.start(source, mode, uuid4())
        room.ledger.runs.finish(other, "succeeded", {})
    late = started(room, source)
    room.ledger.runs.finish(late, "failed", {"error": "Busy: another run is at work"})
    last = saved(room, source).last
    assert last and last.run_id == run.run_id
    assert room.ledger.scans.last_cursor(source) == "one"
