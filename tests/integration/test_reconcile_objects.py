"""Object storage against the ledger: what is lost is told, what nobody needs goes, what somebody may need stays."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from typer.testing import CliRunner

from sluice.cli import app
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.sources import uploads
from sluice.wiring.application import Sluice
from support import steps
from support.engines import EngineStack
from support.swapping import swapped

MakeTools = Callable[..., Sluice]
DAY_S = 86_400


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "artefacts"


@pytest.fixture
def sluice(make_sluice: MakeTools, tmp_path: Path, root: Path) -> Sluice:
    return make_sluice([tmp_path], artefacts_uri=root.as_uri(), chunker="chars:100:0", entities="off")


def objects(report: dict[str, Any]) -> tuple[int, int, int, int]:
    output = report["objects"]
    return output["missing"], output["surplus"], output["stale"], output["repaired"]


def aged(root: Path, path: str, age_s: float) -> None:
    then = time.time() - age_s
    os.utime(root / path, (then, then))


def sent(sluice: Sluice, name: str, *names: str) -> SourceSpec:
    """A collection of uploads, all of them served."""
    for each in names:
        uploads.store(
            sluice.blobs,
            sluice.keyring,
            tenant=name,
            collection=name,
            name=each,
            content=f"# {each}\n\nWords.".encode(),
        )
    spec = SourceSpec(uploads.source_uri(name, name), name, name)
    assert sluice.ingestion.ingest(IngestRequest(spec)).documents.new == len(names)
    return spec


def folder_of(name: str, upload: str) -> str:
    return f"uploads/{name}/{name}/{uploads.upload_id(name, name, upload)}"


def content_of(sluice: Sluice, folder: str) -> str:
    (path,) = [each for each in sluice.blobs.list(folder) if not each.endswith("/head")]
    return path


def started(sluice: Sluice, folder: Path, name: str) -> tuple[UUID, list[Any]]:
    """A run with artefacts, after its first stage."""
    folder.mkdir(exist_ok=True)
    for number in range(3):
        (folder / f"{number}.md").write_text(f"# Notes {number} {time.time_ns()}\n\nWords of document {number}.")
    spec, run_id = SourceSpec(folder.as_uri(), name, name), uuid4()
    refs = sluice.checkpoints.plan(
        IngestRequest(spec, "incremental", run_id=run_id, orchestrator=f"test:{run_id}", batch_size=2)
    )
    return run_id, [steps.extract(sluice, ref) for ref in refs]


def finished(sluice: Sluice, run_id: UUID, refs: list[Any]) -> dict[str, Any]:
    for ref in refs:
        for verb in (steps.validate, steps.chunk, steps.embed, steps.load):
            ref = verb(sluice, ref)
    return steps.finish(sluice, run_id)


def test_lost_and_altered_uploads_are_told_until_they_are_sent_again(sluice: Sluice, root: Path, name: str) -> None:
    spec = sent(sluice, name, "whole.md", "lost.md", "gone.md", "altered.md")
    assert objects(sluice.reconciliation.reconcile(collection=name, deep=True).to_json()) == (0, 0, 0, 0)

    (root / content_of(sluice, folder_of(name, "lost.md"))).unlink()
    sluice.blobs.remove(folder_of(name, "gone.md"))
    altered = root / content_of(sluice, folder_of(name, "altered.md"))
    altered.write_bytes(altered.read_bytes()[:-1] + b"x")

    plain = sluice.reconciliation.reconcile(collection=name).to_json()
    assert objects(plain) == (2, 0, 0, 0) and not plain["ok"] and plain["objects"]["checked"] == 4
    known = {
        each.external_id: str(each.document_id)
        for each in sluice.ledger.reconciliation.documents_from("uploads", name, None, 9)
    }
    assert set(plain["objects"]["examples"]["missing"]) == {known["lost.md"], known["gone.md"]}
    deep = sluice.reconciliation.reconcile(collection=name, deep=True, repair=True).to_json()
    assert objects(deep) == (2, 0, 1, 0) and deep["objects"]["examples"]["stale"] == [known["altered.md"]]

    for each in ("lost.md", "altered.md"):
        uploads.store(sluice.blobs, sluice.keyring, tenant=name, collection=name, name=each, content=b"# Again")
    sluice.ingestion.ingest(IngestRequest(spec, approve_shrink=True))  # and finds that gone.md is gone
    again = sluice.reconciliation.reconcile(collection=name, deep=True).to_json()
    assert objects(again) == (0, 0, 0, 0) and again["ok"] and again["objects"]["checked"] == 3


def test_the_command_names_what_is_lost_and_what_to_do(
    stack: EngineStack, make_sluice: MakeTools, tmp_path: Path, root: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sluice = make_sluice([tmp_path], artefacts_uri=root.as_uri(), graph="off")
    sent(sluice, name, "a.md")
    for variable, value in {**stack.environment, "SLUICE_ARTEFACTS_URI": root.as_uri(), "SLUICE_GRAPH": "off"}.items():
        monkeypatch.setenv(variable, value)
    whole = CliRunner().invoke(app, ["reconcile", "--collection", name])
    assert whole.exit_code == 0 and "objects: 1 uploads, 0 missing" in whole.stdout

    (known,) = sluice.ledger.reconciliation.documents_from("uploads", name, None, 9)
    sluice.blobs.remove(content_of(sluice, folder_of(name, "a.md")))
    lost = CliRunner().invoke(app, ["reconcile", "--collection", name])
    assert lost.exit_code == 1 and str(known.document_id) in lost.stdout and "Upload them again" in lost.stdout
    assert "--repair" not in lost.stdout  # it would not help
    output = json.loads(CliRunner().invoke(app, ["reconcile", "--collection", name, "--json"]).stdout)
    assert (output["missing"], output["objects"]["missing"], output["ok"]) == (1, 1, False)


def test_what_no_head_names_goes_when_it_is_old(sluice: Sluice, root: Path, name: str) -> None:
    sent(sluice, name, "a.md", "b.md")
    whole = set(sluice.blobs.list("uploads"))
    between, crashed = (f"{folder_of(name, 'a.md')}/{uuid4().hex}" for _ in range(2))
    headless = f"uploads/{name}/{name}/{uuid4()}/{uuid4().hex}"
    part = f"{folder_of(name, 'b.md')}/.head.{uuid4().hex}.part"
    for path in (between, crashed, headless, part):
        sluice.blobs.write(path, b"sealed")
    for path in (crashed, headless, part):
        aged(root, path, 2 * DAY_S)

    output = sluice.reconciliation.reconcile(collection=name).to_json()
    assert objects(output) == (0, 3, 0, 0) and output["ok"]
    assert set(output["objects"]["examples"]["surplus"]) == {crashed, headless, part}
    assert objects(sluice.reconciliation.reconcile(collection=name, collect_garbage=True).to_json()) == (0, 3, 0, 3)
    assert set(sluice.blobs.walk("uploads")) == whole | {between}
    assert objects(sluice.reconciliation.reconcile(collection=name, deep=True).to_json()) == (0, 0, 0, 0)


def test_artefacts_go_with_time_and_never_from_a_living_run(
    sluice: Sluice, root: Path, tmp_path: Path, name: str
) -> None:
    ended, refs = started(sluice, tmp_path / "ended", f"{name}e")
    finished(sluice, ended, refs)
    living, refs = started(sluice, tmp_path / "living", f"{name}l")
    foreign, recent = uuid4(), uuid4()
    for run_id in (foreign, recent):
        sluice.blobs.write(f"runs/{run_id}/vanished.json", b"[]")
    aged(root, f"runs/{foreign}/vanished.json", 2 * DAY_S)
    assert len(sluice.blobs.list(f"runs/{ended}")) == 10  # five stages of two batches

    stored = sluice.reconciliation.reconcile(collect_garbage=True).to_json()
    assert stored["objects"]["surplus"] == stored["objects"]["repaired"] == 1
    assert {path.split("/")[1] for path in sluice.blobs.list("runs")} == {str(each) for each in (ended, living, recent)}

    at_once = swapped(sluice, artefacts_keep_days=0)
    output = at_once.reconciliation.reconcile().to_json()
    assert output["objects"]["surplus"] == 10 and output["objects"]["examples"]["surplus"] == [f"runs/{ended}"]
    assert len(sluice.blobs.list(f"runs/{ended}")) == 10  # a dry run
    assert at_once.reconciliation.reconcile(collect_garbage=True).objects.repaired == 10
    assert {path.split("/")[1] for path in sluice.blobs.list("runs")} == {str(living), str(recent)}
    assert finished(sluice, living, refs)["documents"]["new"] == 3


def test_a_failed_run_that_is_resumed_between_the_two_looks_keeps_its_artefacts(
    sluice: Sluice, tmp_path: Path, name: str
) -> None:
    run_id, refs = started(sluice, tmp_path / "living", name)
    run = sluice.ledger.runs.get(run_id)
    sluice.ledger.runs.finish(run, "failed", {})

    class Resumed:
        asked = 0

        def __getattr__(self, method: str) -> Any:
            return getattr(sluice.ledger.reconciliation, method)

        def last_active(self, run_ids: Any) -> Any:
            self.asked += 1
            if self.asked == 2:
                sluice.ledger.runs.claim(run, 60)
            return sluice.ledger.reconciliation.last_active(run_ids)

    resumed = Resumed()
    report = (
        swapped(swapped(sluice, artefacts_keep_days=0), reconciliation=resumed)
        .reconciliation.reconcile(collect_garbage=True)
        .to_json()
    )
    assert resumed.asked == 2 and report["objects"]["surplus"] == 0
    assert finished(sluice, run_id, refs)["documents"]["new"] == 3


def test_bytes_of_quarantined_documents_stay_while_their_record_is_open(
    sluice: Sluice, root: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "empty.md").write_text("")
    (folder / "good.md").write_text("# Good\n\nWords.")
    sluice.ingestion.ingest(IngestRequest(SourceSpec(folder.as_uri(), name, name)))
    who = Principal("tester", name, frozenset({ALL_GROUPS}))
    ids = {each.version is None: each.document_id for each in sluice.catalog.documents(who, name, 10)}
    good, refused = ids[False], ids[True]
    for document_id in (good, refused, uuid4()):
        sluice.blobs.write(f"quarantine/{document_id}.sealed", b"sealed")
        aged(root, f"quarantine/{document_id}.sealed", 7200)
    sluice.blobs.write(f"quarantine/{uuid4()}.sealed", b"its record is about to be written")

    torn = f"quarantine/.{refused}.sealed.{uuid4().hex}.part"
    (root / torn).write_bytes(b"half")
    aged(root, torn, 7200)

    assert objects(sluice.reconciliation.reconcile().to_json())[1] == 2
    assert objects(sluice.reconciliation.reconcile(collect_garbage=True).to_json())[1:] == (2, 0, 2)
    assert len(sluice.blobs.list("quarantine")) == 3, "what this ledger knows nothing of stays"
    assert f"quarantine/{refused}.sealed" in sluice.blobs.list("quarantine")
