"""A dry run says what would be done and about what it would cost, and writes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sluice.cli import app, documents
from sluice.errors import BadRequest
from sluice.model.source import SourceSpec
from sluice.pipeline import preview
from sluice.pipeline.requests import IngestRequest
from sluice.sources.schemes import reader_for
from sluice.testing.keyring import MemoryKeyring
from support.ledger_copies import rows
from support.ledger_rows import PROFILE, LedgerDatabase, version
from support.swapping import wired


@pytest.fixture
def sluice(db: LedgerDatabase, tmp_path: Path) -> Any:
    return wired(
        db=db,
        ledger=db.ledger,
        keyring=MemoryKeyring(),
        reader=lambda spec, since=None, dry=False: reader_for(spec, max_bytes=10**9, roots=[tmp_path]),
        vectors=None,
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


def ingested(sluice: Any, spec: SourceSpec) -> None:
    """As a run leaves the ledger, without its text."""
    from uuid import uuid4

    source = sluice.ledger.sources.open(spec, PROFILE, ())
    run = sluice.ledger.runs.start(source, "incremental", uuid4(), "tests")
    result = sluice.ledger.scans.record(run, sluice._listing.entries(source.spec, sluice.reader(source.spec)), spec)
    sluice.ledger.versions.stage(run, [version(run, item, "words") for item in result.items])
    sluice.ledger.versions.activate(run, [item.document_id for item in result.items])
    sluice.ledger.versions.remove(run, result.vanished)
    sluice.ledger.runs.finish(run, "succeeded", {})


def state(sluice: Any) -> Any:
    return deepcopy((rows(sluice.db.engine), vars(sluice.keyring)))


def previewed(sluice: Any, spec: SourceSpec, **how: Any) -> preview.Preview:
    before = state(sluice)
    report: preview.Preview = sluice.dry_run.preview(IngestRequest(spec, **how))
    assert state(sluice) == before, "a dry run writes nothing, no key either"
    return report


def test_a_source_that_was_never_saved(sluice: Any, spec: SourceSpec) -> None:
    report = previewed(sluice, spec)
    message = report.to_json()
    assert message["documents"] == {
        "seen": 40, "new": 40, "changed": 0, "moved": 0, "quarantined": 0, "unchanged": 0, "deleted": 0,
    }  # fmt: skip
    assert (message["dry_run"], message["saved"], message["run_id"]) == (True, False, None)
    assert report.to_json()["estimate"] == {
        "documents": 40, "bytes": 4000, "tokens": 1000, "money": None, "max_tokens": None,
    }  # fmt: skip
    assert sluice.ledger.collections.generations() == []


def test_changes_of_a_saved_source_and_what_they_cost(sluice: Any, spec: SourceSpec, tmp_path: Path) -> None:
    ingested(sluice, spec)
    (tmp_path / "in" / "00.md").write_text("y" * 4000)
    (tmp_path / "in" / "01.md").rename(tmp_path / "in" / "renamed.md")
    sluice.settings = sluice.settings.model_copy(update={"max_tokens_per_run": 5000, "embedding_price": 2.0})
    report = previewed(sluice, spec)
    message = report.documents
    assert (message.seen, message.new, message.changed, message.unchanged, message.deleted) == (40, 1, 1, 38, 1)
    assert report.to_json()["estimate"] == {
        "documents": 2, "bytes": 4100, "tokens": 1025, "money": 0.00205, "max_tokens": 5000,
    }  # fmt: skip
    lines = "\n".join(report.lines())
    assert "renamed document counts as new and as vanished" in lines
    assert "about 1025 tokens at most, 0.002050 US dollars (an estimate from bytes" in lines
    assert "the budget of a run is 5000 tokens" in lines and "2 documents, 4.1 kB" in lines
    full = previewed(sluice, spec, mode="full").estimate
    assert (full.documents, full.bytes, full.tokens) == (40, 7900, 1025), "the rest comes from the cache"


def test_what_the_shrink_guard_would_refuse_is_said_unless_it_is_approved(
    sluice: Any, spec: SourceSpec, tmp_path: Path
) -> None:
    ingested(sluice, spec)
    for each in sorted((tmp_path / "in").iterdir())[:30]:
        each.unlink()
    report = previewed(sluice, spec)
    assert report.documents.deleted == 30
    assert "lists 30 documents fewer than the 40" in report.refusals[0]
    assert "The run would be rejected: " in "\n".join(report.lines())
    assert previewed(sluice, spec, approve_shrink=True).refusals == []
    for each in (tmp_path / "in").iterdir():
        each.unlink()
    assert "is empty now" in previewed(sluice, spec).refusals[0]


def test_what_new_groups_would_hide_is_counted(sluice: Any, spec: SourceSpec) -> None:
    ingested(sluice, spec)
    report = previewed(sluice, SourceSpec(spec.uri, spec.collection, access_groups=("hr",)))
    assert (report.hidden, report.refusals) == (40, [])
    assert "40 documents that are readable now would become unreadable" in report.lines()[-1]


def test_what_cannot_be_read_or_named_is_refused(sluice: Any, spec: SourceSpec) -> None:
    for wrong in (SourceSpec("file:///etc", "docs"), SourceSpec(spec.uri, "No Such Name")):
        with pytest.raises(BadRequest):
            previewed(sluice, wrong)
    with pytest.raises(BadRequest, match="SLUICE_EMBEDDING_PRICE"):
        previewed(sluice, spec, max_cost=1.0)


def test_on_the_command_line(sluice: Any, spec: SourceSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def opened() -> Iterator[Any]:
        yield sluice

    monkeypatch.setattr(documents, "opened", opened)
    before = state(sluice)
    message = CliRunner().invoke(app, ["ingest", spec.uri, "-c", "docs", "--dry-run"], catch_exceptions=False)
    assert message.exit_code == 0 and "nothing was written. It is not saved yet" in message.output
    as_json = CliRunner().invoke(app, ["ingest", spec.uri, "--dry-run", "--json"], catch_exceptions=False)
    assert json.loads(as_json.output) == sluice.dry_run.preview(IngestRequest(spec)).to_json()
    assert state(sluice) == before
