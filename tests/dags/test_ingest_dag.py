"""`sluice_ingest` in this process, by `dag.test()`, on the session's engines."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pytest

from sluice.airflow import notes
from sluice.model.gates import GateRule
from sluice.model.grants import Grant, Principal
from sluice.model.source import SourceSpec
from sluice.pipeline.quarantine import path
from sluice.pipeline.requests import IngestRequest
from support.engines import EngineStack
from support.ledger_rows import EVENTS_OF_RUN, lineage_events
from support.openlineage_schemas import problems
from support.scratch_databases import libpq, scratch_databases

OWLS = "# Owls\n\nThe barn owl hunts voles above wet meadows at dusk.\n"
BREAD = "# Bread\n\nRye sourdough wants a long, cool fermentation. Vienna bakers say so.\n"
ENDS = {("plan", -1), ("finish", -1), ("close", -1)}
STAGES = ["extract", "validate", "chunk", "embed", "load"]
Ingest = Callable[..., Any]


@pytest.fixture(scope="module")
def dag(dags: dict[str, Any]) -> Any:
    return dags["sluice_ingest"]


@pytest.fixture(scope="module")
def ingest(dag: Any, make_lasting_sluice: Any, roots: Path, runnable: Any) -> Ingest:
    """Run the DAG as a user who may write to the tenant `default`; returns the finished DagRun."""
    runnable(dag)
    make_lasting_sluice([roots]).ledger.grants.add(Grant("dag_test", "default", frozenset({"*"}), may_write=True))

    def run(folder: Path, collection: str, **conf: Any) -> Any:
        # Named, because `dag.test()` keeps what the run before was given.
        defaults: dict[str, Any] = {"source": folder.as_uri(), "collection": collection, "tenant": "default"}
        defaults |= {**dict.fromkeys(("replay", "max_tokens", "max_cost")), "approve_hiding": False, "dry_run": False}
        return dag.test(run_conf={**defaults, **conf})

    return run


def tasks(run: Any) -> dict[tuple[str, int], Any]:
    """Finished task instances by (name, index in the map; -1 where it is not mapped)."""
    return {(each.task_id.removeprefix("batch."), each.map_index): each for each in run.get_task_instances()}


def xcoms(run: Any) -> list[Any]:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        # Declared as a query of tuples.
        rows: Any = session.scalars(XComModel.get_many(run_id=run.run_id, dag_ids=run.dag_id)).all()
        return [row.value for row in rows]


def asset_events(run: Any) -> dict[str, Any]:
    """The extra of each asset event of a run, by the name of the asset."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        events: Any = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == run.run_id))
        return {each.asset.name: each.extra for each in events}


def summary(run: Any) -> dict[str, Any]:
    result: dict[str, Any] = tasks(run)["finish", -1].xcom_pull(task_ids="finish")
    return result


def test_structure(dag: Any) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    back = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert back.task_ids == dag.task_ids
    assert dag.tags == {"sluice", "ingest"}
    assert dag.doc_md and "When it fails" in dag.doc_md
    assert {task.pool for task in dag.tasks} == {"sluice_default", "sluice_extract", "sluice_embed", "sluice_load"}
    assert all(task.retry_policy and task.execution_timeout for task in dag.tasks)
    assert dag.params.get_param("mode").schema["enum"] == ["incremental", "full"]
    assert dag.on_failure_callback and dag.deadline
    stored = ("access_groups", "retention_days", "include", "exclude")
    assert [dag.params.get_param(name).value for name in stored] == [None] * 4  # what is saved of the source stays
    assert [dag.params.get_param(name).value for name in ("max_tokens", "max_cost")] == [None] * 2


