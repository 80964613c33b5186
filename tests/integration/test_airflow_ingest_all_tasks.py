"""The tasks of `sluice_ingest_all`: whose sources they take in, and how they report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk.api.datamodels._generated import DagRunType

from sluice.airflow import dependencies, ingest_all
from sluice.errors import Forbidden, Terminal
from sluice.model.generation import Profile
from sluice.model.grants import Grant
from sluice.model.source import SourceSpec
from sluice.ports.ledger import Ledger
from support.ledger_rows import LedgerDatabase
from unit.test_airflow_ingest_all import events, extra

PROFILE = Profile("tokens:256:0", "hash:64", "off", 64)


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
def ledger(db: LedgerDatabase, monkeypatch: pytest.MonkeyPatch) -> Ledger:

    @contextmanager
    def sluice() -> Iterator[Any]:
        yield SimpleNamespace(ledger=db.ledger, catalog=db.catalog)

    monkeypatch.setattr(dependencies, "opened", sluice)
    return db.ledger


def save(ledger: Ledger, uri: str, tenant: str = "acme", *groups: str) -> SourceSpec:
    return ledger.sources.open(SourceSpec(uri, "docs", tenant, groups), PROFILE, ()).spec


def run_of(kind: DagRunType, user: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(dag_id="sluice_ingest_all", run_id="one", run_type=kind, triggering_user_name=user)


PARAMS = {"all": True, "collection": None, "tenant": None}


def test_a_user_takes_in_what_they_may_write(db: LedgerDatabase, ledger: Ledger) -> None:
    save(ledger, "file:///mine", "acme", "staff")
    save(ledger, "file:///board", "acme", "staff", "board")
    save(ledger, "file:///theirs", "other")
    db.ledger.grants.add(Grant("ann", "acme", frozenset({"staff"}), may_write=True))
    db.ledger.grants.add(Grant("ann", "other", frozenset({"*"}), may_write=False))
    elements = ingest_all.plan(PARAMS, run_of(DagRunType.MANUAL, "ann"), Ti())
    assert [each["conf"]["source"] for each in elements] == ["file:///mine"]
    everything = ingest_all.plan(PARAMS, run_of(DagRunType.SCHEDULED), Ti())
    assert len(everything) == 3
    of_one = ingest_all.plan({**PARAMS, "tenant": "other"}, run_of(DagRunType.SCHEDULED), Ti())
    assert [each["conf"]["source"] for each in of_one] == ["file:///theirs"]


def test_a_run_that_should_name_its_user_and_does_not_is_refused(ledger: Ledger) -> None:
    save(ledger, "file:///a")
    with pytest.raises(Forbidden, match="has no user who triggered it"):
        ingest_all.plan(PARAMS, run_of(DagRunType.MANUAL), Ti())


def test_the_report_names_what_failed_and_why(ledger: Ledger) -> None:
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
    output = ti.pushed[ingest_all.SUMMARY]
    assert output["done"] == ["acme/docs file:///good"]
    assert set(output["failed"]) == {"acme/docs file:///gone", "event 3"}
    assert output["left_out"] == {
        "acme/docs file:///z": "it is paused",
        "acme/docs file:///asked": "an earlier run triggered it",
        "acme/docs file:///held": "Busy: another run works on it",
    }


def test_a_report_without_failures_is_its_summary(ledger: Ledger) -> None:
    assert ingest_all.report([], run_of(DagRunType.SCHEDULED), Ti()) == {"done": [], "failed": {}, "left_out": {}}


def test_without_a_plan_there_is_no_good_report(ledger: Ledger) -> None:
    with pytest.raises(Terminal, match="The task plan failed"):
        ingest_all.report(None, run_of(DagRunType.SCHEDULED), Ti())
