"""OpenLineage events before they are kept: cleaned, and masked where that is set."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from sluice.airflow import events

RUN = "0190c1f0-0000-7000-8000-000000000001"
SECRET = "Dismissals of May.docx"
KEY = b"k" * 32


def event(**changes: Any) -> dict[str, Any]:
    source = {"namespace": "file", "name": f"/hr/{SECRET}", "facets": {"symlinks": {"name": SECRET}}}
    column = {"inputFields": [{"namespace": "file", "name": f"/hr/{SECRET}", "field": "text"}]}
    built = {
        "namespace": "postgres://db:5432",
        "name": "sluice.public.chunks",
        "facets": {"columnLineage": {"fields": {"text": column}}, "sluice_generation": {"runId": RUN}},
    }
    return {
        "eventType": "COMPLETE",
        "eventTime": "2026-01-01T00:00:00Z",
        "run": {"runId": RUN, "facets": {"airflow": {"conf": {"source": f"file:///hr/{SECRET}"}}}},
        "job": {"namespace": "sluice", "name": "sluice_ingest.load", "facets": {}},
        "inputs": [source],
        "outputs": [built],
        **changes,
    }


def test_no_name_of_a_source_is_left_when_names_are_masked() -> None:
    assert SECRET in json.dumps(event())
    output = json.dumps(events.masked(event(), KEY))
    assert SECRET not in output and "/hr/" not in output
    assert "sluice.public.chunks" in output


def test_a_masked_graph_stays_connected() -> None:
    """The same name, the same hash, wherever it stands; another key or name, another hash."""
    one = events.masked(event(), KEY)
    source = one["inputs"][0]
    field = one["outputs"][0]["facets"]["columnLineage"]["fields"]["text"]["inputFields"][0]
    assert (source["namespace"], source["name"]) == (field["namespace"], field["name"])
    assert events.masked(event(), KEY) == one
    assert events.masked(event(), b"o" * 32)["inputs"][0]["name"] != source["name"]
    other = events.masked(event(inputs=[{"namespace": "file", "name": "/hr/other"}]), KEY)
    assert other["inputs"][0]["name"] != source["name"]


def test_a_bucket_or_host_is_masked_too() -> None:
    output = events.masked(event(inputs=[{"namespace": "s3://payroll", "name": "may.pdf"}]), KEY)["inputs"][0]
    assert output["namespace"].startswith("s3://") and "payroll" not in json.dumps(output)


def test_what_marquez_cannot_digest_is_cleaned() -> None:
    dirty = event(
        inputs=[{"namespace": "file", "name": "/a, b\u00e9\0", "facets": {"x": {"y": float("nan"), "z": "\0"}}}]
    )
    output = events.cleaned(dirty)["inputs"][0]
    assert output["name"] == "/a=2C=20b=C3=A9"
    assert output["facets"]["x"] == {"y": None, "z": ""}
    json.dumps(output, allow_nan=False)


def test_an_event_tells_its_run_and_its_datasets() -> None:
    assert events.sluice_run(event()) == UUID(RUN)
    assert events.sluice_run(event(outputs=[])) is None
    assert events.datasets(event(), "outputs") == ["postgres://db:5432:sluice.public.chunks"]


def test_what_would_break_marquez_pages_is_not_sent() -> None:
    assert events.unfit(event()) is None
    assert "job" in str(events.unfit(event(job={"namespace": "sluice", "name": ""})))
    assert "dataset" in str(events.unfit(event(inputs=[{"namespace": "", "name": "x"}])))
