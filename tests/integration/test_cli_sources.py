"""`sluice sources`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sluice.cli import app, sources
from sluice.errors import BadRequest, NotFound
from sluice.model.generation import Profile
from sluice.ports.ledger import Ledger
from sluice.sources.schemes import reader_for
from support.ledger_rows import LedgerDatabase
from support.swapping import wired


@pytest.fixture
def ledger(db: LedgerDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ledger:
    @contextmanager
    def sluice() -> Iterator[Any]:
        yield wired(
            ledger=db.ledger,
            profile=lambda: Profile("tokens:256:0", "hash:64", "off", 64),
            reader=lambda spec: reader_for(spec, max_bytes=1000, roots=[tmp_path]),
        )

    monkeypatch.setattr(sources, "opened", sluice)
    return db.ledger


def sluice(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["sources", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def listed() -> list[dict[str, Any]]:
    outcome: list[dict[str, Any]] = json.loads(sluice("list", "--json"))["sources"]
    return outcome


def test_a_source_is_saved_paused_resumed_and_rescheduled(ledger: Ledger, tmp_path: Path) -> None:
    assert "There is no saved source" in sluice("list")
    uri = tmp_path.as_uri()
    added = sluice("add", uri + "/", "--schedule", "0 4 * * *", "--access-group", "staff", "--retention-days", "30")
    assert f"{uri} " in added.replace(";", " ") and "0 4 * * * (UTC)" in added
    [message] = listed()
    assert set(message) == {
        "uri", "collection", "tenant", "access_groups", "retention_days", "include", "exclude", "schedule", "paused",
        "next_due", "last_run", "held_by",
    }  # fmt: skip
    assert (message["uri"], message["access_groups"], message["schedule"], message["last_run"]) == (
        uri,
        ["staff"],
        "0 4 * * *",
        None,
    )
    assert "0 4 * * *" in sluice("add", uri), "what is not given stays"
    sluice("pause", uri)
    assert (listed()[0]["paused"], listed()[0]["schedule"], listed()[0]["next_due"]) == (True, "0 4 * * *", None)
    assert "paused; schedule: at 0 4 * * * (UTC)" in sluice("list")
    sluice("resume", uri)
    sluice("set", uri, "--schedule", "nightly")
    assert (listed()[0]["paused"], listed()[0]["schedule"]) == (False, None)
    assert "every night; last run never; due " in sluice("list")


def test_what_may_not_be_read_or_is_no_schedule_is_not_saved(ledger: Ledger, tmp_path: Path) -> None:
    for arguments in (
        ["file:///etc"],
        [tmp_path.as_uri(), "--schedule", "sometimes"],
        [tmp_path.as_uri(), "--include", "["],
    ):
        with pytest.raises(BadRequest):
            sluice("add", *arguments)
    with pytest.raises(NotFound, match="sluice sources add"):
        sluice("pause", tmp_path.as_uri())
    assert listed() == []
