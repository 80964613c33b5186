"""Our lineage events keep to the OpenLineage schemas; the receiver that stands in for Marquez has its faults."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.generated import base
from openlineage.client.serde import Serde

from sluice.adapters import marquez
from sluice.airflow import events, lineage
from sluice.errors import Terminal, Unavailable
from sluice.model import gates, generation, run
from sluice.model.source import Source, SourceSpec
from support.lineage_receiver import serve
from support.openlineage_schemas import problems

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROFILE = generation.Profile("tokens:512:64", "hash:64", "off", 64)
GENERATION = generation.Generation(uuid4(), "handbook", 3, PROFILE, "handbook__g3")
SOURCE = Source(uuid4(), SourceSpec("file:///docs", "handbook"), GENERATION)
SLUICE_RUN = run.Run(uuid4(), SOURCE, "incremental", NOW)
GATES = [gates.GateResult("documents", "expect_text", "text", success=False, blocking=True, evaluated=9, unexpected=1)]
EXTRACTED, CHUNKS = ("sluice", "artefacts/handbook/1-extracted"), ("postgres://db:5432", "sluice.public.chunks")

Change = Callable[[dict[str, Any]], Any]


def event(state: str = "COMPLETE", job: str = "sluice_ingest.load", **changes: Any) -> dict[str, Any]:
    """As a task's: a gate's results on what it read, everything that we say of what it wrote."""
    built = RunEvent(
        eventType=RunState(state),
        eventTime=NOW.isoformat(),
        run=Run(str(uuid4())),
        job=Job("sluice", job),
        inputs=[lineage._input(EXTRACTED, "4-embedded", GATES)],
        outputs=[
            lineage._output(SLUICE_RUN, (CHUNKS, "chunks", 7), [(EXTRACTED, "4-embedded")], (5, 2, 900)),
            lineage._output(SLUICE_RUN, (("qdrant://db:6333", "handbook__g3"), "points", None), [], None),
        ],
    )
    return {**events.cleaned(json.loads(Serde.to_json(built))), **changes}


def test_our_events_keep_to_the_schemas() -> None:
    one = event()
    facets = {key for each in one["inputs"] + one["outputs"] for kind in each if "acets" in kind for key in each[kind]}
    assert facets >= {"schema", "columnLineage", "dataQualityAssertions", "outputStatistics"}
    assert facets >= {"sluice_generation", "sluice_embedder", "sluice_suite"}
    one["run"]["facets"] = {"airflow": {"_producer": "urn:x:y", "_schemaURL": base.RunFacet._get_schema(), "dag": {}}}
    assert problems(one) == []
    assert problems(events.masked(one, b"k" * 32)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda e: e.pop("eventType"), "eventType"),
        (lambda e: e.update(eventType="DONE"), "DONE"),
        (lambda e: e.update(eventTime="2026-01-01"), "date-time"),
        (lambda e: e.pop("producer"), "producer"),
        (lambda e: e["run"].update(runId="7"), "uuid"),
        (lambda e: e["job"].pop("name"), "name"),
        (lambda e: e["inputs"][0].pop("namespace"), "namespace"),
        (lambda e: e["outputs"][0]["outputFacets"]["outputStatistics"].update(rowCount="7"), "integer"),
        (lambda e: e["outputs"][0]["facets"]["schema"].pop("_producer"), "_producer"),
        (lambda e: e["outputs"][0]["facets"]["schema"].update(fields=[{"type": "text"}]), "name"),
        (lambda e: e["outputs"][0]["facets"]["columnLineage"].pop("fields"), "fields"),
        (lambda e: e["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"][0].pop("success"), "success"),
        (lambda e: e["outputs"][0]["facets"].update(columns=e["outputs"][0]["facets"]["schema"]), "stands under"),
        (lambda e: e["outputs"][0].update(outputFacets=e["outputs"][0]["facets"]), "is no OutputDatasetFacet"),
        (lambda e: e["outputs"][0]["facets"]["schema"].update(_schemaURL="https://openlineage.io/x"), "no schema"),
        (lambda e: e["outputs"][0]["facets"]["sluice_generation"].pop("tenant"), "tenant"),
        (lambda e: e["outputs"][0]["facets"]["sluice_embedder"].update(_schemaURL="urn:x:y"), "_schemaURL"),
    ],
)
def test_what_does_not_keep_to_the_schemas_is_found(change: Change, said: str) -> None:
    broken = copy.deepcopy(event())
    change(broken)
    assert said in "\n".join(problems(broken))


@pytest.fixture
def url() -> Iterator[str]:
    server = serve()
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def get(url: str, path: str) -> Any:
    answer = httpx.get(f"{url}/api/v1/{path}", timeout=10.0)
    return answer.json() if answer.is_success else answer.status_code


@pytest.mark.parametrize(
    ("web_url", "api_url", "link"),
    [
        ("http://web/", "http://api", "http://web/lineage/dataset/s3%3A%2F%2Fbucket/a%20b"),
        ("", "http://api/", "http://api/api/v1/lineage?nodeId=dataset%3As3%3A%2F%2Fbucket%3Aa%20b&depth=20"),
        ("", None, None),
    ],
)
def test_a_dataset_is_linked_where_there_is_a_marquez(web_url: str, api_url: str | None, link: str | None) -> None:
    assert marquez.dataset_link(web_url, api_url, "s3://bucket", "a b") == link


def test_a_chain_of_events_is_a_graph_with_facets_and_final_states(url: str) -> None:
    send = marquez.sender(url)
    one = event()
    send({**one, "eventType": "START", "inputs": [], "outputs": []})
    send(one)
    source = {"namespace": "file", "name": "/docs", "facets": {}}
    extracted = {"namespace": EXTRACTED[0], "name": EXTRACTED[1], "facets": {}}
    send(event(job="sluice_ingest.extract", inputs=[source], outputs=[extracted]))
    assert marquez.ping(url, 5.0) == "4 namespaces"
    place = "namespaces/postgres%3A%2F%2Fdb%3A5432/datasets/sluice.public.chunks"
    facets = get(url, place)["facets"]
    assert facets["outputStatistics"]["rowCount"] == 7 and facets["sluice_generation"]["generation"] == 3
    assert [each["createdByRun"]["id"] for each in get(url, f"{place}/versions")["versions"]] == [one["run"]["runId"]]
    checked = get(url, "namespaces/sluice/datasets/artefacts%2Fhandbook%2F1-extracted")["facets"]
    assert checked["dataQualityAssertions"]["assertions"] and checked["sluice_suite"]["suites"] == ["documents"]
    graph = get(url, "lineage?nodeId=dataset:postgres://db:5432:sluice.public.chunks&depth=20")["graph"]
    assert {"dataset:file:/docs", "job:sluice:sluice_ingest.extract"} <= {each["id"] for each in graph}
    runs = get(url, "namespaces/sluice/jobs/sluice_ingest.load/runs")["runs"]
    assert [each["state"] for each in runs] == ["COMPLETED"]


def test_the_last_event_is_the_runs_state_whatever_its_time(url: str) -> None:
    send, one = marquez.sender(url), event()
    send(one)
    send({**one, "eventType": "START", "eventTime": "2025-01-01T00:00:00+00:00"})
    runs = get(url, "namespaces/sluice/jobs/sluice_ingest.load/runs")["runs"]
    assert [each["state"] for each in runs] == ["RUNNING"]


@pytest.mark.parametrize(
    ("dirty", "broken"),
    [({"namespace": "file", "name": "/a, b"}, "datasets"), ({"namespace": "fi le", "name": "/a"}, "namespaces")],
)
def test_a_name_that_breaks_its_lists_is_cleaned_before(url: str, dirty: dict[str, Any], broken: str) -> None:
    marquez.sender(url)(events.cleaned(event(inputs=[dirty])))
    assert isinstance(get(url, "namespaces"), dict)
    with pytest.raises(Terminal, match="names are not taken"):
        marquez.sender(url)(event(inputs=[dirty]))
    assert (get(url, "namespaces") == 500) == (broken == "namespaces")


def test_a_job_without_a_name_breaks_the_list_of_jobs(url: str) -> None:
    nameless = {**event(), "job": {"namespace": "sluice", "name": ""}}
    assert events.unfit(nameless)
    with pytest.raises(Terminal):
        marquez.sender(url)(nameless)
    assert get(url, "jobs") == 500


@pytest.mark.parametrize("value", ["a\0b", float("nan"), float("inf")])
def test_a_value_that_it_fails_on_is_cleaned_before(url: str, value: Any) -> None:
    one = event()
    one["run"]["facets"] = {"odd": {"_producer": "urn:x:y", "_schemaURL": "urn:x:z", "value": value}}
    answer = httpx.post(f"{url}/api/v1/lineage", content=json.dumps(one), timeout=10.0)
    assert answer.status_code == 500
    marquez.sender(url)(events.cleaned(one))


def test_a_time_that_is_none_is_its_own_fault(url: str) -> None:
    with pytest.raises(Unavailable, match="status 500"):
        marquez.sender(url)(event(eventTime="yesterday"))


def test_what_we_say_of_a_run_is_found_again() -> None:
    assert events.sluice_run(event()) == UUID(str(SLUICE_RUN.run_id))
