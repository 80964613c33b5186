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

from ledger_rows import room_of
from sluice import wiring
from sluice.cli import app
from sluice.errors import BadRequest
from sluice.model.gates import GateRow, GateRule
from sluice.model.generation import Generation
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.run import Run
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.pipeline import ingestion
from sluice.pipeline.requests import IngestRequest
from sluice.ports.tools import Tools
from support.engines import EngineStack

MakeTools = Callable[..., Tools]
ADDRESS = "zebulon.quagga@example.org"
LETTER = f"# Letter\n\nThe ferryman keeps his timetable in a drawer. Ask {ADDRESS} for a copy of it.\n"
OWLS = "# Owls\n\nThe barn owl hunts voles above wet meadows at dusk, and sleeps in the old barn while it is light.\n"


def generation(tools: Tools, collection: str) -> Generation:
    return next(each for each in tools.ledger.collections.generations() if each.collection == collection)


def rows(tools: Tools, summary: dict[str, Any]) -> list[GateRow]:
    run: Run = tools.ledger.runs.get(UUID(summary["run_id"]))
    return room_of(tools).gate_rows(run, 0)


def found(tools: Tools, collection: str, query: str) -> list[Any]:
    asked = SearchRequest(query, collection, 5)
    return list(wiring.searcher(tools)(asked, Principal("t", "default", frozenset({ALL_GROUPS}))).passages)


def test_a_collection_that_masks_serves_placeholders(
    make_tools: MakeTools, stack: EngineStack, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "letter.md").write_text(LETTER)
    tools, spec = make_tools([tmp_path], graph="off"), SourceSpec(folder.as_uri(), name)
    first = ingestion.ingest(tools, IngestRequest(spec)).to_json()
    assert ADDRESS in found(tools, name, "ferryman timetable")[0].text, "by default it is only flagged"
    assert found(tools, name, "ferryman timetable")[0].metadata["gate_flags"] == ["personal_data"]
    (row,) = rows(tools, first)
    assert (row.suite, row.code, row.observed["kinds"]) == ("documents", "personal_data", {"EMAIL": 1})

    tools.ledger.quality.set_rule(generation(tools, name), "documents", "personal_data", GateRule("mask"))
    full = ingestion.ingest(tools, IngestRequest(spec, "full")).to_json()
    (passage,) = found(tools, name, "ferryman timetable")
    assert passage.text.endswith("Ask [EMAIL] for a copy of it.")
    assert (passage.start, passage.end) == (0, len(passage.text))
    assert [each.code for each in rows(tools, full)] == ["personal_data"]
    stages = {result.suite for result in tools.ledger.quality.gates(tools.ledger.runs.get(UUID(full["run_id"])), 0)}
    assert stages == {"documents", "chunks", "vectors"}
    assert stack.files_with(ADDRESS) == []

    tools.ledger.quality.set_rule(generation(tools, name), "documents", "personal_data", GateRule("block"))
    assert ingestion.ingest(tools, IngestRequest(spec, "full")).quarantine == {"personal_data": 1}
    assert "[EMAIL]" in found(tools, name, "ferryman timetable")[0].text, "the last good version stays"


def test_actions_of_all_collections_hold_from_the_first_document_on(
    make_tools: MakeTools, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "letter.md").write_text(LETTER)
    tools = make_tools([tmp_path], graph="off", gate_actions="personal_data:mask, secrets:block")
    ingestion.ingest(tools, IngestRequest(SourceSpec(folder.as_uri(), name)))
    assert "[EMAIL]" in found(tools, name, "ferryman timetable")[0].text
    tools.ledger.quality.set_rule(
        generation(tools, name), "documents", "personal_data", GateRule(options=("IBAN", "PHONE"))
    )
    ingestion.ingest(tools, IngestRequest(SourceSpec(folder.as_uri(), name), "full"))
    assert ADDRESS in found(tools, name, "ferryman timetable")[0].text, "its own rule goes before, part by part"
    for wrong in ("personal_data", "personal_data:hide", "no_such:block", "too_long:mask"):
        with pytest.raises(BadRequest):
            make_tools([tmp_path], graph="off", gate_actions=wrong)


def test_a_copy_is_found_in_a_later_run_until_the_first_is_gone(
    make_tools: MakeTools, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    text = " ".join(random.Random(3).choices([f"word{number}" for number in range(900)], k=300))
    (folder / "one.md").write_text(text)
    (folder / "owls.md").write_text(OWLS)
    # A batch of one: what another batch of the run has seen counts, too.
    tools, spec = make_tools([tmp_path], graph="off", batch_size=1), SourceSpec(folder.as_uri(), name)
    assert [
        each.code
        for batch in (0, 1)
        for each in rows_of(tools, ingestion.ingest(tools, IngestRequest(spec)).to_json(), batch)
    ] == []
    (folder / "two.md").write_text(text + " and a little more")
    (row,) = rows(tools, ingestion.ingest(tools, IngestRequest(spec)).to_json())
    assert (row.code, row.observed["similarity"] > 0.9) == ("near_duplicate", True)
    assert row.observed["document_id"] != str(row.document_id)
    (folder / "two.md").write_text(text + " and still a little more")
    assert rows(tools, ingestion.ingest(tools, IngestRequest(spec)).to_json()) != [], (
        "while it is served it is compared with"
    )
    (folder / "one.md").unlink()
    (folder / "two.md").write_text(text + " and once more a little")
    assert rows(tools, ingestion.ingest(tools, IngestRequest(spec)).to_json()) == []


def rows_of(tools: Tools, summary: dict[str, Any], batch: int) -> list[GateRow]:
    return room_of(tools).gate_rows(tools.ledger.runs.get(UUID(summary["run_id"])), batch)


@pytest.fixture
def command(stack: EngineStack, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    for variable, value in stack.environment.items():
        monkeypatch.setenv(variable, value)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, arguments)


def test_the_cli_lists_sets_and_unsets(
    make_tools: MakeTools, command: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "owls.md").write_text(OWLS)
    tools = make_tools([tmp_path], graph="off")
    ingestion.ingest(tools, IngestRequest(SourceSpec(folder.as_uri(), name)))

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
    assert "its own" in command("gates", "list", "--collection", name).stdout
    assert tools.ledger.quality.rules(generation(tools, name))["documents", "too_long"] == GateRule("flag", 7.0)
    assert ingestion.ingest(tools, IngestRequest(SourceSpec(folder.as_uri(), name), "full")).quarantine == {
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
