"""Saved sources through Airflow: all of them by `sluice_ingest_all`, and one by an asset's event."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4, uuid5

import pytest

from demo.__main__ import allow
from demo.server import Server, StepFailed
from sluice.model.source import LastRun, SourceSpec
from sluice.wiring.application import Sluice
from support.engines import EngineStack

DAG = "sluice_ingest_all"
pytestmark = pytest.mark.timeout(900)  # alone, it starts the whole stack


@pytest.fixture(scope="module")
def server(airflow_stack: EngineStack) -> Server:
    environment = airflow_stack.environment
    built = Server(
        environment["SLUICE_AIRFLOW_URL"], environment["SLUICE_ADMIN_USER"], environment["SLUICE_ADMIN_PASSWORD"]
    )
    built.wait_for_dag(DAG, timeout_s=120.0)
    return built


@pytest.fixture(scope="module")
def collection() -> str:
    return f"t{uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def sluice(
    airflow_stack: EngineStack, make_lasting_sluice: Callable[..., Sluice], tmp_path_factory: pytest.TempPathFactory
) -> Sluice:
    return make_lasting_sluice([tmp_path_factory.getbasetemp()], graph="off")


@pytest.fixture(scope="module")
def folders(
    server: Server, sluice: Sluice, collection: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Three saved sources that never ran: one with a document, one without, and one whose folder is removed."""
    root = tmp_path_factory.mktemp("saved")
    allow(server, root.as_uri())
    built = {name: root / name for name in ("heron", "gone", "stork")}
    for folder in built.values():
        folder.mkdir()
        sluice.saved_sources.save(SourceSpec(folder.as_uri(), collection, access_groups=("waders",), retention_days=30))
    (built["heron"] / "heron.md").write_text("# Heron\n\nIt stands in shallow water.\n")
    shutil.rmtree(built["gone"])
    return built


def last_runs(sluice: Sluice, collection: str) -> dict[str, LastRun | None]:
    return {each.spec.uri.rsplit("/", 1)[-1]: each.last for each in sluice.ledger.sources.saved(None, collection)}


def output(server: Server, run_id: str) -> dict[str, Any]:
    path = f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances/report/xcomEntries/summary"
    result: dict[str, Any] = server._http.get(f"{path}?deserialize=false&stringify=false").json()["value"]
    return result


@pytest.fixture(scope="module")
def all_of_them(server: Server, folders: dict[str, Path], collection: str) -> dict[str, Any]:
    """A run over all saved sources, by a user."""
    run_id = server.trigger(DAG, {"all": True, "collection": collection})
    with pytest.raises(StepFailed, match="failed in ingest, report"):
        server.wait(DAG, run_id, 600.0, print)
    run: dict[str, Any] = server._http.get(f"/api/v2/dags/{DAG}/dagRuns/{run_id}").json()
    return run


def test_one_that_fails_is_named_and_stops_no_other(
    server: Server, all_of_them: dict[str, Any], folders: dict[str, Path], collection: str, sluice: Sluice
) -> None:
    summary = output(server, all_of_them["dag_run_id"])
    names = {name: f"default/{collection} {folder.as_uri()}" for name, folder in folders.items()}
    assert sorted(summary["done"]) == sorted([names["heron"], names["stork"]])
    assert list(summary["failed"]) == [names["gone"]] and "does not exist" in summary["failed"][names["gone"]]
    ran = last_runs(sluice, collection)
    assert {name: run and run.state for name, run in ran.items()} == {
        "heron": "succeeded", "gone": "failed", "stork": "succeeded",
    }  # fmt: skip
    saved = {each.spec.access_groups for each in sluice.ledger.sources.saved(None, collection)}
    assert saved == {("waders",)}
    listed = server._http.get(f"/sluice/api/v1/sources?collection={collection}").json()["sources"]
    assert {(each["last_run"]["state"], each["retention_days"]) for each in listed} == {
        ("succeeded", 30),
        ("failed", 30),
    }


def test_a_run_is_its_users_and_cannot_look_like_nobodys(
    airflow_stack: EngineStack, server: Server, all_of_them: dict[str, Any], collection: str, sluice: Sluice
) -> None:
    admin = airflow_stack.environment["SLUICE_ADMIN_USER"]
    assert (all_of_them["run_type"], all_of_them["triggering_user_name"]) == ("manual", admin)
    for more in ({"dag_run_id": "operator_triggered__1"}, {"run_type": "scheduled"}, {"triggering_user_name": None}):
        body = {"logical_date": None, "conf": {"source": "file:///x"}, **more}
        assert server._http.post("/api/v2/dags/sluice_ingest/dagRuns", json=body).status_code in (400, 422)
    path = f"/api/v2/dags/{DAG}/dagRuns/{all_of_them['dag_run_id']}/taskInstances/ingest/listMapped"
    elements = server._http.get(path).json()["task_instances"]
    assert {each["state"] for each in elements} == {"success", "failed"} and len(elements) == 3
    assert all("default/" in each["rendered_map_index"] for each in elements)
    for saved in sluice.ledger.sources.saved(None, collection):
        child = f"saved__{uuid5(saved.source_id, all_of_them['dag_run_id'])}"
        asked = server._http.get(f"/api/v2/dags/sluice_ingest/dagRuns/{child}").json()
        assert (asked["run_type"], asked["triggering_user_name"]) == ("operator_triggered", admin)


def test_an_event_takes_in_the_source_that_it_names(
    server: Server, all_of_them: dict[str, Any], folders: dict[str, Path], collection: str, sluice: Sluice
) -> None:
    before = last_runs(sluice, collection)
    result = server._http.get("/api/v2/assets?name_pattern=sluice_source_changed").json()["assets"]
    [asset] = [each["id"] for each in result if each["name"] == "sluice_source_changed"]
    named = {"tenant": "default", "collection": collection, "source": folders["heron"].as_uri()}
    for extra in ({"collection": collection}, named):
        sent = server._http.post("/api/v2/assets/events", json={"asset_id": asset, "extra": extra})
        assert sent.status_code == 200, sent.text
    summaries = [output(server, run_id) for run_id in finished_event_runs(server)]
    assert [each for summary in summaries for each in summary["done"]] == [f"default/{collection} {named['source']}"]
    assert all("does not name a source" in why for summary in summaries for why in summary["failed"].values())
    assert sum(len(summary["failed"]) for summary in summaries) == 1
    after = last_runs(sluice, collection)
    assert {name for name, run in after.items() if run != before[name]} == {"heron"}
    assert after["heron"] and after["heron"].state == "succeeded"


def finished_event_runs(server: Server) -> list[str]:
    """Events that come together are one run; others are two. Waits until none is under way and the source was named."""
    deadline_s = time.monotonic() + 300
    while time.monotonic() < deadline_s:
        runs = server._http.get(f"/api/v2/dags/{DAG}/dagRuns?run_type=asset_triggered").json()["dag_runs"]
        ended = [each["dag_run_id"] for each in runs if each["state"] in ("success", "failed")]
        if ended and len(ended) == len(runs) and any(output(server, each)["done"] for each in ended):
            return ended
        time.sleep(2)
    raise AssertionError(f"no event's run took a source in: {runs}")
