"""Which saved sources `sluice_ingest_all` takes in, and what it says of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk.api.datamodels._generated import DagRunType

from sluice.airflow import ingest_all
from sluice.model.source import LastRun, SavedSource, Schedule, SourceSpec

NOW = datetime(2026, 3, 10, 4, 7, tzinfo=UTC)
DUE = Schedule("0 4 * * *")


def source(uri: str, schedule: Schedule = DUE, waited_h: float = 24, held_by: str | None = None) -> SavedSource:
    last = LastRun(uuid4(), "succeeded", NOW - timedelta(hours=waited_h), None)
    return SavedSource(uuid4(), SourceSpec(uri, "docs", "acme", (), 0, (), ()), schedule, NOW, last, held_by)


def uris(choice: ingest_all.Choice) -> list[str]:
    return [each["conf"]["source"] for each in choice.elements]


# --- what is due


def test_what_is_due_is_taken_in_as_it_is_saved_the_longest_waiting_first() -> None:
    choice = ingest_all.due_now(
        [source("file:///b"), source("file:///a", waited_h=0.01), source("file:///c", waited_h=72)], NOW
    )
    assert uris(choice) == ["file:///c", "file:///b"] and choice.left_out == {}
    assert [each["conf"] for each in choice.elements][1] == {
        "source": "file:///b", "collection": "docs", "tenant": "acme",
    }  # fmt: skip


def test_the_next_tick_asks_for_the_same_run_and_the_next_day_for_another() -> None:
    saved = [source("file:///a", waited_h=240)]
    ticks = [NOW, NOW + timedelta(minutes=15), NOW + timedelta(days=1)]
    first, second, third = [ingest_all.due_now(saved, now).elements[0]["trigger_run_id"] for now in ticks]
    assert first == second != third
    assert len({first, *(each["trigger_run_id"] for each in ingest_all.due_now(saved, NOW, "manual").elements)}) == 2


def test_a_source_that_a_run_holds_is_left_out_and_said_so() -> None:
    choice = ingest_all.due_now([source("file:///a", held_by="airflow:sluice_ingest/x"), source("file:///b")], NOW)
    assert uris(choice) == ["file:///b"]
    assert choice.left_out == {"acme/docs file:///a": "airflow:sluice_ingest/x holds its lease"}


def test_all_means_due_or_not_but_not_paused() -> None:
    saved = [source("file:///a", waited_h=0.01), source("file:///b", Schedule(paused=True))]
    assert ingest_all.due_now(saved, NOW) == ingest_all.Choice()
    choice = ingest_all.due_now(saved, NOW, "manual__1")
    assert uris(choice) == ["file:///a"] and choice.left_out == {"acme/docs file:///b": "it is paused"}


def test_a_run_maps_over_no_more_than_airflow_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_all, "MAX_SOURCES", 2)
    choice = ingest_all.due_now([source(f"file:///{n}", waited_h=24 * (n + 1)) for n in range(3)], NOW)
    assert uris(choice) == ["file:///2", "file:///1"]
    assert choice.left_out == {"acme/docs file:///0": "a run ingests at most 2 sources; the next run continues"}


def test_a_title_fits_airflows_column() -> None:
    [element] = ingest_all.due_now([source("https://example.org/" + "x" * 1900)], NOW).elements
    assert len(element["title"]) <= 250 and len(element["conf"]["source"]) == 1920


# --- what events name


def extra(uri: str, **more: Any) -> dict[str, Any]:
    return {"tenant": "acme", "collection": "docs", "source": uri, "from_rest_api": True, **more}


def events(*extras: Any) -> list[Any]:
    return [SimpleNamespace(id=number, extra=each) for number, each in enumerate(extras, 1)]


def test_events_take_in_what_they_name_once_due_or_not_and_held_or_not() -> None:
    saved = [source("file:///a", waited_h=0.01, held_by="cli"), source("file:///b")]
    choice = ingest_all.named(saved, events(extra("file:///a"), extra("file:////a/")))
    assert uris(choice) == ["file:///a"] and choice.left_out == {}


@pytest.mark.parametrize(
    "bad", [{}, None, [], {"source": "file:///a"}, extra("file:///a", tenant=7), extra("file:///a", collection=None)]
)
def test_an_event_without_a_source_fails_alone(bad: Any) -> None:
    choice = ingest_all.named([source("file:///a")], events(bad, extra("file:///a")))
    refused, good = choice.elements
    assert set(refused) == {"title", "rejection"} and "three strings" in refused["rejection"]
    assert good["conf"]["source"] == "file:///a"


@pytest.mark.parametrize(
    "change", [{"source": "file:///b"}, {"tenant": "other"}, {"collection": "other"}, {"source": ""}]
)
def test_an_event_names_a_saved_source_or_fails(change: dict[str, str]) -> None:
    choice = ingest_all.named([source("file:///a")], events(extra("file:///a") | change))
    assert "no saved source" in choice.elements[0]["rejection"]


def test_events_leave_a_paused_source_alone() -> None:
    choice = ingest_all.named([source("file:///a", Schedule(paused=True))], events(extra("file:///a")))
    assert choice == ingest_all.Choice([], {"acme/docs file:///a": "it is paused"})


def test_an_event_that_two_runs_are_told_is_one_run_of_its_source() -> None:
    saved, output = [source("file:///a")], events(extra("file:///b"), extra("file:///a"), extra("file:///a"))
    first, again = ingest_all.named(saved, output), ingest_all.named(saved, output[2:])
    assert first.elements[-1] == again.elements[0] != ingest_all.named(saved, output[1:2]).elements[0]


def test_events_are_those_that_started_the_run_and_later_ones() -> None:
    class Every:
        def after(self, moment: str) -> list[str]:
            return [f"after {moment}"]

    triggering = [SimpleNamespace(timestamp=NOW + timedelta(seconds=1)), SimpleNamespace(timestamp=NOW)]
    run = SimpleNamespace(run_type=DagRunType.ASSET_TRIGGERED, run_after=NOW - timedelta(days=1))
    assert ingest_all.events(run, triggering, Every()) == [f"after {NOW.isoformat()}"]
    assert ingest_all.events(run, [], Every()) == [f"after {run.run_after.isoformat()}"]
    assert ingest_all.events(SimpleNamespace(run_type=DagRunType.SCHEDULED, run_after=NOW), [], Every()) == []
