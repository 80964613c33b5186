"""Clearing an old run's tasks: what a later run has seen stays as that one left it, and the next run converges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from sluice.indexing import loading
from sluice.model.gates import GateRule
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.run import BatchRef
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.quality import gates
from sluice.wiring.application import Sluice
from support import steps

MakeTools = Callable[..., Sluice]
WHO = Principal("tester", "default", frozenset({ALL_GROUPS}))
OWLS = "# Owls\n\nThe barn owl hunts voles above wet meadows at {time}.\n"


class Monday:
    """A run of which everything is done but `load`, by tasks as Airflow runs them."""

    def __init__(self, sluice: Sluice, folder: Path, collection: str) -> None:
        self.sluice, self.folder = sluice, folder / "in"
        self.folder.mkdir()
        self.spec = SourceSpec(self.folder.as_uri(), collection)
        self.write(OWLS.format(time="dusk"))
        sluice.ingestion.ingest(IngestRequest(self.spec))
        self.write(OWLS.format(time="dawn"))
        self.run_id = uuid4()
        self.refs = [self._embedded(ref) for ref in self.scan()]
        self.sluice.ledger.runs.finish(
            self.sluice.ledger.runs.get(self.run_id), "failed", {"error": "the index is down"}
        )

    def scan(self) -> list[BatchRef]:
        return self.sluice.checkpoints.plan(
            IngestRequest(self.spec, "incremental", run_id=self.run_id, orchestrator="airflow:dag/monday")
        )

    def _embedded(self, ref: BatchRef) -> BatchRef:
        for stage in (steps.extract, steps.validate, steps.chunk, steps.embed):
            ref = stage(self.sluice, ref)
        return ref

    def write(self, text: str) -> None:
        (self.folder / "owls.md").write_text(text)

    def clear(self) -> dict[str, int]:
        """`load` and what follows it. Returns the documents of the summary."""
        for ref in self.refs:
            steps.load(self.sluice, ref)
        documents: dict[str, int] = steps.finish(self.sluice, self.run_id)["documents"]
        return documents

    def served(self) -> str:
        asked = SearchRequest("barn owl hunts voles", self.spec.collection, 50)
        return "\n".join(each.text for each in self.sluice.search(asked, WHO).passages)


@pytest.fixture
def monday(make_sluice: MakeTools, tmp_path: Path, name: str) -> Monday:
    return Monday(make_sluice([tmp_path]), tmp_path, name)


def test_a_later_run_that_found_nothing_to_do_is_not_overwritten(
    monday: Monday, caplog: pytest.LogCaptureFixture
) -> None:
    monday.write(OWLS.format(time="dusk"))
    assert monday.sluice.ingestion.ingest(IngestRequest(monday.spec)).documents.changed == 0
    assert monday.clear()["superseded"] == 1
    assert "because a later run supersedes them" in caplog.text
    assert "at dusk" in monday.served() and "at dawn" not in monday.served()
    report = monday.sluice.reconciliation.reconcile(collection=monday.spec.collection).to_json()
    assert (report["missing"], report["collections"][0]["surplus"]) == (0, 0), "nothing was written beside the ledger"


def test_what_a_later_run_refused_stays_refused_and_its_bytes_stay(monday: Monday) -> None:
    generation = next(
        each for each in monday.sluice.ledger.collections.generations() if each.collection == monday.spec.collection
    )
    monday.sluice.ledger.quality.set_rule(generation, "documents", "too_long", GateRule("block", 100))
    monday.write(OWLS.format(time="noon, " * 30))
    monday.sluice.ingestion.ingest(IngestRequest(monday.spec))
    (refusal,) = monday.sluice.catalog.quarantine_records(WHO, monday.spec.collection, limit=9)
    assert monday.clear()["superseded"] == 1
    for ref in monday.refs:  # clearing everything but the scan refuses it anew, with other bytes
        monday._embedded(ref)
    steps.finish(monday.sluice, monday.run_id)
    assert monday.sluice.catalog.quarantine_records(WHO, monday.spec.collection, limit=9) == [refusal]
    monday.sluice.ledger.quality.set_rule(generation, "documents", "too_long", None)
    assert monday.sluice.ingestion.ingest(IngestRequest(monday.spec, replay=())).documents.changed == 1
    assert "noon, noon" in monday.served() and "at dawn" not in monday.served()


@pytest.mark.parametrize("stage", ["validate", "load"])
def test_what_an_older_run_breaks_on_is_not_counted_as_quarantined_where_a_later_one_knows_more(
    monday: Monday, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monday.sluice.ingestion.ingest(IngestRequest(monday.spec))
    module, verb = {"validate": (gates, "documents_gate"), "load": (loading, "load")}[stage]
    done = getattr(module, verb)

    def breaks(*args: Any, **named: Any) -> Any:
        if any(args[-1]):  # the documents
            raise ValueError("broken")
        return done(*args, **named)

    monkeypatch.setattr(module, verb, breaks)
    if stage == "validate":
        for ref in monday.refs:
            steps.validate(monday.sluice, steps.extract(monday.sluice, ref))
    else:
        for ref in monday.refs:
            steps.load(monday.sluice, ref)
    counts = [each.counts for each in monday.sluice.ledger.runs.stages(monday.sluice.ledger.runs.get(monday.run_id))]
    (result,) = [each for each in counts if "superseded" in each and each.get("quarantined") is not None][-1:]
    assert (result["superseded"], result["quarantined"]) == (1, 0)
    assert monday.sluice.catalog.quarantine_records(WHO, monday.spec.collection, limit=9) == []


def test_what_a_later_run_had_no_time_for_is_left_to_the_next(monday: Monday) -> None:
    (monday.folder / "newts.md").write_text("# Newts\n\nNewts live in ponds.\n")
    plan = monday.sluice.pipeline.planning.plan(
        IngestRequest(monday.spec, "incremental", run_id=uuid4(), orchestrator="cli", max_documents=1)
    )
    monday.sluice.ledger.runs.finish(plan.run, "failed", {})
    assert monday.clear()["superseded"] == 1
    assert "at dusk" in monday.served()
    monday.sluice.ingestion.ingest(IngestRequest(monday.spec))
    assert "at dawn" in monday.served() and "ponds" in monday.served()


def test_cleared_from_its_scan_an_older_run_goes_on(monday: Monday) -> None:
    monday.sluice.ingestion.ingest(IngestRequest(monday.spec))
    monday.write(OWLS.format(time="noon"))
    monday.refs = [monday._embedded(ref) for ref in monday.scan()]
    assert monday.clear()["superseded"] == 0
    assert "at noon" in monday.served()


def test_a_try_of_extract_after_a_rename_was_found_goes_on_from_there(
    make_sluice: MakeTools, tmp_path: Path, name: str
) -> None:
    """A task that is killed after it has found a rename, or is cleared: its items are still readable, and what is gone
    at the source goes with this run."""
    sluice, folder = make_sluice([tmp_path]), tmp_path / "in"
    folder.mkdir()
    for each in ("owls", "bread", "ferry"):
        (folder / f"{each}.md").write_text(f"# {each}\n\nAll that can be said of {each} in one sentence.\n")
    spec = SourceSpec(folder.as_uri(), name)
    sluice.ingestion.ingest(IngestRequest(spec))
    (folder / "owls.md").rename(folder / "birds.md")
    (folder / "ferry.md").unlink()
    run_id = uuid4()
    (ref,) = sluice.checkpoints.plan(
        IngestRequest(spec, "incremental", run_id=run_id, orchestrator="airflow:dag/killed")
    )
    steps.extract(sluice, ref)
    done = steps.extract(sluice, ref)
    assert done.documents == 1
    for stage in (steps.validate, steps.chunk, steps.embed, steps.load):
        done = stage(sluice, done)
    documents = steps.finish(sluice, run_id)["documents"]
    assert (documents["moved"], documents["deleted"]) == (1, 1)
    assert sluice.ingestion.ingest(IngestRequest(spec)).documents.unchanged == 2