def test_rows_of_a_database_come_through_airflows_own_connection(
    ingest: Ingest, stack: EngineStack, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scratch_databases(stack) as scratch, psycopg.connect(libpq(scratch.owner_url), autocommit=True) as server:
        server.execute("CREATE TABLE notes (id int, text text, updated_at timestamptz DEFAULT now())")
        server.execute("INSERT INTO notes VALUES (1, 'Herons wade.'), (2, 'Storks clatter.')")
        address = urlsplit(libpq(scratch.owner_url))._replace(scheme="postgres").geturl()
        monkeypatch.setenv("AIRFLOW_CONN_NOTES", address)
        source = "postgresql://notes?table=notes"
        assert summary(ingest(Path("/"), name, source=source))["documents"]["new"] == 2
        server.execute("DELETE FROM notes WHERE id = 1")
        server.execute("UPDATE notes SET text = 'Storks nest.', updated_at = '2020-01-01' WHERE id = 2")
        result = summary(ingest(Path("/"), name, source=source))["documents"]  # a time set back is a change, too
        assert (result["changed"], result["deleted"]) == (1, 1)


def test_a_good_an_edited_and_a_bad_file(ingest: Ingest, stack: EngineStack, roots: Path, name: str) -> None:
    folder = roots / name
    folder.mkdir()
    (folder / "owls.md").write_text(OWLS)
    (folder / "bread.md").write_text(BREAD)
    (folder / "noise.bin").write_bytes(os.urandom(4096))
    first = ingest(folder, name, batch_size=1)
    assert first.state == "success"
    done = tasks(first)
    assert {(stage, index) for stage in STAGES for index in range(3)} | ENDS == set(done)
    assert {each.state for each in done.values()} == {"success"}
    output = summary(first)["documents"]
    assert (output["seen"], output["new"], output["changed"], output["quarantined"]) == (3, 2, 0, 1)
    assert {done["extract", index].rendered_map_index.split(",")[0] for index in range(3)} == {
        f"batch {index}: 1 document" for index in range(3)
    }

    (folder / "bread.md").write_text(BREAD.replace("Rye", "Spelt"))
    second = ingest(folder, name, batch_size=1)
    assert second.state == "success"
    assert {index for stage, index in tasks(second) if stage == "load"} == {0}
    output = summary(second)["documents"]
    assert (output["new"], output["changed"], output["unchanged"], output["quarantined"]) == (0, 1, 1, 1)

    evaluated = gates_by_dataset(stack.settings(), summary(first)["run_id"])
    assert {name.rsplit("/", 1)[-1]: suites for name, suites in evaluated.items()} == {
        "1-extracted": {("documents", "sluice_ingest.batch.validate")},
        "3-chunked": {("chunks", "sluice_ingest.batch.embed")},
        "4-embedded": {("vectors", "sluice_ingest.batch.load")},
    }

    for run in (first, second):
        carried = xcoms(run)
        assert not [word for word in ("owl", "vole", "sourdough", "Vienna") if word in json.dumps(carried)]
        refs = [ref for value in carried for ref in (value if isinstance(value, list) else [value])]
        batches = [ref for ref in refs if isinstance(ref, dict) and "batch" in ref]
        assert len(batches) >= len(STAGES) + 1
        assert all(set(ref) == {"run_id", "batch", "documents", "size_bytes", "title"} for ref in batches)
        others = [ref for ref in refs if ref not in batches]
        pages = [each for each in others if isinstance(each, str) and each.startswith("http")]
        mapped = [key for key in tasks(run) if key[0] in STAGES and key[0] != "load"]
        assert len(pages) == 8 + 2 * len(mapped), "four links each of plan and finish, two of each stage that judges"
        assert sum(each.endswith(summary(run)["gates"]) for each in pages) == 2 + len(mapped)
        output = [each for each in others if each not in pages]
        assert len(output) == 4 and summary(run) in output and summary(run)["run_id"] in output
        assert sum(isinstance(each, str) and " documents " in each for each in output) == 2, "lines for the run's note"

    events = asset_events(second)
    assert set(events) == {"sluice.collections", f"sluice_{name}"}
    for extra in events.values():
        place = (extra["tenant"], extra["collection"], extra["source"], extra["run_id"])
        assert place == ("default", name, folder.as_uri(), summary(second)["run_id"])
        assert extra["documents"] == summary(second)["documents"]

    (folder / "bread.md").unlink()
    third = ingest(folder, name)
    assert (third.state, summary(third)["documents"]["deleted"]) == ("success", 1)
    written = finished_outputs(stack.settings(), summary(third)["run_id"])
    assert {name.rsplit(".", 1)[-1]: rows for name, rows in written.items()} == {
        "documents": 1,
        "chunks": summary(third)["chunks"]["removed"],
        f"{name}__g1": summary(third)["chunks"]["removed"],
    }


def test_a_dry_run_ends_after_its_plan(ingest: Ingest, make_sluice: Any, roots: Path, name: str) -> None:
    folder = roots / name
    folder.mkdir()
    (folder / "owls.md").write_text(OWLS)
    run = ingest(folder, name, dry_run=True)
    states = {key: each.state for key, each in tasks(run).items()}
    assert run.state == "success"
    assert [states[name, -1] for name in ("plan", "finish", "close")] == ["success", "skipped", "success"]
    assert {state for (stage, _), state in states.items() if stage in STAGES} == {"skipped"}
    result = tasks(run)["plan", -1].xcom_pull(task_ids="plan", key="dry_run")
    assert (result["documents"]["new"], result["saved"]) == (1, False)
    assert name not in [each.collection for each in make_sluice([roots], graph="off").ledger.collections.generations()]
    assert summary(ingest(folder, name))["documents"]["new"] == 1


def test_a_budget_ends_a_run_that_succeeds(ingest: Ingest, roots: Path, name: str) -> None:
    folder = roots / name
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.md").write_text(f"# {name}\n\nA page, number {number}, that is in {name} alone.\n")
    first = ingest(folder, name, batch_size=1, max_tokens=20)
    assert first.state == "success" and {each.state for each in tasks(first).values()} == {"success"}
    output = summary(first)
    assert (output["stopped"], output["remaining"] + output["documents"]["new"]) == ("budget", 3)
    assert 0 < output["cost"]["tokens"] <= 20
    second = summary(ingest(folder, name, batch_size=1))
    assert (second["stopped"], second["documents"]["new"]) == (None, output["remaining"])
    assert output["cost"]["texts"] + second["cost"]["texts"] == 3


def events_of(settings: Any, run_id: str) -> list[dict[str, Any]]:
    """Lineage that is in the ledger."""
    result = lineage_events(settings.database_url.get_secret_value(), EVENTS_OF_RUN, run_id=UUID(run_id))
    assert [output for event in result for output in problems(event)] == []
    return result


def finished_outputs(settings: Any, run_id: str) -> dict[str, int]:
    """What the task `finish` says: dataset name → rows."""
    return {
        each["name"]: each["outputFacets"]["outputStatistics"]["rowCount"]
        for event in events_of(settings, run_id)
        if event["job"]["name"] == "sluice_ingest.finish"
        for each in event.get("outputs", [])
        if "outputStatistics" in each.get("outputFacets", {})
    }


def gates_by_dataset(settings: Any, run_id: str) -> dict[str, set[tuple[str, str]]]:
    """Dataset name → suites with their assertions, and the tasks that tell them."""
    evaluated: dict[str, set[tuple[str, str]]] = {}
    for event in events_of(settings, run_id):
        for each in event.get("inputs", []):
            if each.get("inputFacets", {}).get("dataQualityAssertions", {}).get("assertions"):
                output = {(suite, event["job"]["name"]) for suite in each["facets"]["sluice_suite"]["suites"]}
                evaluated.setdefault(each["name"], set()).update(output)
    return evaluated


def test_an_artefact_that_is_gone_fails_at_once_and_says_so(
    ingest: Ingest, roots: Path, name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from sluice.pipeline.checkpoints import Checkpoints

    folder = roots / name
    folder.mkdir()
    (folder / "owls.md").write_text(OWLS)
    carry_out = Checkpoints.carry_out

    def embed_and_lose(self: Any, run: Any, stage: Any, ref: Any) -> Any:
        done = carry_out(self, run, stage, ref)
        if stage.name == "embed":
            self.blobs.remove(f"runs/{ref.run_id}/{ref.batch:05d}/4-embedded.parquet")
        return done

    monkeypatch.setattr(Checkpoints, "carry_out", embed_and_lose)
    broken = ingest(folder, name)
    done = tasks(broken)
    assert broken.state == "failed"
    states = [done[each].state for each in (("embed", 0), ("load", 0), ("finish", -1), ("close", -1))]
    assert states == ["success", "failed", "upstream_failed", "success"]
    assert done["load", 0].try_number == 1  # Terminal: not one retry
    captured = capfd.readouterr()
    assert "NotFound" in captured.out + captured.err and "4-embedded.parquet" in captured.out + captured.err
    monkeypatch.undo()
    mended = ingest(folder, name)
    assert mended.state == "success"
    output = summary(mended)
    assert output["documents"]["new"] == 1 and output["embeddings"]["computed"] == 0  # paid for once


def test_a_batch_that_fails_costs_only_itself_and_frees_the_source(
    ingest: Ingest, make_sluice: Any, roots: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger's run ends once, with the DAG run: with the first error, when no batch is at work any more."""
    from sluice.errors import Busy, Terminal
    from sluice.pipeline.checkpoints import Checkpoints

    folder = roots / name
    folder.mkdir()
    for each in range(3):
        (folder / f"{each}.md").write_text(f"# {each}\n\nA page of {name}, number {each}.\n")
    sluice = make_sluice([roots], graph="off")
    spec = SourceSpec(folder.as_uri(), name)
    carry_out = Checkpoints.carry_out
    seen: dict[str, Any] = {}

    def chunk_two_and_load_one(self: Any, run: Any, stage: Any, ref: Any) -> Any:
        if (stage.name, ref.batch) == ("chunk", 0):
            raise Terminal("the first error")
        if (stage.name, ref.batch) == ("load", 1):
            raise Terminal("a later error")
        if stage.name == "load":
            with pytest.raises(Busy):
                sluice.ingestion.ingest(IngestRequest(spec))
            seen["state"] = sluice.ledger.sources.saved("default", name)[0].held_by
        return carry_out(self, run, stage, ref)

    monkeypatch.setattr(Checkpoints, "carry_out", chunk_two_and_load_one)
    broken = ingest(folder, name, batch_size=1)
    states = {key: each.state for key, each in tasks(broken).items()}
    assert broken.state == "failed"
    loads = [states["load", index] for index in range(3)]
    assert (loads, states["close", -1]) == (["upstream_failed", "failed", "success"], "success")
    assert notes._line(broken, False) == "failed in batch.chunk: the first error"
    assert seen["state"].startswith("airflow:sluice_ingest/"), "it held the source until the end"
    (saved,) = sluice.ledger.sources.saved("default", name)
    assert saved.held_by is None and saved.last.state == "failed"
    assert saved.last.error == "Terminal: the first error"
    monkeypatch.undo()
    output = sluice.ingestion.ingest(IngestRequest(spec)).to_json()["documents"]  # at once
    assert (output["new"], output["unchanged"]) == (2, 1)


def test_a_foreign_tenant_is_refused(
    ingest: Ingest, roots: Path, name: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = roots / name
    folder.mkdir()
    (folder / "owls.md").write_text(OWLS)
    refused = ingest(folder, name, tenant="others")
    done = tasks(refused)
    assert refused.state == "failed"
    assert done["plan", -1].state == "failed" and done["plan", -1].try_number == 1
    captured = capfd.readouterr()
    assert "dag_test may not write to tenant others" in captured.out + captured.err + caplog.text


def test_a_replay_takes_kept_bytes_and_the_callers_rights(
    ingest: Ingest, make_sluice: Any, roots: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = roots / name
    folder.mkdir()
    (folder / "owls.md").write_text(OWLS)
    assert ingest(folder, name).state == "success"
    sluice = make_sluice([roots], graph="off")
    generation = next(each for each in sluice.ledger.collections.generations() if each.collection == name)
    sluice.ledger.quality.set_rule(generation, "documents", "too_long", GateRule("block", 100))
    (folder / "bread.md").write_text(BREAD * 5)
    assert summary(ingest(folder, name))["quarantine"] == {"too_long": 1}
    who = Principal("tester", "default", frozenset({"*"}))
    (refusal,) = sluice.catalog.quarantine_records(who, name, limit=9)
    assert path(refusal.document_id) in sluice.blobs.list("quarantine")
    shutil.rmtree(folder)
    sluice.ledger.quality.set_rule(generation, "documents", "too_long", None)

    replayed = ingest(folder, name, replay=[str(refusal.document_id)])
    output = summary(replayed)
    assert (replayed.state, output["documents"]["new"], output["quarantine"]) == ("success", 1, {})
    assert sluice.ledger.runs.get(UUID(output["run_id"])).mode == "replay"
    assert path(refusal.document_id) not in sluice.blobs.list("quarantine")
    link = tasks(replayed)["finish", -1].xcom_pull(task_ids="finish", key="_link_GateResults")
    assert link.startswith("http") and link.endswith(output["gates"])
    assert f"gate results at {link}" in caplog.text
    assert ingest(folder, name, replay=[], tenant="others").state == "failed"


def test_the_links_of_a_run_reach_the_ui(dag: Any) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    back = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    for task in ("plan", "finish"):
        assert set(back.get_task(task).extra_links) == {"Gate results", "Quarantine", "Search", "Source"}
