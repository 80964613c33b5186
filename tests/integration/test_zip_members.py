"""A zip of documents through the whole flow, on real engines: each member is a document of the source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sluice.errors import BadRequest, Terminal
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.wiring.application import Sluice
from unit.test_parsing_documents import docx, zipped

MakeTools = Callable[..., Sluice]
OWLS = b"# Owls\n\nThe barn owl hunts voles above wet meadows at dusk."
TRAINS = b"# Trains\n\nThe night train from Vienna to Hamburg stops in Passau."
BREAD = b"# Bread\n\nRye sourdough wants time and a warm place to rise."


def counts(summary: dict) -> tuple[int, ...]:
    return tuple(summary["documents"][each] for each in ("new", "changed", "unchanged", "deleted", "quarantined"))


def documents(sluice: Sluice, name: str) -> dict[str, object]:
    who = Principal("op", name, frozenset({ALL_GROUPS}))
    return {each.external_id: each.document_id for each in sluice.catalog.documents(who, name, 100) if each.version}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def test_members_live_as_documents(make_sluice: MakeTools, place: Path, name: str) -> None:
    members = {"owls.md": OWLS, "d/trains.md": TRAINS, "bread.md": BREAD, "in.zip": zipped({"a.md": OWLS})}
    (place / "x.zip").write_bytes(zipped({**members, "../out.md": b"out"}))
    (place / "a.docx").write_bytes(docx())
    sluice = make_sluice([place], graph="off")
    assert counts(sluice.ingestion.ingest(IngestRequest(SourceSpec(place.as_uri(), name, name))).to_json()) == (
        1,
        0,
        0,
        0,
        1,
    )  # as without the glob

    spec = SourceSpec(place.as_uri(), name, name, include=("**", "*.zip!/"))
    output = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert counts(output) == (3, 0, 1, 1, 2)  # the zip itself is none any more
    result = documents(sluice, name)
    assert set(result) == {"a.docx", "x.zip!/owls.md", "x.zip!/d/trains.md", "x.zip!/bread.md"}
    principal = Principal("tester", name, frozenset({ALL_GROUPS}))
    best = sluice.search(SearchRequest("barn owl voles", name, 5), principal).passages[0]
    assert (best.uri, best.title) == (f"{(place / 'x.zip').as_uri()}#owls.md", "Owls")
    saved = SourceSpec(place.as_uri(), name, name)  # the globs are saved with the source
    assert counts(sluice.ingestion.ingest(IngestRequest(saved)).to_json()) == (0, 0, 4, 0, 2)

    # Packed anew: equal content is read, and not paid for again; a renamed member keeps its id.
    (place / "x.zip").write_bytes(zipped({"owls.md": OWLS, "new/trains.md": TRAINS, "bread.md": BREAD + b" Slowly."}))
    summary = sluice.ingestion.ingest(IngestRequest(saved)).to_json()
    output = {key: summary["documents"][key] for key in ("new", "changed", "moved", "quarantined")}
    assert output == {"new": 0, "changed": 1, "moved": 1, "quarantined": 0}
    after = documents(sluice, name)
    assert after["x.zip!/new/trains.md"] == result["x.zip!/d/trains.md"]
    assert after["x.zip!/owls.md"] == result["x.zip!/owls.md"] and len(after) == 4

    # A zip that is cut off says nothing of its members.
    whole = (place / "x.zip").read_bytes()
    (place / "x.zip").write_bytes(whole[:-40])
    assert counts(sluice.ingestion.ingest(IngestRequest(saved)).to_json()) == (0, 0, 1, 0, 1)
    assert documents(sluice, name) == after
    (place / "x.zip").write_bytes(zipped({"owls.md": OWLS, "new/trains.md": TRAINS}))
    sluice.ingestion.ingest(IngestRequest(saved))
    assert set(documents(sluice, name)) == {"a.docx", "x.zip!/owls.md", "x.zip!/new/trains.md"}

    # Deleted by hand, it stays gone while its content is the same, however often the zip is packed.
    sluice.deletion.delete_documents([result["x.zip!/owls.md"]], actor="cli")  # type: ignore[list-item]
    (place / "x.zip").write_bytes(zipped({"new/trains.md": TRAINS, "owls.md": OWLS}))
    sluice.ingestion.ingest(IngestRequest(saved))
    assert set(documents(sluice, name)) == {"a.docx", "x.zip!/new/trains.md"}
    (place / "x.zip").unlink()
    sluice.ingestion.ingest(IngestRequest(saved))
    assert set(documents(sluice, name)) == {"a.docx"}
    assert sluice.reconciliation.reconcile(collection=name).ok


def test_the_guards_count_members(make_sluice: MakeTools, place: Path, name: str) -> None:
    members = {f"{number}.md": b"# N\n\nMember number %d has some words." % number for number in range(30)}
    (place / "x.zip").write_bytes(zipped(members))
    spec = SourceSpec(place.as_uri(), name, name, include=("*.zip!/",))
    with pytest.raises(BadRequest, match="SLUICE_MAX_SOURCE_DOCUMENTS"):
        make_sluice([place], graph="off", max_source_documents=29).ingestion.ingest(IngestRequest(spec))
    sluice = make_sluice([place], graph="off")
    assert counts(sluice.ingestion.ingest(IngestRequest(spec)).to_json())[0] == 30
    (place / "x.zip").write_bytes(zipped({"0.md": members["0.md"]}))
    with pytest.raises(Terminal, match="approve"):
        sluice.ingestion.ingest(IngestRequest(spec))
    assert len(documents(sluice, name)) == 30
