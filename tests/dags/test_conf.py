"""A run's conf holds params of its DAG and nothing else, in every DAG."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from sluice.airflow import notes
from sluice.airflow.dag_defaults import begin, check_conf
from sluice.errors import BadRequest
from sluice.model.grants import Grant


def test_every_task_of_every_dag_looks_at_the_conf(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        for task in dag.tasks:
            hook = task.partial_kwargs.get("pre_execute") if task.is_mapped else task._pre_execute_hook
            assert hook is begin, (dag.dag_id, task.task_id)


def test_what_airflows_providers_add_is_none_of_ours(dags: dict[str, Any]) -> None:
    class Triggered:
        conf: ClassVar = {"source": "file:///in", "openlineage": {"parentRunId": "1"}, "parent": "1"}

    with pytest.raises(BadRequest, match="'parent'") as caught:
        check_conf({"dag": dags["sluice_ingest"], "dag_run": Triggered})
    assert "openlineage" not in str(caught.value)


@pytest.mark.parametrize(
    ("dag_id", "conf", "meant"),
    [
        ("sluice_ingest", {"acces_groups": ["hr"]}, "access_groups"),
        ("sluice_ingest_all", {"tenants": "default"}, "tenant"),
        ("sluice_reconcile", {"repairs": True}, "repair"),
        ("sluice_retention", {"dryrun": False}, "dry_run"),
    ],
)
def test_a_misspelled_param_fails_the_run_before_anything_is_done(
    dags: dict[str, Any],
    runnable: Any,
    make_sluice: Any,
    roots: Path,
    name: str,
    capfd: pytest.CaptureFixture[str],
    dag_id: str,
    conf: dict[str, Any],
    meant: str,
) -> None:
    sluice = make_sluice([roots], graph="off")
    sluice.ledger.grants.add(Grant("dag_test", "default", frozenset({"*"}), may_write=True))
    folder = roots / name
    folder.mkdir()
    (folder / "owls.md").write_text("# Owls\n\nThe barn owl hunts voles.\n")
    if dag_id == "sluice_ingest":
        conf = {"source": folder.as_uri(), "collection": name, **conf}
    run = runnable(dags[dag_id]).test(run_conf=conf)
    assert str(run.state) == "failed"
    ended = {each.task_id: str(each.state) for each in run.get_task_instances()}
    assert ended.pop("close", "success") == "success", "a teardown does not repeat the error"
    assert set(ended.values()) <= {"failed", "upstream_failed", "skipped"}
    assert f"did you mean '{meant}'" in capfd.readouterr().out
    left = notes._line(run, False) or ""
    assert left.startswith("failed in ") and f"did you mean '{meant}'" in left
    assert name not in [each.collection for each in sluice.ledger.collections.generations()]
