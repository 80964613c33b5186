"""`sluice_reconcile` in this process, by `dag.test()`, on the session's engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.sources import uploads


@pytest.fixture(scope="module")
def dag(dags: dict[str, Any], runnable: Any) -> Any:
    return runnable(dags["sluice_reconcile"])


def test_by_default_it_sweeps_and_repairs_nothing(dag: Any) -> None:
    assert {name: dag.params.get_param(name).value for name in ("sweep", "repair", "deep")} == {
        "sweep": True,
        "repair": False,
        "deep": False,
    }


def test_a_lost_upload_fails_it_and_says_what_to_do(
    dag: Any, make_sluice: Any, roots: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    sluice = make_sluice([roots], entities="off")
    uploads.store(sluice.blobs, sluice.keyring, tenant=name, collection=name, name="a.md", content=b"# A\n\nWords.")
    sluice.ingestion.ingest(IngestRequest(SourceSpec(uploads.source_uri(name, name), name, name)))
    assert dag.test(run_conf={"collection": name}).state == "success"

    sluice.blobs.remove(f"uploads/{name}/{name}/{uploads.upload_id(name, name, 'a.md')}")
    lost = dag.test(run_conf={"collection": name})
    assert lost.state == "failed"
    (task,) = lost.get_task_instances()
    assert task.try_number == 1  # Terminal: not one retry
    output = capfd.readouterr()
    assert "Lost uploads: 1" in output.out + output.err
