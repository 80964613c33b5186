"""What Airflow shows of the DAGs: their trigger forms, and how runs and tasks are recognised."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import ParamValidationError

from sluice.airflow import ingest
from sluice.airflow.notes import leave_error
from sluice.model.run import BatchRef

DAGS = Path(__file__).resolve().parents[2] / "dags"
NAMES = ("evaluate", "ingest", "ingest_all", "reconcile", "retention")


@pytest.fixture(scope="module")
def dags() -> dict[str, Any]:
    result = {}
    for name in NAMES:
        spec = importlib.util.spec_from_file_location(f"dags_{name}", DAGS / f"{name}.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        result[name] = getattr(module, f"sluice_{name}")()
    return result


def params(dag: Any) -> dict[str, Any]:
    return {name: dag.params.get_param(name) for name in dag.params}


def test_somebody_owns_each_task_and_each_says_what_it_does(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        assert dag.description and "sluice" in dag.tags and len(dag.tags) == 2
        assert dag.owner == "sluice"
        for task in dag.tasks:
            assert task.owner == "sluice" and (task.doc_md or "").strip(), task.task_id


def test_no_field_of_a_form_is_red_before_it_is_touched(dags: dict[str, Any]) -> None:
    """As Airflow's form has it: a field is required where its schema has a `type` without "null"."""
    for dag in dags.values():
        for name, param in params(dag).items():
            kind = param.schema.get("type")
            if kind is not None and "null" not in kind:
                assert param.has_value, name


