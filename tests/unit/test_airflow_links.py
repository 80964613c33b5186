"""Where the links of tasks lead, and what the note of a run says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sluice.airflow import links, notes


def leads(link: Any, run_id: str | None = None, **params: Any) -> str:
    given = {"source": "file:///in", "collection": "docs", "tenant": "default", **params}
    task_instance = SimpleNamespace(
        get_template_context=lambda: {"params": given}, xcom_pull=lambda task_ids, key: run_id
    )
    found: str = link.get_link(None, ti_key=task_instance)
    return found.removeprefix(links.address(""))


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


def test_what_came_of_the_run_is_in_the_first_line() -> None:
    conf = {"source": "file:///in"}
    ours = notes.opening(conf)
    assert notes.completed(ours, conf, "3 documents seen") == f"{ours} → 3 documents seen"
    again = notes.completed(f"{ours} → 3 documents seen\nLooked at by ann", conf, "4 documents seen")
    assert again == f"{ours} → 4 documents seen\nLooked at by ann"
    assert notes.completed("For the audit", conf, "3 documents seen") == "For the audit"
    assert notes.completed(None, conf, "3 documents seen") is None
    assert len(notes.completed(ours, conf, "x" * 2000) or "") == 1000


def test_a_listener_notes_runs_of_an_ingest_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "_planned", lambda run: "3 documents seen")
    listener = notes.RunNotes()
    run = SimpleNamespace(dag_id="sluice_ingest", run_id="1", conf={"source": "file:///in"}, note=None)
    listener.on_dag_run_running(run, "started")
    assert run.note == "docs: file:///in"
    listener.on_dag_run_success(run, "success")
    assert run.note == "docs: file:///in → 3 documents seen"
    listener.on_dag_run_running(run, "started")  # cleared
    assert run.note == "docs: file:///in → 3 documents seen"
    theirs = SimpleNamespace(dag_id="sluice_ingest", run_id="2", conf={"source": "file:///in"}, note="Mine")
    other = SimpleNamespace(dag_id="another", run_id="3", conf={}, note=None)
    for each in (theirs, other):
        listener.on_dag_run_running(each, "started")
        listener.on_dag_run_failed(each, "failed")
    assert (theirs.note, other.note) == ("Mine", None)
