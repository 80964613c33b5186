"""Deletions by hand on real engines: out of every store, and it stays out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sluice import flow
from sluice.errors import BadRequest, Forbidden, NotFound
from sluice.extract import uploads
from sluice.model import ALL_GROUPS, Generation, Principal, SourceSpec
from sluice.ports import Tools

MakeTools = Callable[..., Tools]
TEXTS = {
    "owls": "The barn owl hunts voles.",
    "bread": "Rye sourdough wants time.",
    "ferry": "The ferry to Vienna waits.",
}


def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    for name, text in TEXTS.items():
        (made / f"{name}.md").write_text(f"# {name}\n\n{text}\n")
    (made / "empty.txt").write_text("")  # into quarantine
    return made


def documents(tools: Tools, tenant: str, collection: str) -> dict[str, object]:
    who = Principal("op", tenant, frozenset({ALL_GROUPS}))
    found = tools.catalog.documents(who, collection, 100)
    return {each.external_id: each.document_id for each in found if each.version}


def generation(tools: Tools, collection: str) -> Generation:
    return next(each for each in tools.ledger.generations() if each.collection == collection)


def test_what_is_deleted_is_out_of_every_store_and_stays_out(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    place = folder(tmp_path)
    tools = make_tools([place], graph="off")  # the graph has its part in the next test
    spec = SourceSpec(place.as_uri(), name, name)
    flow.ingest(tools, spec)
    live = generation(tools, name)
    gone = documents(tools, name, name)["owls.md"]
    report = flow.delete_documents(tools, [gone], actor="cli")  # type: ignore[list-item]
    assert (report["documents"], report["left"]) == (1, [])
    assert set(documents(tools, name, name)) == {"bread.md", "ferry.md"}
    assert tools.ledger.counts(live).chunks == tools.vectors.count(live) == 2

    (place / "owls.md").touch()
    for mode in ("incremental", "full"):
        summary = flow.ingest(tools, spec, mode)  # type: ignore[arg-type]
        assert set(documents(tools, name, name)) == {"bread.md", "ferry.md"}, mode
        assert summary["documents"]["new"] == 0
    (place / "owls.md").write_text("# owls\n\nThe tawny owl hoots.\n")
    flow.ingest(tools, spec)
    assert set(documents(tools, name, name)) == {"owls.md", "bread.md", "ferry.md"}
    flow.delete_documents(tools, [gone], actor="cli")  # type: ignore[list-item]
    assert flow.restore(tools, gone).spec.uri == place.as_uri()  # type: ignore[arg-type]
    flow.ingest(tools, spec)
    assert documents(tools, name, name)["owls.md"] == gone
    assert flow.reconcile(tools, collection=name)["ok"]


def test_a_collection_leaves_nothing_behind(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    place = folder(tmp_path)
    tools = make_tools([place])
    flow.ingest(tools, SourceSpec(place.as_uri(), name, name))
    upload = uploads.store(
        tools.blobs, tools.keyring, tenant=name, collection=name, name="sent.md", content=b"# Sent\n\nIt came."
    )
    flow.ingest(tools, SourceSpec(uploads.source_uri(name, name), name, name))
    live = generation(tools, name)
    assert tools.blobs.list(f"uploads/{name}/{name}/{upload}") and len(documents(tools, name, name)) == 4
    (quarantined,) = tools.catalog.refusals(Principal("op", name, frozenset({ALL_GROUPS})), name, limit=10)
    report = flow.delete_collection(tools, name, actor="cli")
    assert (report["documents"], report["left"], report["dropped"]) == (5, [], True)
    assert tools.blobs.list(f"uploads/{name}") == []
    assert not [each for each in tools.blobs.list("quarantine") if str(quarantined.document_id) in each]
    assert tools.vectors.count(live) == 0 and tools.graph.count(live) == 0  # type: ignore[union-attr]
    with pytest.raises(NotFound):
        flow.reconcile(tools, collection=name)
    flow.ingest(tools, SourceSpec(place.as_uri(), name, name))
    assert len(documents(tools, name, name)) == 3
    report = flow.reconcile(tools, collection=name)
    assert all(each["ok"] for each in report["collections"]), report  # orphans are counted over the whole graph


def test_an_upload_goes_with_its_object(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    tools = make_tools([tmp_path])
    for sent in ("a.md", "b.md"):
        uploads.store(
            tools.blobs, tools.keyring, tenant=name, collection=name, name=sent, content=f"# {sent}\n\nYes.".encode()
        )
    spec = SourceSpec(uploads.source_uri(name, name), name, name)
    flow.ingest(tools, spec)
    flow.delete_documents(tools, [documents(tools, name, name)["a.md"]], actor="cli")  # type: ignore[list-item]
    assert flow.ingest(tools, spec)["documents"]["seen"] == 1
    assert set(documents(tools, name, name)) == {"b.md"}


def test_what_a_rule_keeps_for_others_is_not_ingested_from_a_folder_above(
    make_tools: MakeTools, tmp_path: Path, name: str
) -> None:
    """And a rule that is made later takes out what is there."""
    place = tmp_path / "documents"
    for folder_name, text in (("staff", "The plan."), ("board", "The minutes."), ("more", "Another text.")):
        (place / folder_name).mkdir(parents=True)
        (place / folder_name / "it.md").write_text(f"# {folder_name}\n\n{text}\n")
    open_tools = make_tools([place])
    spec = SourceSpec(place.as_uri(), name, name, ("staff",))
    flow.ingest(open_tools, spec)
    assert len(documents(open_tools, name, name)) == 3
    rule = f'{{"{(place / "board").as_uri()}": {{"groups": ["board"]}}}}'
    tools = make_tools([place], source_rules=rule)
    assert flow.ingest(tools, spec)["documents"]["deleted"] == 1
    assert set(documents(tools, name, name)) == {"staff/it.md", "more/it.md"}
    with pytest.raises(Forbidden):
        flow.ingest(tools, SourceSpec((place / "board").as_uri(), name, name))
    assert tools.ledger.saved_source(name, name, (place / "board").as_uri()) is None, "nothing was saved"
    flow.ingest(tools, SourceSpec((place / "board").as_uri(), name, name, ("board",)))
    with pytest.raises(BadRequest):
        flow.ingest(tools, SourceSpec((place / "board").as_uri(), name, name, ()))
    saved = tools.ledger.saved_source(name, name, (place / "board").as_uri())
    assert saved and saved.access_groups == ("board",), "its groups are as they were"
    assert flow.ingest(tools, SourceSpec((place / "board").as_uri(), name, name))["documents"]["unchanged"] == 1
