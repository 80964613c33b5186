"""A real repository through ten checkpoints: after each, every store holds what a fresh ingest of it would hold."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.wiring.application import Sluice
from support.agreement import Capitals, Stores, assert_equal, ids_of
from support.swapping import swapped

FRESH_AT = {1, 9}  # the step with most renames, and the last


@pytest.fixture
def sluice(make_sluice: Callable[..., Sluice], tmp_path: Path) -> Sluice:
    built = make_sluice([tmp_path], chunker="chars:1500:0", embedder="hash:32", batch_size=100)
    return swapped(built, entities=lambda name: Capitals())


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("steps", [2, pytest.param(10, marks=pytest.mark.drill)])
def test_checkpoints_of_a_real_repository(
    stores: Stores, sluice: Sluice, test_data: Path, tmp_path: Path, name: str, steps: int
) -> None:
    with tarfile.open(test_data / "living" / "keps.tar.xz") as archive:
        archive.extractall(tmp_path / "packed", filter="data")
    packed, folder = tmp_path / "packed" / "keps", tmp_path / "repository"
    spec = SourceSpec(folder.as_uri(), name, tenant=name)
    seen: set[bytes] = set()
    former: dict[str, Any] = {}
    stored = renames = 0
    for line in (packed / "steps.jsonl").read_text().splitlines()[:steps]:
        step = json.loads(line)
        apply(step, packed / f"{step['step']:03d}", folder)
        summary = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
        now = stores.snapshot(sluice, spec)
        assert now.strays == []
        assert summary["documents"]["seen"] == step["total_docs"]
        assert summary["embeddings"]["computed"] == len(now.hashes - seen), "paid for what was known, or missed a text"
        seen |= now.hashes
        source = sluice.ledger.sources.open(spec, sluice.profile(), sluice.settings.declared_fields)
        ids = ids_of(stores.engine, source.source_id)
        moves = [op for op in step["ops"] if op["op"] == "R"]
        renames += len(moves)
        stored += sum(former.get(op["old"]) == ids[op["path"]] for op in moves)
        assert all(former[path] == ids[path] for path in former.keys() & ids.keys() - {op["path"] for op in moves})
        former = ids
        if step["step"] in FRESH_AT:
            fresh = SourceSpec(folder.as_uri(), f"{name}-{step['step']}", tenant=f"{name}-{step['step']}")
            sluice.ingestion.ingest(IngestRequest(fresh))
            assert_equal(now.held, stores.snapshot(sluice, fresh).held)
    assert renames == {2: 155, 10: 213}[steps]
    print(f"{stored} of {renames} renames kept their id")
    assert stored >= 0.8 * renames


def apply(step: dict[str, Any], changed: Path, folder: Path) -> None:
    for op in step["ops"]:
        if op["op"] == "D":
            (folder / op["path"]).unlink()
        elif op["op"] == "R":
            (folder / op["old"]).unlink()
    for op in step["ops"]:
        if op["op"] != "D":
            target = folder / op["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(changed / op["path"], target)
