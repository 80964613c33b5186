"""`sluice_evaluate` in this process, by `dag.test()`, on the session's engines."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sluice.airflow import evaluate, notify, results
from sluice.errors import Forbidden
from sluice.model.gates import GateRule
from sluice.model.generation import Generation
from sluice.model.golden import JudgedQuery, Judgement
from sluice.model.grants import Grant
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest

WORDS = ("anvil", "bellows", "chisel", "drill", "easel", "file", "gimlet", "hammer", "jack", "kiln", "lathe", "mallet")
DEFAULTS = {"collection": None, "tenant": None, "golden_set": None, "top_k": 30, "accept_drop": False}


@pytest.fixture(scope="module")
def dag(dags: dict[str, Any], runnable: Any) -> Any:
    return runnable(dags["sluice_evaluate"])


@pytest.fixture
def sluice(make_sluice: Any, roots: Path, name: str) -> Any:
    """With a collection of one document for each word."""
    folder = roots / name
    folder.mkdir()
    for word in WORDS:
        (folder / f"{word}.md").write_text(f"# The {word}\n\nThe {word} lies on the bench.\n")
    built = make_sluice([roots], graph="off")
    built.ledger.grants.add(Grant("dag_test", "default", frozenset({"*"}), may_write=True))  # who `dag.test()` runs as
    built.ingestion.ingest(IngestRequest(SourceSpec(folder.as_uri(), name)))
    return built


@pytest.fixture
def golden(sluice: Any, name: str) -> Any:
    queries = [JudgedQuery(word, f"where is the {word}", (Judgement(f"{word}.md", 1.0),)) for word in WORDS]
    return sluice.golden.add(generation_of(sluice, name), "default", "default", queries)


def generation_of(sluice: Any, name: str) -> Generation:
    generations: list[Generation] = sluice.ledger.collections.generations()
    return next(each for each in generations if each.collection == name)


def delete_half(sluice: Any, name: str) -> None:
    generation = generation_of(sluice, name)
    ids = sorted({each.chunk_id for each in sluice.ledger.reconciliation.chunks_after(generation, None, 1000)})
    sluice.vectors.delete(generation, ids[::2])


def history(sluice: Any, name: str) -> list[Any]:
    return list(sluice.ledger.evaluations.history("default", name, limit=50))


def note(run: Any) -> str | None:
    """The result as it is written into the note of the run."""
    report = next(each for each in run.get_task_instances() if each.task_id == "report")
    return results.BY_DAG["sluice_evaluate"]({("report", "return_value"): report.xcom_pull(task_ids="report")})


def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    messages: list[tuple[str, str]] = []
    monkeypatch.setattr(notify, "tell", lambda event, dag_id, run_id, text: messages.append((event, text)))
    return messages


def test_structure(dag: Any) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    assert DagSerialization.from_dict(DagSerialization.to_dict(dag)).task_ids == dag.task_ids
    assert dag.doc_md and "When it fails" in dag.doc_md
    assert [each.uri for each in dag.timetable.asset_condition.objects] == ["sluice://collections/"]
    assert all(task.retry_policy and task.execution_timeout for task in dag.tasks)
    assert {name: dag.params.get_param(name).value for name in DEFAULTS} == DEFAULTS


def test_a_collection_without_a_golden_set_is_skipped_with_a_note(dag: Any, sluice: Any, name: str) -> None:
    run = dag.test(run_conf={"collection": name})
    assert run.state == "success"
    assert note(run) == (
        f"skipped: {name} has no golden set that dag_test may evaluate (with a grant to write with all groups); make "
        f"one: sluice golden import --collection {name}"
    )
    assert history(sluice, name) == []


def test_it_evaluates_and_warns_of_a_worsened_index(
    dag: Any, sluice: Any, golden: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = told(monkeypatch)
    first = dag.test(run_conf={"collection": name})
    assert first.state == "success" and f"{name}, golden set default: nDCG@10 " in (note(first) or "")
    (measured,) = [each for each in first.get_task_instances() if each.task_id == "measure"]
    assert measured.rendered_map_index == f"{name}: default"
    (evaluation,) = history(sluice, name)
    assert evaluation.queries == 12 and evaluation.golden_version == golden.version
    assert evaluation.orchestrator == f"airflow:sluice_evaluate/{first.run_id}" and evaluation.run_id
    assert messages == []

    delete_half(sluice, name)
    worse = dag.test(run_conf={"collection": name})
    assert worse.state == "success", "a warning does not fail the run"
    assert history(sluice, name)[0].comparison.result == "warning"
    [(event, text)] = messages
    assert event == "search_quality_dropped" and name in text and f"/sluice/evaluations?collection={name}" in text
    assert ", warning" in (note(worse) or "")

    rule = GateRule(action="block")
    sluice.ledger.quality.set_rule(generation_of(sluice, name), "retrieval", "quality_drop", rule)
    blocked = dag.test(run_conf={"collection": name})
    assert blocked.state == "failed" and history(sluice, name)[0].comparison.result == "failed"
    (task,) = [each for each in blocked.get_task_instances() if each.task_id == "measure"]
    assert task.try_number == 1, "Terminal: not one retry"
    accepted = dag.test(run_conf={"collection": name, "accept_drop": True})
    assert accepted.state == "success" and history(sluice, name)[0].comparison.accepted
    assert len(messages) == 2


# --- who may, and what events name


def planned(params: dict[str, Any], user: str | None = None, events: Any = (), kind: str = "manual") -> Any:
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
    dag_run = SimpleNamespace(run_type=kind, triggering_user_name=user)
    return evaluate.plan({**DEFAULTS, **params}, dag_run, ti, events), pushed[evaluate.SKIPPED]


def event(**extra: Any) -> Any:
    return SimpleNamespace(id=1, extra=extra)


def test_a_user_evaluates_tenants_that_the_user_administers(dags: Any, sluice: Any, golden: Any, name: str) -> None:
    (element,), skipped = planned({"collection": name}, "dag_test")
    assert (element["title"], element["golden_set"], element["changed"], skipped) == (
        f"{name}: default", "default", True, [],
    )  # fmt: skip
    assert planned({"collection": name}, "stranger")[0] == []
    (why,) = planned({"collection": name}, "stranger")[1]
    assert "that stranger may evaluate" in why, "not that there is none"
    with pytest.raises(Forbidden, match="may not evaluate tenant default"):
        planned({"collection": name, "tenant": "default"}, "stranger")
    sluice.ledger.grants.add(Grant(f"reader_{name}", "default", frozenset({"*"}), may_write=False))
    with pytest.raises(Forbidden):
        planned({"collection": name, "tenant": "default"}, f"reader_{name}")
    with pytest.raises(Forbidden, match="has no user"):
        planned({"collection": name})
    assert planned({"collection": name, "golden_set": "other"}, "dag_test")[1] == [
        f"{name} has no golden set other that dag_test may evaluate (with a grant to write with all groups); make one: "
        f"sluice golden import --collection {name}"
    ]


def test_events_of_ingests_name_the_collections(dags: Any, sluice: Any, golden: Any, name: str) -> None:
    place = {"tenant": "default", "collection": name}
    nothing, something = dict.fromkeys(("new", "changed", "moved", "deleted"), 0), {"new": 1}
    for events, changed in (
        ([event(**place, documents=nothing)], False),
        ([event(**place, documents=something)], True),
        ([event(**place, documents=something), event(**place, documents=nothing)], True),
        ([event(**place)], True),
    ):
        (element,), _ = planned({}, events=events, kind="asset_triggered")
        assert element["changed"] is changed
    elements, skipped = planned({}, events=[event(tenant=1), event(tenant="x", collection="y")], kind="asset_triggered")
    assert elements == [] and skipped == [
        "y of tenant x has no golden set; make one: sluice golden import --collection y"
    ]


def test_an_unchanged_collection_is_told_as_such(dags: Any, sluice: Any, golden: Any, name: str) -> None:
    (element,), _ = planned({"collection": name}, "dag_test")
    dag_run = SimpleNamespace(dag_id="sluice_evaluate", run_id="r")
    first = evaluate.measure(element, DEFAULTS, dag_run)
    assert first["result"] == "passed"
    again = evaluate.measure({**element, "changed": False}, DEFAULTS, dag_run)
    assert again["result"] == "unchanged"
    report = evaluate.report([first, again], [], SimpleNamespace(xcom_pull=lambda **_: []))
    assert report["unchanged"] == [element["title"]] and len(report["evaluated"]) == 1
    assert len(history(sluice, name)) == 1
