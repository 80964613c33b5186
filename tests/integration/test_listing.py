"""What a source lists, on real engines: bounded for every kind, and no plain hash of a content in any store."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import uuid4

import pygit2
import pytest

from sluice.errors import BadRequest
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.wiring.application import Sluice
from support import steps
from support.engines import EngineStack

MakeTools = Callable[..., Sluice]


def jsonl(tmp_path: Path, *texts: str) -> tuple[str, list[str]]:
    """A source of one line a text, and the plain hashes by which its reader knows them."""
    lines = [json.dumps({"_id": f"d{number}", "text": text}).encode() for number, text in enumerate(texts)]
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path.as_uri().replace("file:", "jsonl:", 1), [blake2b(line, digest_size=16).hexdigest() for line in lines]


def repository(tmp_path: Path, *texts: str) -> tuple[str, list[str]]:
    git = pygit2.init_repository(str(tmp_path / "repo"), bare=True, initial_head="main")
    tree = git.TreeBuilder()
    ids = [git.create_blob(text.encode()) for text in texts]
    for number, each in enumerate(ids):
        tree.insert(f"d{number}.md", each, pygit2.enums.FileMode.BLOB)
    author = pygit2.Signature("A", "a@example.org")
    git.create_commit("refs/heads/main", author, author, "x", tree.write(), [])
    return f"git+{(tmp_path / 'repo').as_uri()}", [str(each) for each in ids]


def folder(tmp_path: Path, *texts: str) -> tuple[str, list[str]]:
    (tmp_path / "in").mkdir()
    for number, text in enumerate(texts):
        (tmp_path / "in" / f"d{number}.md").write_text(text)
    return (tmp_path / "in").as_uri(), []


KINDS = pytest.mark.parametrize("kind", [jsonl, repository, folder])
TEXTS = ("The lynx crossed the frozen lake before dawn.", "Basil grows beside the southern wall.", "")


@KINDS
def test_no_store_holds_a_plain_hash(
    make_sluice: MakeTools, stack: EngineStack, tmp_path: Path, name: str, kind: Any
) -> None:
    """Neither do the artefacts of tasks that run apart; and an unchanged document is not read again."""
    uri, hashes = kind(tmp_path, *TEXTS)
    sluice = make_sluice([tmp_path], graph="off")
    spec = SourceSpec(uri, name)
    run_id = uuid4()
    for ref in sluice.checkpoints.plan(IngestRequest(spec, "incremental", run_id=run_id, orchestrator="cli")):
        done = steps.extract(sluice, ref)
        for stage in (steps.validate, steps.chunk, steps.embed, steps.load):
            done = stage(sluice, done)
    output = steps.finish(sluice, run_id)
    assert (output["documents"]["new"], output["documents"]["quarantined"]) == (2, 1)
    again = sluice.ingestion.ingest(IngestRequest(spec)).to_json()["documents"]
    assert (again["seen"], again["unchanged"], again["new"], again["changed"]) == (3, 2, 0, 0)
    assert not hashes or stack.files_with(*hashes) == []


@KINDS
def test_a_source_lists_so_many_at_most(make_sluice: MakeTools, tmp_path: Path, name: str, kind: Any) -> None:
    uri, _ = kind(tmp_path, *TEXTS)
    with pytest.raises(BadRequest, match="SLUICE_MAX_SOURCE_DOCUMENTS"):
        make_sluice([tmp_path], graph="off", max_source_documents=2).ingestion.ingest(
            IngestRequest(SourceSpec(uri, name))
        )
    output = (
        make_sluice([tmp_path], graph="off", max_source_documents=3)
        .ingestion.ingest(IngestRequest(SourceSpec(uri, name)))
        .to_json()
    )
    assert output["documents"]["seen"] == 3
