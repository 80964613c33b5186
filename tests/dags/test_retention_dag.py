"""`sluice_retention` in this process, by `dag.test()`, on the session's engines."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sluice.errors import Forbidden
from sluice.model.grants import Grant
from sluice.model.retention import Retention, RetentionScope
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest


@pytest.fixture(scope="module")
def dag(dags: dict[str, Any], runnable: Any) -> Any:
    return runnable(dags["sluice_retention"])


@pytest.fixture
def expired(make_sluice: Any, roots: Path, name: str) -> Any:
    """A collection of three documents, two of which have expired; (sluice, how many documents are left)."""
    folder = roots / name
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.md").write_text(f"# Note {number}\n\nThe ferry number {number} leaves at dusk.\n")
    sluice = make_sluice([roots], graph="off")
    sluice.ledger.grants.add(Grant("dag_test", "default", frozenset({"*"}), may_write=True))  # who `dag.test()` runs as
    sluice.ingestion.ingest(IngestRequest(SourceSpec(folder.as_uri(), name)))
    generation = next(each for each in sluice.ledger.collections.generations() if each.collection == name)
    served = sorted({each.document_id for each in sluice.ledger.reconciliation.chunks_after(generation, None, 10)})
    for document_id in served[:2]:
        sluice.ledger.retention.assign(
            RetentionScope(document_id=document_id), Retention(until=sluice.ledger.retention.clock())
        )
    return lambda: sluice.ledger.collections.counts(generation).documents


def states(run: Any) -> dict[str, str]:
    return {each.task_id: str(getattr(each.state, "value", each.state)) for each in run.get_task_instances()}


def test_structure(dag: Any) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    assert DagSerialization.from_dict(DagSerialization.to_dict(dag)).task_ids == dag.task_ids
    assert dag.doc_md and "When it fails" in dag.doc_md
    assert dag.params.get_param("dry_run").value is True
    assert dag.get_task("purge").upstream_task_ids == {"look", "choose", "approve"}
    assert dag.get_task("prune").upstream_task_ids == {"look"}
    assert all(task.retry_policy and task.execution_timeout for task in dag.tasks)


def test_a_dry_run_lists_and_removes_nothing(
    dag: Any, expired: Any, name: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    run = dag.test(run_conf={"collection": name})
    assert (run.state, states(run)["purge"], states(run)["approve"]) == ("success", "skipped", "skipped")
    assert states(run)["prune"] == "success"
    assert expired() == 3
    captured = capfd.readouterr()
    output = captured.out + captured.err + caplog.text
    assert f"0.md of default in {name}, 1 chunks" in output and "leaves at dusk" not in output


def test_told_to_it_removes_what_it_listed(dag: Any, expired: Any, name: str) -> None:
    run = dag.test(run_conf={"collection": name, "dry_run": False})
    assert (run.state, states(run)["purge"], states(run)["approve"]) == ("success", "success", "skipped")
    assert expired() == 1
    nothing = dag.test(run_conf={"collection": name, "dry_run": False})
    assert (nothing.state, states(nothing)["purge"]) == ("success", "skipped")


@pytest.mark.parametrize(("answer", "left", "purge"), [("Approve", 1, "success"), ("Reject", 3, "skipped")])
def test_above_the_threshold_a_person_decides(
    dag: Any, expired: Any, name: str, answer: str, left: int, purge: str
) -> None:
    done = threading.Event()
    answering = threading.Thread(target=_answer, args=(answer, done), daemon=True)
    answering.start()
    try:
        run = dag.test(run_conf={"collection": name, "dry_run": False, "approve_above": 1})
    finally:
        done.set()
        answering.join(10)
    assert (run.state, states(run)["approve"], states(run)["purge"]) == ("success", "success", purge)
    assert expired() == left


def _answer(option: str, done: threading.Event) -> None:
    """What the API does with a person's answer."""
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import handle_event_submit
    from airflow.triggers.base import TriggerEvent
    from airflow.utils.session import create_session
    from airflow.utils.timezone import utcnow
    from sqlalchemy import select

    while not done.wait(0.5):
        with create_session() as session:
            for waiting in session.scalars(select(TaskInstance).where(TaskInstance.state == "awaiting_input")):
                asked = session.scalars(select(HITLDetail).where(HITLDetail.ti_id == waiting.id)).one()
                asked.responded_at, asked.chosen_options, asked.params_input = utcnow(), [option], {}
                asked.responded_by = {"id": "dag_test", "name": "dag_test"}
                event = TriggerEvent(asked.as_resume_event_payload())  # type: ignore[no-untyped-call]
                handle_event_submit(event, task_instance=waiting, session=session)


@pytest.mark.parametrize(
    ("kind", "setting", "dry_run", "applies"),
    [
        ("scheduled", False, True, False),
        ("scheduled", True, True, True),
        ("manual", True, True, False),
        ("manual", False, False, True),
    ],
)
def test_a_scheduled_run_goes_by_the_setting(
    dags: Any, expired: Any, name: str, monkeypatch: pytest.MonkeyPatch, kind: str, setting: bool, dry_run: bool,
    applies: bool,
) -> None:  # fmt: skip
    from sluice.airflow import retention

    monkeypatch.setenv("SLUICE_RETENTION_APPLY", str(setting).lower())
    user = None if kind == "scheduled" else "dag_test"
    dag_run = SimpleNamespace(run_type=kind, triggering_user_name=user)
    result = retention.look({"collection": name, "dry_run": dry_run}, dag_run)
    assert (result["documents"], result["apply"]) == (2, applies)
    assert retention.way(result, 1000) == ("purge" if applies else None)
    pruned = retention.prune(result, dag_run)
    assert pruned["apply"] == (applies and kind == "scheduled"), "history belongs to no single tenant"
    assert set(pruned["kinds"]) >= {"versions", "embeddings", "keys", "runs", "quarantine", "lineage", "mirrors"}


def test_nobody_sees_or_removes_what_they_may_not_write(dags: Any, expired: Any, name: str) -> None:
    from sluice.airflow import retention

    params = {"collection": name, "dry_run": False}
    stranger = SimpleNamespace(run_type="manual", triggering_user_name="stranger", dag_id="d", run_id="r")
    assert retention.look(params, stranger)["documents"] == 0
    with pytest.raises(Forbidden, match="has no user who triggered it"):
        retention.look(params, SimpleNamespace(run_type="manual", triggering_user_name=None))
    assert expired() == 3
