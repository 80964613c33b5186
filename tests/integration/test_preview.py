"""A dry run says what would be done and about what it would cost, and writes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from ledger_copies import rows
from ledger_rows import PROFILE, Room, version
from sluice.cli import app, documents
from sluice.errors import BadRequest
from sluice.model.costs import Budget
from sluice.model.source import SourceSpec
from sluice.pipeline import preview
from sluice.pipeline.requests import IngestRequest
from sluice.pipeline.scanning import listed
from sluice.sources.readers import reader_for
from sluice.testing.keyring import MemoryKeyring


@pytest.fixture
def tools(room: Room, tmp_path: Path) -> Any:
    return SimpleNamespace(
        room=room,
        ledger=room.ledger,
        keyring=MemoryKeyring(),
        reader=lambda spec, since=None, dry=False: reader_for(spec, max_bytes=10**9, roots=[tmp_path]),
        budget=Budget(),
        graph=None,
        max_shrink=0.5,
        max_source_documents=10_000,
    )


@pytest.fixture
def spec(tmp_path: Path) -> SourceSpec:
    (tmp_path / "in").mkdir()
    for number in range(40):
        (tmp_path / "in" / f"{number:02}.md").write_text("x" * 100)
    return SourceSpec((tmp_path / "in").as_uri(), "docs")


def ingested(tools: Any, spec: SourceSpec) -> None:
    """As a run leaves the ledger, without its text."""
    from uuid import uuid4

    source = tools.ledger.sources.open(spec, PROFILE, ())
    run = tools.ledger.runs.start(source, "incremental", uuid4(), "tests")
    result = tools.ledger.scans.record(run, listed(tools, source.spec, tools.reader(source.spec)), spec)
    tools.ledger.versions.stage(run, [version(run, item, "words") for item in result.items])
    tools.ledger.versions.activate(run, [item.document_id for item in result.items])
    tools.ledger.versions.remove(run, result.vanished)
    tools.ledger.runs.finish(run, "succeeded", {})


def state(tools: Any) -> Any:
    return deepcopy((rows(tools.room.engine), vars(tools.keyring)))


def previewed(tools: Any, spec: SourceSpec, **how: Any) -> preview.Preview:
    before = state(tools)
    report = preview.preview(tools, IngestRequest(spec, **how))
    assert state(tools) == before, "a dry run writes nothing, no key either"
    return report


def test_a_source_that_was_never_saved(tools: Any, spec: SourceSpec) -> None:
    report = previewed(tools, spec)
    told = report.to_json()
    assert told["documents"] == {
        "seen": 40, "new": 40, "changed": 0, "moved": 0, "quarantined": 0, "unchanged": 0, "deleted": 0,
    }  # fmt: skip
    assert (told["dry_run"], told["saved"], told["run_id"]) == (True, False, None)
    assert report.to_json()["estimate"] == {
        "documents": 40, "bytes": 4000, "tokens": 1000, "money": None, "max_tokens": None,
    }  # fmt: skip
    assert tools.ledger.collections.generations() == []


def test_changes_of_a_saved_source_and_what_they_cost(tools: Any, spec: SourceSpec, tmp_path: Path) -> None:
    ingested(tools, spec)
    (tmp_path / "in" / "00.md").write_text("y" * 4000)
    (tmp_path / "in" / "01.md").rename(tmp_path / "in" / "renamed.md")
    tools.budget = Budget(5000, 2.0)
    report = previewed(tools, spec)
    told = report.documents
    assert (told.seen, told.new, told.changed, told.unchanged, told.deleted) == (40, 1, 1, 38, 1)
    assert report.to_json()["estimate"] == {
        "documents": 2, "bytes": 4100, "tokens": 1025, "money": 0.00205, "max_tokens": 5000,
    }  # fmt: skip
    lines = "\n".join(report.lines())
    assert "renamed document counts as new and as vanished" in lines
    assert "about 1025 tokens at most, 0.002050 US dollars (an estimate from bytes" in lines
    assert "the budget of a run is 5000 tokens" in lines and "2 documents, 4.1 kB" in lines
    full = previewed(tools, spec, mode="full").estimate
    assert (full.documents, full.bytes, full.tokens) == (40, 7900, 1025), "the rest comes from the cache"


def test_what_the_shrink_guard_would_refuse_is_said_unless_it_is_approved(
    tools: Any, spec: SourceSpec, tmp_path: Path
) -> None:
    ingested(tools, spec)
    for each in sorted((tmp_path / "in").iterdir())[:30]:
        each.unlink()
    report = previewed(tools, spec)
    assert report.documents.deleted == 30
    assert "lists 30 documents fewer than the 40" in report.refusals[0]
    assert "The run would be rejected: " in "\n".join(report.lines())
    assert previewed(tools, spec, approve_shrink=True).refusals == []
    for each in (tmp_path / "in").iterdir():
        each.unlink()
    assert "is empty now" in previewed(tools, spec).refusals[0]


def test_what_new_groups_would_hide_is_counted(tools: Any, spec: SourceSpec) -> None:
    ingested(tools, spec)
    report = previewed(tools, SourceSpec(spec.uri, spec.collection, access_groups=("hr",)))
    assert (report.hidden, report.refusals) == (40, [])
    assert "40 documents that are readable now would become unreadable" in report.lines()[-1]


def test_what_cannot_be_read_or_named_is_refused(tools: Any, spec: SourceSpec) -> None:
    for wrong in (SourceSpec("file:///etc", "docs"), SourceSpec(spec.uri, "No Such Name")):
        with pytest.raises(BadRequest):
            previewed(tools, wrong)
    with pytest.raises(BadRequest, match="SLUICE_EMBEDDING_PRICE"):
        previewed(tools, spec, max_cost=1.0)


def test_on_the_command_line(tools: Any, spec: SourceSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def opened() -> Iterator[Any]:
        yield tools

    monkeypatch.setattr(documents, "tools_of_settings", opened)
    before = state(tools)
    told = CliRunner().invoke(app, ["ingest", spec.uri, "-c", "docs", "--dry-run"], catch_exceptions=False)
    assert told.exit_code == 0 and "nothing was written. It is not saved yet" in told.output
    as_json = CliRunner().invoke(app, ["ingest", spec.uri, "--dry-run", "--json"], catch_exceptions=False)
    assert json.loads(as_json.output) == preview.preview(tools, IngestRequest(spec)).to_json()
    assert state(tools) == before
