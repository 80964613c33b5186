"""`sluice_ingest_all` as Airflow reads it; its runs are in the end-to-end tests, because it triggers others."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="module")
def dag(dags: dict[str, Any]) -> Any:
    return dags["sluice_ingest_all"]


def test_it_ticks_and_follows_the_asset(dag: Any) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    back = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert back.task_ids == dag.task_ids and set(dag.task_ids) == {"plan", "ingest", "report"}
    assert "sluice_source_changed" in str(dag.timetable.asset_condition)
    assert dag.on_failure_callback and dag.deadline and dag.tags == {"sluice", "ingest"} and not dag.catchup


def test_a_source_waits_without_a_slot_and_is_never_a_template(dag: Any) -> None:
    uri = "https://example.org/{{ var.value.sluice_file_roots }}"
    element = {"title": uri, "conf": {"source": uri}, "trigger_run_id": "saved__1"}
    ingest = dag.get_task("ingest")
    built = ingest.operator_class(
        task_id="ingest", **element, **{"poke_interval": ingest.partial_kwargs["poke_interval"]}
    )
    assert built.deferrable and built.wait_for_completion and built.skip_when_already_exists
    built.render_template_fields({"var": None})
    assert built.conf == {"source": uri}
    assert ingest.retries == 0
