"""Which saved sources `sluice_ingest_all` takes in, and what it says of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk.api.datamodels._generated import DagRunType

from sluice.airflow import dependencies as opened
from sluice.airflow import ingest_all
from sluice.errors import Forbidden, Terminal
from sluice.model.generation import Profile
from sluice.model.grants import Grant
from sluice.model.source import LastRun, SavedSource, Schedule, SourceSpec
from sluice.testing.catalog import MemoryCatalog
from sluice.testing.ledger import MemoryLedger

NOW = datetime(2026, 3, 10, 4, 7, tzinfo=UTC)
PROFILE = Profile("tokens:256:0", "hash:64", "off", 64)
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
    assert choice.left_out == {"acme/docs file:///a": "airflow:sluice_ingest/x works on it now"}


def test_all_means_due_or_not_but_not_paused() -> None:
    saved = [source("file:///a", waited_h=0.01), source("file:///b", Schedule(paused=True))]
    assert ingest_all.due_now(saved, NOW) == ingest_all.Choice()
    choice = ingest_all.due_now(saved, NOW, "manual__1")
    assert uris(choice) == ["file:///a"] and choice.left_out == {"acme/docs file:///b": "it is paused"}


def test_a_run_maps_over_no_more_than_airflow_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_all, "MAX_SOURCES", 2)
    choice = ingest_all.due_now([source(f"file:///{n}", waited_h=24 * (n + 1)) for n in range(3)], NOW)
    assert uris(choice) == ["file:///2", "file:///1"]
    assert choice.left_out == {"acme/docs file:///0": "a run takes in 2 at most; the next one goes on"}


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
    assert set(refused) == {"title", "refused"} and "three texts" in refused["refused"]
    assert good["conf"]["source"] == "file:///a"


@pytest.mark.parametrize(
    "change", [{"source": "file:///b"}, {"tenant": "other"}, {"collection": "other"}, {"source": ""}]
)
def test_an_event_names_a_saved_source_or_fails(change: dict[str, str]) -> None:
    choice = ingest_all.named([source("file:///a")], events(extra("file:///a") | change))
    assert "no saved source" in choice.elements[0]["refused"]


def test_events_leave_a_paused_source_alone() -> None:
    choice = ingest_all.named([source("file:///a", Schedule(paused=True))], events(extra("file:///a")))
    assert choice == ingest_all.Choice([], {"acme/docs file:///a": "it is paused"})


def test_an_event_that_two_runs_are_told_is_one_run_of_its_source() -> None:
    saved, told = [source("file:///a")], events(extra("file:///b"), extra("file:///a"), extra("file:///a"))
    first, again = ingest_all.named(saved, told), ingest_all.named(saved, told[2:])
    assert first.elements[-1] == again.elements[0] != ingest_all.named(saved, told[1:2]).elements[0]


def test_events_are_those_that_started_the_run_and_later_ones() -> None:
    class Every:
        def after(self, moment: str) -> list[str]:
            return [f"after {moment}"]

    triggering = [SimpleNamespace(timestamp=NOW + timedelta(seconds=1)), SimpleNamespace(timestamp=NOW)]
    run = SimpleNamespace(run_type=DagRunType.ASSET_TRIGGERED, run_after=NOW - timedelta(days=1))
    assert ingest_all.events(run, triggering, Every()) == [f"after {NOW.isoformat()}"]
    assert ingest_all.events(run, [], Every()) == [f"after {run.run_after.isoformat()}"]
    assert ingest_all.events(SimpleNamespace(run_type=DagRunType.SCHEDULED, run_after=NOW), [], Every()) == []


# --- the tasks' bodies, on a ledger in memory


class Ti:
    """What the bodies ask of Airflow: XCom, and the states of the mapped tasks."""

    def __init__(self, states: dict[str, str] | None = None, left_out: dict[str, str] | None = None) -> None:
        self.pushed: dict[str, Any] = {ingest_all.LEFT_OUT: left_out or {}}
        self._states = states or {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value

    def xcom_pull(self, task_ids: str, key: str) -> Any:
        return self.pushed[key]

    def get_task_states(self, dag_id: str, task_ids: list[str], run_ids: list[str]) -> dict[str, dict[str, str]]:
        return {run_ids[0]: self._states}


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> MemoryLedger:
    made = MemoryLedger()

    @contextmanager
    def tools() -> Iterator[tuple[Any, None]]:
        yield SimpleNamespace(ledger=made, catalog=MemoryCatalog(made.state)), None

    monkeypatch.setattr(opened, "opened", tools)
    return made


def save(ledger: MemoryLedger, uri: str, tenant: str = "acme", *groups: str) -> SourceSpec:
    return ledger.sources.open(SourceSpec(uri, "docs", tenant, groups), PROFILE, ()).spec


def run_of(kind: DagRunType, user: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(dag_id="sluice_ingest_all", run_id="one", run_type=kind, triggering_user_name=user)


PARAMS = {"all": True, "collection": None, "tenant": None}


def test_a_user_takes_in_what_they_may_write(ledger: MemoryLedger) -> None:
    save(ledger, "file:///mine", "acme", "staff")
    save(ledger, "file:///board", "acme", "staff", "board")
    save(ledger, "file:///theirs", "other")
    ledger.grants.add(Grant("ann", "acme", frozenset({"staff"}), may_write=True))
    ledger.grants.add(Grant("ann", "other", frozenset({"*"}), may_write=False))
    elements = ingest_all.plan(PARAMS, run_of(DagRunType.MANUAL, "ann"), Ti())
    assert [each["conf"]["source"] for each in elements] == ["file:///mine"]
    everything = ingest_all.plan(PARAMS, run_of(DagRunType.SCHEDULED), Ti())
    assert len(everything) == 3
    of_one = ingest_all.plan({**PARAMS, "tenant": "other"}, run_of(DagRunType.SCHEDULED), Ti())
    assert [each["conf"]["source"] for each in of_one] == ["file:///theirs"]


def test_a_run_that_should_name_its_user_and_does_not_is_refused(ledger: MemoryLedger) -> None:
    save(ledger, "file:///a")
    with pytest.raises(Forbidden, match="does not say who triggered it"):
        ingest_all.plan(PARAMS, run_of(DagRunType.MANUAL), Ti())


def test_the_report_names_what_failed_and_why(ledger: MemoryLedger) -> None:
    for uri in ("file:///good", "file:///gone", "file:///held", "file:///asked"):
        save(ledger, uri)
    told_of = events(extra("file:///good"), extra("file:///gone"), {})
    elements = ingest_all.plan(PARAMS, run_of(DagRunType.ASSET_TRIGGERED), Ti(), told_of)
    more = ingest_all.plan(PARAMS, run_of(DagRunType.SCHEDULED), Ti())
    elements += [each for each in more if each["conf"]["source"] in ("file:///held", "file:///asked")]
    reasons = {"file:///gone": "BadRequest: it does not exist", "file:///held": "Busy: another run works on it"}
    for each in elements:
        if why := reasons.get(each.get("conf", {}).get("source")):
            opened_again = ledger.sources.open(SourceSpec(each["conf"]["source"], "docs", "acme"), PROFILE, ())
            run = ledger.runs.start(
                opened_again, "incremental", uuid4(), f"airflow:sluice_ingest/{each['trigger_run_id']}"
            )
            ledger.runs.finish(run, "failed", {"error": why})
    states = dict(zip((f"ingest_{n}" for n in range(5)), ("success", "failed", "failed", "", ""), strict=True))
    order = [each.get("conf", {}).get("source", "bad") for each in elements]
    assert order[:3] == ["file:///good", "file:///gone", "bad"]
    states |= {f"ingest_{order.index('file:///held')}": "failed", f"ingest_{order.index('file:///asked')}": "skipped"}
    ti = Ti(states, {"acme/docs file:///z": "it is paused"})
    with pytest.raises(Terminal, match=r"(?s)2 of 5 sources failed, .*file:///gone: BadRequest: it does not exist"):
        ingest_all.report(elements, run_of(DagRunType.ASSET_TRIGGERED), ti)
    told = ti.pushed[ingest_all.SUMMARY]
    assert told["done"] == ["acme/docs file:///good"]
    assert set(told["failed"]) == {"acme/docs file:///gone", "event 3"}
    assert told["left_out"] == {
        "acme/docs file:///z": "it is paused",
        "acme/docs file:///asked": "an earlier run asked for it",
        "acme/docs file:///held": "Busy: another run works on it",
    }


def test_a_report_without_failures_is_its_summary(ledger: MemoryLedger) -> None:
    assert ingest_all.report([], run_of(DagRunType.SCHEDULED), Ti()) == {"done": [], "failed": {}, "left_out": {}}


def test_without_a_plan_there_is_no_good_report(ledger: MemoryLedger) -> None:
    with pytest.raises(Terminal, match="plan did not finish"):
        ingest_all.report(None, run_of(DagRunType.SCHEDULED), Ti())