def test_each_field_says_in_words_what_it_is(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        for name, param in params(dag).items():
            assert param.schema["title"] != name and "_" not in param.schema["title"]
            assert param.description is None, "a plain description would hide the one with links"
            assert param.schema["description_md"]
            for target in re.findall(r"\]\(([^)]*)\)", param.schema["description_md"]):
                assert re.match(r"(https?://[^/]+)?/\w", target), target


def test_an_empty_field_keeps_what_is_saved_and_says_so(dags: dict[str, Any]) -> None:
    form = params(dags["ingest"])
    for name in ("access_groups", "retention_days", "include", "exclude"):
        assert form[name].value is None and "null" in form[name].schema["type"]
        assert "Empty keeps what is [saved of the source]" in form[name].schema["description_md"]
    for name in ("replay", "batch_size", "max_documents", "max_tokens", "max_cost"):
        assert form[name].value is None and "Empty: " in form[name].schema["description_md"]


def test_the_form_of_an_ingest_has_sections_and_the_first_one_is_open(dags: dict[str, Any]) -> None:
    sections: dict[str, list[str]] = {}
    for name, param in params(dags["ingest"]).items():
        sections.setdefault(param.schema.get("section", "open"), []).append(name)
    assert sections == {
        "open": ["source", "collection", "dry_run"],
        "Access and retention": ["tenant", "access_groups", "retention_days", "approve_hiding"],
        "Filters": ["include", "exclude"],
        "Limits": ["max_documents", "max_tokens", "max_cost", "approve_shrink", "batch_size"],
        "Repair": ["mode", "replay"],
    }
    titles = {name: param.schema["title"] for name, param in params(dags["ingest"]).items()}
    assert titles["approve_shrink"] == "Allow many deletions"
    assert titles["retention_days"] == "Delete after (days)"


def test_a_run_without_a_source_is_refused(dags: dict[str, Any]) -> None:
    source = params(dags["ingest"])["source"]
    assert source.resolve("file:///in") == "file:///in"
    with pytest.raises(ParamValidationError, match="is not of type 'string'"):
        source.resolve(None)
    for wrong in ("", "x" * 2001):
        with pytest.raises(ParamValidationError):
            source.resolve(wrong)
    fresh = type(source)(schema=source.schema)
    with pytest.raises(ParamValidationError, match="no default"):
        fresh.resolve()


def test_a_switch_is_yes_or_no(dags: dict[str, Any]) -> None:
    switches = [
        param
        for dag in dags.values()
        for param in params(dag).values()
        if param.schema.get("allOf") == [{"type": "boolean"}]
    ]
    assert len(switches) == 10
    for param in switches:
        fresh = type(param)(param.value, schema=param.schema)
        assert fresh.resolve(True) is True
        for wrong in (None, "yes", 1):
            with pytest.raises(ParamValidationError):
                fresh.resolve(wrong)


def test_tasks_of_a_batch_are_named_by_what_it_holds(dags: dict[str, Any]) -> None:
    dag = dags["ingest"]
    stages = [task for task in dag.tasks if task.task_id.startswith("batch.")]
    assert len(stages) == 5
    jinja = dag.get_template_env()
    for task in stages:
        template = jinja.from_string(task.map_index_template)
        for ref, words in (
            (BatchRef("r", 3, 50, 1_234_567).to_json(), "batch 3: 50 documents, 1.2 MB"),
            (BatchRef("r", 0, 1, 10).to_json(), "batch 0: 1 document, 10 bytes"),
            ({"run_id": "r", "batch": 1, "uri": "file:///x", "documents": 2}, ""),  # of an older release
        ):
            assert template.render(task=SimpleNamespace(op_args=[ref])) == words
            assert BatchRef.from_json(ref).documents == ref["documents"]


def test_assets_name_who_makes_them_and_who_reads_them(dags: dict[str, Any]) -> None:
    built = [each.name for each in dags["ingest"].get_task("finish").outlets]
    assert built == ["sluice_collections", "sluice.collections"]
    for dag, task in (("evaluate", "plan"), ("reconcile", "compare"), ("retention", "look")):
        assert [each.uri for each in dags[dag].get_task(task).inlets] == ["sluice://collections/"]


def test_links_lead_from_tasks_to_pages(dags: dict[str, Any]) -> None:
    wanted = {"Gate results", "Quarantine", "Search", "Source"}
    for task in ("plan", "finish"):
        assert {each.name for each in dags["ingest"].get_task(task).operator_extra_links} == wanted
    for stage in ("extract", "validate", "chunk", "embed"):
        result = {each.name for each in dags["ingest"].get_task(f"batch.{stage}").operator_extra_links}
        assert result == {"Gate results", "Quarantine"}, stage
    assert [each.name for each in dags["ingest_all"].get_task("plan").operator_extra_links] == ["Saved sources"]
    assert [each.name for each in dags["evaluate"].get_task("plan").operator_extra_links] == ["Evaluations"]


def test_each_task_that_fails_leaves_its_error_for_the_note(dags: dict[str, Any]) -> None:
    """Except `ingest` of `sluice_ingest_all`, whose reasons are in the error of `report`."""
    for dag in dags.values():
        for task in dag.tasks:
            called = task.partial_kwargs.get("on_failure_callback") if task.is_mapped else task.on_failure_callback
            assert (leave_error in (called or ())) == (task.task_id != "ingest"), (dag.dag_id, task.task_id)
    assert ingest.failed in dags["ingest"].get_task("plan").on_failure_callback


def test_an_approval_says_how_many_documents_in_words(dags: dict[str, Any]) -> None:
    task = dags["retention"].get_task("approve")

    def shown(template: str, documents: int, chunks: int, collection: str | None) -> str:
        result = {"documents": documents, "chunks": chunks}
        instance = SimpleNamespace(xcom_pull=lambda task_ids: result if task_ids == "look" else None)
        return str(dags["retention"].get_template_env().from_string(template).render(
            ti=instance, params={"collection": collection}
        ))  # fmt: skip

    assert shown(task.subject, 1, 2, "hr") == "Delete 1 document with 2 chunks in hr?"
    assert shown(task.subject, 5, 1, None) == "Delete 5 documents with 1 chunk in all collections?"
    assert "already: 5 documents with 1 chunk. " in shown(task.body, 5, 1, None)
    assert "deletes nothing" in task.body and "three days" in task.body


def test_no_description_of_several_lines_has_code_in_it(dags: dict[str, Any]) -> None:
    """Airflow pads inline code: from the second line on, it hides parts of the lines above and below."""
    for dag in dags.values():
        for name, param in params(dag).items():
            shown = re.sub(r"\]\([^)]*\)", "", param.schema["description_md"])
            assert "`" not in shown or len(shown) < 110, name
