"""When a saved source is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from sluice.errors import BadRequest
from sluice.model.schedules import NIGHTLY, check_cron
from sluice.model.source import LastRun, SavedSource, Schedule, SourceSpec

SPEC = SourceSpec("file:///in", "docs", "acme", (), 0, (), ())


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-03-{text}").replace(tzinfo=UTC)


def source(cron: str | None, last: str | None = None, saved: str = "01 00:00", paused: bool = False) -> SavedSource:
    ran = LastRun(uuid4(), "succeeded", at(last), None) if last else None
    return SavedSource(uuid4(), SPEC, Schedule(cron, paused), at(saved), ran)


@pytest.mark.parametrize("cron", ["0 4 * * *", "*/30 8-18 * * MON-FRI", "0,30 0 1 JAN,JUL *", NIGHTLY])
def test_cron_in_five_fields(cron: str) -> None:
    assert check_cron(f" {cron.replace(' ', '   ')}") == cron


@pytest.mark.parametrize(
    "cron",
    ["", "nightly", "@daily", "0 4 * *", "0 4 * * * *", "61 4 * * *", "R 4 * * *", "H 4 * * *", "R(0-5) 4 * * *",
     "0 0 30 2 *", "a b c d e", "0 4 * * FOO", "*/0 * * * *"],
)  # fmt: skip
def test_what_is_no_schedule_is_refused_with_an_example(cron: str) -> None:
    with pytest.raises(BadRequest, match=r"0 4 \* \* \*"):
        check_cron(cron)


def test_it_is_due_at_the_next_time_after_its_last_start() -> None:
    assert source("0 4 * * *", last="10 04:00").next_due() == at("11 04:00")
    assert source("0 4 * * *", last="10 03:59").next_due() == at("10 04:00")
    assert source(None, last="10 12:00").next_due() == at("11 01:00")


def test_a_source_that_never_ran_counts_from_when_it_was_saved() -> None:
    assert source("0 4 * * *", saved="10 12:00").next_due() == at("11 04:00")


@pytest.mark.parametrize("now", ["10 04:00", "10 04:14", "10 23:59"])
def test_once_it_is_due_it_stays_so(now: str) -> None:
    assert source("0 4 * * *", last="09 04:00").due(at(now)) == at("10 04:00")


def test_before_it_is_not() -> None:
    assert source("0 4 * * *", last="09 04:00").due(at("10 03:59")) is None
    assert source("0 4 * * *", last="10 04:00").due(at("10 04:01")) is None


def test_of_times_that_were_missed_only_the_latest_is_made_up_for() -> None:
    assert source("0 * * * *", last="09 04:00").due(at("10 13:20")) == at("10 13:00")


def test_a_paused_source_is_never_due() -> None:
    paused = source("* * * * *", paused=True)
    assert (paused.next_due(), paused.due(at("20 00:00"))) == (None, None)
    assert paused.to_json()["next_due"] is None


def test_ticks_of_a_day_take_a_source_in_once_a_time() -> None:
    """Every quarter of an hour, as the DAG does: the times for which runs start are those of the schedule."""
    saved, now, started = source("20 */6 * * *", last="09 00:00"), at("09 00:00"), []
    while now < at("10 00:00"):
        if saved.due(now):
            started.append(now)
            saved = SavedSource(saved.source_id, SPEC, saved.schedule, saved.saved_at, LastRun(uuid4(), "", now, None))
        now += timedelta(minutes=15)
    assert started == [at("09 00:30"), at("09 06:30"), at("09 12:30"), at("09 18:30")]
