"""The gates in the flow, on real engines: rules of a collection, what they leave in the ledger, and the CLI on them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner

from sluice.cli import app
from sluice.errors import BadRequest
from sluice.model.gates import GateRow, GateRule
from sluice.model.generation import Generation
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.run import Run
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.wiring.application import Sluice
from support.engines import EngineStack
from support.ledger_rows import db_of

MakeTools = Callable[..., Sluice]
ADDRESS = "zebulon.quagga@example.org"
LETTER = f"# Letter\n\nThe ferryman keeps his timetable in a drawer. Ask {ADDRESS} for a copy of it.\n"
OWLS = "# Owls\n\nThe barn owl hunts voles above wet meadows at dusk, and sleeps in the old barn while it is light.\n"


def generation(sluice: Sluice, collection: str) -> Generation:
    return next(each for each in sluice.ledger.collections.generations() if each.collection == collection)


def rows(sluice: Sluice, summary: dict[str, Any]) -> list[GateRow]:
    run: Run = sluice.ledger.runs.get(UUID(summary["run_id"]))
    return db_of(sluice).gate_rows(run, 0)


def outcome(sluice: Sluice, collection: str, query: str) -> list[Any]:
    asked = SearchRequest(query, collection, 5)
    return list(sluice.search(asked, Principal("t", "default", frozenset({ALL_GROUPS}))).passages)


def test_a_collection_that_masks_serves_placeholders(
    make_sluice: MakeTools, stack: EngineStack, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "letter.md").write_text(LETTER)
    sluice, spec = make_sluice([tmp_path], graph="off"), SourceSpec(folder.as_uri(), name)
    first = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert ADDRESS in outcome(sluice, name, "ferryman timetable")[0].text, "by default it is only flagged"
    assert outcome(sluice, name, "ferryman timetable")[0].metadata["gate_flags"] == ["personal_data"]
    (row,) = rows(sluice, first)
    assert (row.suite, row.code, row.observed["kinds"]) == ("documents", "personal_data", {"EMAIL": 1})

    sluice.ledger.quality.set_rule(generation(sluice, name), "documents", "personal_data", GateRule("mask"))
    full = sluice.ingestion.ingest(IngestRequest(spec, "full")).to_json()
    (passage,) = outcome(sluice, name, "ferryman timetable")
    assert passage.text.endswith("Ask [EMAIL] for a copy of it.")
    assert (passage.start, passage.end) == (0, len(passage.text))
    assert [each.code for each in rows(sluice, full)] == ["personal_data"]
    stages = {result.suite for result in sluice.ledger.quality.gates(sluice.ledger.runs.get(UUID(full["run_id"])), 0)}
    assert stages == {"documents", "chunks", "vectors"}
    assert stack.files_with(ADDRESS) == []

    sluice.ledger.quality.set_rule(generation(sluice, name), "documents", "personal_data", GateRule("block"))
    assert sluice.ingestion.ingest(IngestRequest(spec, "full")).quarantine == {"personal_data": 1}
    assert "[EMAIL]" in outcome(sluice, name, "ferryman timetable")[0].text, "the last good version stays"


def test_actions_of_all_collections_hold_from_the_first_document_on(
    make_sluice: MakeTools, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "letter.md").write_text(LETTER)
    sluice = make_sluice([tmp_path], graph="off", gate_actions="personal_data:mask, secrets:block")
    sluice.ingestion.ingest(IngestRequest(SourceSpec(folder.as_uri(), name)))
    assert "[EMAIL]" in outcome(sluice, name, "ferryman timetable")[0].text
    sluice.ledger.quality.set_rule(
        generation(sluice, name), "documents", "personal_data", GateRule(options=("IBAN", "PHONE"))
    )
    sluice.ingestion.ingest(IngestRequest(SourceSpec(folder.as_uri(), name), "full"))
    assert ADDRESS in outcome(sluice, name, "ferryman timetable")[0].text, "its own rule goes before, part by part"
    for wrong in ("personal_data", "personal_data:hide", "no_such:block", "too_long:mask"):
        with pytest.raises(BadRequest):
            make_sluice([tmp_path], graph="off", gate_actions=wrong)


def test_a_copy_is_found_in_a_later_run_until_the_first_is_gone(
    make_sluice: MakeTools, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    text = " ".join(random.Random(3).choices([f"word{number}" for number in range(900)], k=300))
    (folder / "one.md").write_text(text)
    (folder / "owls.md").write_text(OWLS)
    # A batch of one: what another batch of the run has seen counts, too.
    sluice, spec = make_sluice([tmp_path], graph="off", batch_size=1), SourceSpec(folder.as_uri(), name)
    assert [
        each.code
        for batch in (0, 1)
        for each in rows_of(sluice, sluice.ingestion.ingest(IngestRequest(spec)).to_json(), batch)
    ] == []
    (folder / "two.md").write_text(text + " and a little more")
    (row,) = rows(sluice, sluice.ingestion.ingest(IngestRequest(spec)).to_json())
    assert (row.code, row.observed["similarity"] > 0.9) == ("near_duplicate", True)
    assert row.observed["document_id"] != str(row.document_id)
    (folder / "two.md").write_text(text + " and still a little more")
    assert rows(sluice, sluice.ingestion.ingest(IngestRequest(spec)).to_json()) != [], (
        "while it is served it is compared with"
    )
    (folder / "one.md").unlink()
    (folder / "two.md").write_text(text + " and once more a little")
    assert rows(sluice, sluice.ingestion.ingest(IngestRequest(spec)).to_json()) == []


def rows_of(sluice: Sluice, summary: dict[str, Any], batch: int) -> list[GateRow]:
    return db_of(sluice).gate_rows(sluice.ledger.runs.get(UUID(summary["run_id"])), batch)


@pytest.fixture
def command(stack: EngineStack, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    for variable, value in stack.environment.items():
        monkeypatch.setenv(variable, value)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, arguments)


def test_the_cli_lists_sets_and_unsets(
    make_sluice: MakeTools, command: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "owls.md").write_text(OWLS)
    sluice = make_sluice([tmp_path], graph="off")
    sluice.ingestion.ingest(IngestRequest(SourceSpec(folder.as_uri(), name)))

    def listed() -> dict[str, Any]:
        checks = json.loads(command("gates", "list", "--collection", name, "--json").stdout)["checks"]
        return {each["code"]: each for each in checks}

    assert (listed()["too_long"]["action"], listed()["too_long"]["own"]) == ("block", False)
    assert command("gates", "set", "too_long", "--collection", name, "--limit", "7", "--action", "flag").exit_code == 0
    assert command("gates", "set", "language", "-c", name, "--action", "block", "--option", "deu").exit_code == 0
    assert listed()["too_long"] == {
        "suite": "documents",
        "code": "too_long",
        "action": "flag",
        "limit": 7,
        "options": [],
        "own": True,
    }
    assert (listed()["language"]["action"], listed()["language"]["options"]) == ("block", ["deu"])
    table = command("gates", "list", "--collection", name).stdout
    assert table.startswith("SUITE      CHECK ") and "its own" in table
    assert sluice.ledger.quality.rules(generation(sluice, name))["documents", "too_long"] == GateRule("flag", 7.0)
    assert sluice.ingestion.ingest(IngestRequest(SourceSpec(folder.as_uri(), name), "full")).quarantine == {
        "language": 1
    }
    assert (
        "suite's values apply to too_long again" in command("gates", "unset", "too_long", "--collection", name).stdout
    )
    assert "no rule of its own" in command("gates", "unset", "too_long", "--collection", name).stdout
    assert listed()["too_long"]["own"] is False
    for wrong in (("set", "no_such", "--limit", "1"), ("set", "too_long"), ("set", "too_long", "--action", "mask")):
        refused = command("gates", *wrong, "--collection", name)
        assert isinstance(refused.exception, BadRequest), wrong
    assert isinstance(command("gates", "list", "--collection", "nowhere").exception, BadRequest)
