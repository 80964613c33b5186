"""History beyond its time on real engines: counted first, then removed, kind by kind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from sluice.cli import app
from sluice.model.retention import KeepDays
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.wiring.application import Sluice
from support.agreement import Stores
from support.engines import EngineStack

MakeTools = Callable[..., Sluice]
# Texts of this module alone: what other tests serve is used, and is not pruned.
OWLS = "# Owls to prune\n\nThe pruned owl counts the days that its feathers are retained.\n"
NEWTS = "# Newts to prune\n\nThe pruned newt sleeps through every retention.\n"
AT_ONCE = KeepDays(0, 0, 0, 0, 0, 0, 0, 0, 0)


def keeping(sluice: Sluice, **changes: Any) -> Sluice:
    built = copy(sluice)
    built.pruning = replace(sluice.pruning, **changes)
    return built


@pytest.fixture
def at_once(make_sluice: MakeTools, tmp_path: Path) -> Sluice:
    """It keeps nothing; what other tests left is removed."""
    sluice = keeping(make_sluice([tmp_path], graph="off"), keep_days=AT_ONCE, artefacts_keep_days=0, git_cache=None)
    sluice.pruning.prune(apply=True)
    return sluice


def removed(sluice: Sluice) -> dict[str, int]:
    report = sluice.pruning.prune(apply=True).to_json()
    return {kind: message["removed"] for kind, message in report["kinds"].items() if message["removed"]}


def test_a_dry_run_counts_and_what_is_served_stays(at_once: Sluice, stores: Stores, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    spec = SourceSpec(folder.as_uri(), name)
    (folder / "page.md").write_text(OWLS)
    (folder / "gone.md").write_text(OWLS.replace("owl", "gull"))
    at_once.ingestion.ingest(IngestRequest(spec))
    generation = next(each for each in at_once.ledger.collections.generations() if each.collection == name)
    ids = sorted({each.document_id for each in at_once.ledger.reconciliation.chunks_after(generation, None, 9)})
    (folder / "page.md").write_text(NEWTS)
    (folder / "gone.md").unlink()
    at_once.ingestion.ingest(IngestRequest(spec))

    counted = at_once.pruning.prune().to_json()["kinds"]
    assert (counted["versions"]["found"], counted["versions"]["removed"]) == (2, 0)
    assert at_once.pruning.prune().to_json()["kinds"] == counted, "nothing was changed"
    first = removed(at_once)
    assert (first["versions"], first["embeddings"], first["keys"]) == (2, 2, 1), first
    assert removed(at_once) == {}
    with stores.engine.connect() as connection:
        (destroyed,) = connection.execute(
            text("SELECT document_id FROM documents WHERE key_destroyed_at IS NOT NULL AND document_id = ANY(:ids)"),
            {"ids": ids},
        ).scalars()
    assert at_once.keyring.get(ids).keys() == set(ids) - {UUID(str(destroyed))}
    assert at_once.reconciliation.reconcile(collection=name, deep=True).embedded == 0, "what is served has its vectors"
    (folder / "page.md").write_text(OWLS)
    assert at_once.ingestion.ingest(IngestRequest(spec)).embeddings.computed == 1


def test_a_vector_that_is_used_again_is_not_removed(at_once: Sluice, stores: Stores, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    spec = SourceSpec(folder.as_uri(), name)
    patient = keeping(at_once, keep_days=KeepDays(embeddings=30))
    for content in (OWLS, NEWTS):
        (folder / "page.md").write_text(content)
        at_once.ingestion.ingest(IngestRequest(spec))
    assert "embeddings" not in removed(patient), "only noted"
    (folder / "page.md").write_text(OWLS)
    assert at_once.ingestion.ingest(IngestRequest(spec)).embeddings.computed == 0
    with stores.engine.begin() as connection:
        connection.execute(text("UPDATE unused_embeddings SET since = now() - interval '31 days'"))
    assert removed(patient) == {}, "those of the newts are noted anew, those of the owls are used"
    assert removed(at_once)["embeddings"] == 1


def test_a_count_notes_since_when_a_vector_is_unused(at_once: Sluice, tmp_path: Path, name: str) -> None:
    """A ledger that only counts at night tells what a removal would take, and its days do not begin with that."""
    folder = tmp_path / "in"
    folder.mkdir()
    at_once.pruning.prune(apply=True)  # of tests before
    for content in (f"{OWLS}Seen by {name}.\n", NEWTS):  # no other test has the first
        (folder / "page.md").write_text(content)
        at_once.ingestion.ingest(IngestRequest(SourceSpec(folder.as_uri(), name)))
    counted = at_once.pruning.prune().to_json()["kinds"]["embeddings"]
    assert (counted["found"], counted["removed"]) == (1, 0)


def test_repositories_that_nobody_fetches_go(at_once: Sluice, tmp_path: Path) -> None:
    cache = tmp_path / "git"
    for mirror, age_days in (("old", 40), ("new", 1)):
        (cache / f"{mirror}.git" / "objects").mkdir(parents=True)
        (cache / f"{mirror}.lock").touch()
        fetched_at = at_once.ledger.retention.clock().timestamp() - age_days * 86400
        os.utime(cache / f"{mirror}.lock", (fetched_at, fetched_at))
    sluice = keeping(at_once, git_cache=cache, keep_days=KeepDays())
    assert sluice.pruning.prune().to_json()["kinds"]["mirrors"] == {"keep_days": 30, "found": 1, "removed": 0}
    assert removed(sluice)["mirrors"] == 1
    assert [each.name for each in cache.glob("*.git")] == ["new.git"]


def test_nothing_goes_before_the_artefacts_of_its_run(at_once: Sluice) -> None:
    report = keeping(at_once, artefacts_keep_days=7).pruning.prune().to_json()
    assert {message["keep_days"] for message in report["kinds"].values()} == {7}


def test_the_command_line(stack: EngineStack, at_once: Sluice, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in stack.environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("SLUICE_VERSIONS_KEEP_DAYS", "31")
    dry = CliRunner().invoke(app, ["prune"])
    assert (dry.exit_code, "versions: 0 found, kept for 31 days" in dry.output) == (0, True), dry.output
    done = CliRunner().invoke(app, ["prune", "--apply", "--json"])
    message = json.loads(done.stdout)
    assert (done.exit_code, message["apply"], message["kinds"]["runs"]["keep_days"]) == (0, True, 365)
