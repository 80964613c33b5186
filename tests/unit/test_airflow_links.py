"""Where the links of tasks lead, and what the note of a run says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sluice.airflow import links, notes, results, xcom
from sluice.errors import BadRequest, Unavailable
from sluice.maintenance.drift import StoreReport
from sluice.maintenance.reconciliation import ReconciliationReport


def leads(link: Any, run_id: str | None = None, **params: Any) -> str:
    given = {"source": "file:///in", "collection": "docs", "tenant": "default", **params}
    task_instance = SimpleNamespace(
        get_template_context=lambda: {"params": given}, xcom_pull=lambda task_ids, key: run_id
    )
    result: str = link.get_link(None, ti_key=task_instance)
    return result.removeprefix(links.address(""))


def test_links_of_a_run() -> None:
    assert leads(links.GateResults(), "7") == "/sluice/gates?run=7&tenant=default"
    assert leads(links.GateResults()) == "", "a dry run has none"
    assert leads(links.Quarantine()) == "/sluice/api/v1/quarantine?collection=docs"
    assert leads(links.Search()) == "/sluice/#c=docs"
    assert leads(links.SavedSources(), collection=None, tenant=None) == "/sluice/api/v1/sources"


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("https://example.org/docs/sitemap.xml?page=1", "https://example.org/docs/sitemap.xml?page=1"),
        ("git+https://example.org/docs.git?connection=forge", "https://example.org/docs.git"),
        ("file:///data/handbook", "/sluice/api/v1/sources?collection=docs"),
        ("http://127.0.0.1:1/", "/sluice/api/v1/sources?collection=docs"),
        ("javascript:alert(1)", "/sluice/api/v1/sources?collection=docs"),
    ],
)
def test_a_source_is_opened_where_a_browser_can(source: str, address: str) -> None:
    assert leads(links.Source(), source=source) == address


def test_the_api_is_not_linked_for_a_tenant_that_a_link_cannot_name() -> None:
    assert leads(links.Quarantine(), tenant="acme") == leads(links.Source(), tenant="acme") == ""
    assert leads(links.Source(), tenant="acme", source="https://example.org/") == "https://example.org/"


# --- notes


def test_a_note_names_collection_source_and_what_is_unusual() -> None:
    assert notes.opening({"source": "file:///in"}) == "docs: file:///in"
    given = {"source": "file:///in", "collection": "hr", "tenant": "acme", "mode": "full", "dry_run": True}
    assert notes.opening(given) == "acme/hr: file:///in (dry run, full)"
    assert notes.opening({"source": "uploads://default/docs", "replay": []}).endswith("(replay)")
    assert notes.opening(None) == "docs: ?"
    assert len(notes.opening({"source": "https://example.org/" + "x" * 3000})) < 500


@pytest.mark.parametrize(
    ("dag_id", "conf", "note"),
    [
        ("sluice_ingest_all", None, "saved sources"),
        ("sluice_ingest_all", {"all": True, "tenant": "acme"}, "acme/saved sources (all)"),
        ("sluice_reconcile", {"repair": True, "deep": True}, "all collections (repair, deep)"),
        ("sluice_retention", {"collection": "hr", "dry_run": False}, "hr"),
    ],
)
def test_the_note_of_another_dag_names_what_it_works_on(dag_id: str, conf: dict[str, Any] | None, note: str) -> None:
    assert notes.opening(conf, dag_id) == note


def test_what_came_of_the_run_is_in_the_first_line() -> None:
    ours = notes.opening({"source": "file:///in"})
    assert notes.completed(ours, ours, "3 documents seen") == f"{ours} → 3 documents seen"
    again = notes.completed(f"{ours} → 3 documents seen\nLooked at by ann", ours, "4 documents seen")
    assert again == f"{ours} → 4 documents seen\nLooked at by ann"
    assert notes.completed("For the audit", ours, "3 documents seen") == "For the audit"
    assert notes.completed(None, ours, "3 documents seen") is None
    assert len(notes.completed(ours, ours, "x" * 2000) or "") == 1000
    assert notes.completed(ours, ours, "2 failed:\n- a\n- b") == f"{ours} → 2 failed: - a - b", "it is one line"


@pytest.mark.parametrize(
    ("dag_id", "result", "line"),
    [
        ("sluice_ingest", {("plan", "note"): "9 documents need work"}, "9 documents need work"),
        (
            "sluice_ingest",
            {("plan", "note"): "9 need work", ("finish", "note"): "9 documents seen"},
            "9 documents seen",
        ),
        ("sluice_ingest_all", {("report", "return_value"): {"done": [], "failed": {}, "left_out": {}}}, "0 ingested"),
        (
            "sluice_ingest_all",
            {("report", "return_value"): {"done": ["a", "b"], "failed": {}, "left_out": {"c": "it is paused"}}},
            "2 ingested, 1 skipped",
        ),
        (
            "sluice_retention",
            {("look", "return_value"): {"documents": 1, "chunks": 1204, "apply": False}},
            "1 document with 1,204 chunks expired, none deleted",
        ),
        ("sluice_retention", {("look", "return_value"): {"documents": 0, "chunks": 0}}, "no document has expired"),
        (
            "sluice_retention",
            {
                ("look", "return_value"): {"documents": 3, "chunks": 4, "apply": True},
                ("purge", "return_value"): {"documents": 2, "chunks": 1},
            },
            "2 documents with 1 chunk deleted",
        ),
        ("sluice_retention", {("look", "return_value"): "s3://elsewhere"}, None),
        ("sluice_reconcile", {}, None),
    ],
)
def test_a_result_is_one_line(dag_id: str, result: dict[tuple[str, str], Any], line: str | None) -> None:
    assert results.BY_DAG[dag_id](result) == line


def test_the_line_of_a_reconciliation_has_the_numbers_of_its_report() -> None:
    nothing = StoreReport(checked=0, missing=0, surplus=0, stale=0, repaired=0)
    report = ReconciliationReport(
        missing=1, surplus=0, stale=2, repaired=3, ok=True, in_flight=0, unreadable=0, embedded=0, orphans=0,
        repair=True, objects=nothing, collections=[],
    )  # fmt: skip
    result = {("compare", "return_value"): report.to_json()}
    assert results.BY_DAG["sluice_reconcile"](result) == "1 missing, 0 surplus, 2 stale, 3 repaired in 0 collections"


def test_a_task_that_failed_leaves_its_error_but_no_text_of_a_document() -> None:
    left: dict[str, str] = {}
    ti = SimpleNamespace(task_id="batch.embed", xcom_push=lambda key, value: left.update({key: value}))
    notes.leave_error({"ti": ti, "exception": Unavailable("Qdrant", "it timed out")})
    assert left.pop(xcom.ERROR).startswith("failed in batch.embed: Qdrant is not available: it timed out.")
    notes.leave_error({"ti": ti, "exception": ValueError("invalid: 'The barn owl hunts'")})
    assert left.pop(xcom.ERROR) == "failed in batch.embed: ValueError. See the log"
    notes.leave_error({"ti": ti, "exception": None})
    assert "was ended from outside" in left.pop(xcom.ERROR)
    notes.leave_error({"ti": ti, "exception": BadRequest("x" * 5000)})
    assert len(left.pop(xcom.ERROR)) == 1000


def test_a_listener_notes_runs_of_our_dags_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {True: "3 documents seen", False: "failed in plan: no such folder"}
    monkeypatch.setattr(notes, "_line", lambda run, succeeded: lines[succeeded])
    listener = notes.RunNotes()
    run = SimpleNamespace(dag_id="sluice_ingest", run_id="1", conf={"source": "file:///in"}, note=None)
    listener.on_dag_run_running(run, "started")
    assert run.note == "docs: file:///in"
    listener.on_dag_run_failed(run, "failed")
    assert run.note == "docs: file:///in → failed in plan: no such folder"
    listener.on_dag_run_running(run, "started")  # cleared
    assert run.note == "docs: file:///in → failed in plan: no such folder"
    listener.on_dag_run_success(run, "success")
    assert run.note == "docs: file:///in → 3 documents seen"
    nightly = SimpleNamespace(dag_id="sluice_retention", run_id="4", conf=None, note=None)
    listener.on_dag_run_running(nightly, "started")
    listener.on_dag_run_success(nightly, "success")
    assert nightly.note == "all collections → 3 documents seen"
    theirs = SimpleNamespace(dag_id="sluice_ingest", run_id="2", conf={"source": "file:///in"}, note="Mine")
    other = SimpleNamespace(dag_id="another", run_id="3", conf={}, note=None)
    for each in (theirs, other):
        listener.on_dag_run_running(each, "started")
        listener.on_dag_run_failed(each, "failed")
    assert (theirs.note, other.note) == ("Mine", None)
