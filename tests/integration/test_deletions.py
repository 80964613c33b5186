"""Deletions by hand on real engines: out of every store, and it stays out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from failing import Crash, Crashing
from sluice.errors import BadRequest, Busy, Forbidden, NotFound, Terminal
from sluice.maintenance import deletion, reconciliation
from sluice.model.gates import GateRule
from sluice.model.generation import Generation
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.source import SourceSpec
from sluice.pipeline import ingestion
from sluice.pipeline.requests import IngestRequest
from sluice.ports.tools import Tools
from sluice.sources import uploads
from swapping import ROLES, port_of, swapped

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
    return next(each for each in tools.ledger.collections.generations() if each.collection == collection)


def test_what_is_deleted_is_out_of_every_store_and_stays_out(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    place = folder(tmp_path)
    tools = make_tools([place], graph="off")  # the graph has its part in the next test
    spec = SourceSpec(place.as_uri(), name, name)
    ingestion.ingest(tools, IngestRequest(spec))
    live = generation(tools, name)
    gone = documents(tools, name, name)["owls.md"]
    report = deletion.delete_documents(tools, [gone], actor="cli").to_json()  # type: ignore[list-item]
    assert (report["documents"], report["left"]) == (1, [])
    assert set(documents(tools, name, name)) == {"bread.md", "ferry.md"}
    assert tools.ledger.collections.counts(live).chunks == tools.vectors.count(live) == 2

    (place / "owls.md").touch()
    for mode in ("incremental", "full"):
        summary = ingestion.ingest(tools, IngestRequest(spec, mode)).to_json()
        assert set(documents(tools, name, name)) == {"bread.md", "ferry.md"}, mode
        assert summary["documents"]["new"] == 0
    (place / "owls.md").write_text("# owls\n\nThe tawny owl hoots.\n")
    ingestion.ingest(tools, IngestRequest(spec))
    assert set(documents(tools, name, name)) == {"owls.md", "bread.md", "ferry.md"}
    deletion.delete_documents(tools, [gone], actor="cli")  # type: ignore[list-item]
    assert deletion.restore(tools, gone).spec.uri == place.as_uri()  # type: ignore[arg-type]
    ingestion.ingest(tools, IngestRequest(spec))
    assert documents(tools, name, name)["owls.md"] == gone
    assert reconciliation.reconcile(tools, collection=name).ok


def test_a_new_name_does_not_bring_back_what_was_deleted(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    place = folder(tmp_path)
    tools = make_tools([place], graph="off")
    spec = SourceSpec(place.as_uri(), name, name)
    ingestion.ingest(tools, IngestRequest(spec))
    deletion.delete_documents(tools, [documents(tools, name, name)["owls.md"]], actor="cli")  # type: ignore[list-item]
    (place / "owls.md").rename(place / "night birds.md")
    for mode in ("incremental", "full"):
        ingestion.ingest(tools, IngestRequest(spec, mode))
        assert set(documents(tools, name, name)) == {"bread.md", "ferry.md"}, mode


@pytest.mark.parametrize("renamed", [False, True])
def test_what_was_refused_and_deleted_stays_out_when_the_rule_is_loosened(
    make_tools: MakeTools, tmp_path: Path, name: str, renamed: bool
) -> None:
    place = folder(tmp_path)
    tools = make_tools([place], graph="off")
    spec = SourceSpec(place.as_uri(), name, name)
    ingestion.ingest(tools, IngestRequest(spec))
    live = generation(tools, name)
    tools.ledger.quality.set_rule(live, "documents", "too_long", GateRule("block", 60))
    (place / "long.md").write_text("# long\n\n" + "The osprey dives for fish in the lake. " * 5)
    ingestion.ingest(tools, IngestRequest(spec))
    found = tools.catalog.refusals(Principal("op", name, frozenset({ALL_GROUPS})), name, limit=10)
    (long,) = (each.document_id for each in found if each.external_id == "long.md")
    deletion.delete_documents(tools, [long], actor="cli")
    tools.ledger.quality.set_rule(live, "documents", "too_long", None)
    if renamed:
        (place / "long.md").rename(place / "osprey.md")
    else:
        (place / "long.md").touch()
    for mode in ("incremental", "full"):
        ingestion.ingest(tools, IngestRequest(spec, mode))
        assert set(documents(tools, name, name)) == {f"{each}.md" for each in TEXTS}, mode
    deletion.restore(tools, long)
    ingestion.ingest(tools, IngestRequest(spec))
    assert documents(tools, name, name)["osprey.md" if renamed else "long.md"] == long


def keyed(tools: Tools, ids: list[UUID]) -> set[UUID]:
    return set(tools.keyring.get(ids))


def test_keys_go_with_a_source_a_collection_and_a_placeholder(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    place = folder(tmp_path)
    tools = make_tools([place], graph="off")
    created: list[UUID] = []

    class Noting:
        def __getattr__(self, called: str) -> object:
            return getattr(tools.keyring, called)

        def create(self, ids: list[UUID]) -> dict[UUID, bytes]:
            created.extend(ids)
            return tools.keyring.create(ids)

    noting = replace(tools, keyring=Noting())  # type: ignore[arg-type]
    spec = SourceSpec(place.as_uri(), name, name)
    ingestion.ingest(noting, IngestRequest(spec))
    first = list(created)
    (place / "owls.md").rename(place / "birds.md")
    edited = (place / "bread.md").read_text() + "It rises twice.\n"
    (place / "bread.md").unlink()
    (place / "loaf.md").write_text(edited)
    assert ingestion.ingest(noting, IngestRequest(spec)).documents.moved == 2
    placeholders = [each for each in created if each not in first]
    assert len(placeholders) == 2 and keyed(tools, created) == set(created), "a cleared task would need them"

    (place / "ferry.md").unlink()
    ingestion.ingest(noting, IngestRequest(spec))
    assert keyed(tools, first) == set(first), "as history is kept"
    source = deletion.source_at(tools, name, name, spec.uri)
    deletion.remove_source(tools, source, with_documents=True, actor="cli")
    assert keyed(tools, created) == set()

    ingestion.ingest(noting, IngestRequest(spec))
    again = [each for each in created if each not in first]
    (place / "birds.md").unlink()
    ingestion.ingest(noting, IngestRequest(spec))
    deletion.delete_collection(tools, name, actor="cli")
    assert keyed(tools, again) == set()


def test_a_collection_is_dropped_from_the_stores_only_when_it_is_empty(
    make_tools: MakeTools, tmp_path: Path, name: str
) -> None:
    place = folder(tmp_path)
    tools = make_tools([place], graph="off")
    ingestion.ingest(tools, IngestRequest(SourceSpec(place.as_uri(), name, name)))
    live = generation(tools, name)

    class Late:
        """Its documents are not all gone when the collection is to be dropped."""

        def __getattr__(self, called: str) -> object:
            return getattr(tools.ledger.deletions, called)

        def deletable(self, *of: object) -> list[UUID]:
            return []

    class Removed:
        def __getattr__(self, called: str) -> object:
            return getattr(tools.ledger.sources, called)

        def saved(self, tenant: str | None = None, collection: str | None = None) -> Sequence[object]:
            return tools.ledger.sources.saved(tenant, collection) if tenant else []

    with pytest.raises(Terminal, match="still holds"):
        deletion.delete_collection(swapped(tools, deletions=Late(), sources=Removed()), name, actor="cli")
    assert tools.vectors.count(live) == 3 and set(documents(tools, name, name)) == {f"{each}.md" for each in TEXTS}


@pytest.mark.parametrize(("port", "method"), [("vectors", "drop"), ("collections", "drop")])
def test_an_ingest_that_begins_while_a_collection_is_dropped_is_refused(
    make_tools: MakeTools, tmp_path: Path, name: str, port: str, method: str
) -> None:
    """Else its documents would be active in the ledger and absent from the stores. So it stays where the deletion is
    killed, until it is repeated."""
    place = folder(tmp_path)
    tools = make_tools([place], graph="off")
    spec = SourceSpec(place.as_uri(), name, name)
    ingestion.ingest(tools, IngestRequest(spec))

    def killed(*of: object) -> None:
        with pytest.raises(Busy, match="is being deleted"):
            ingestion.ingest(tools, IngestRequest(spec))
        raise Crash

    class Killed:
        def __getattr__(self, called: str) -> object:
            return killed if called == method else getattr(port_of(tools, port), called)

    with pytest.raises(Crash):
        deletion.delete_collection(swapped(tools, **{port: Killed()}), name, actor="cli")
    with pytest.raises(Busy, match=f"sluice collections delete {name}"):
        ingestion.ingest(tools, IngestRequest(spec))
    assert deletion.delete_collection(tools, name, actor="cli").dropped
    ingestion.ingest(tools, IngestRequest(spec))
    live = generation(tools, name)
    assert tools.vectors.count(live) == tools.ledger.collections.counts(live).chunks == 3


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("port", "method"),
    [("keyring", "destroy"), ("blobs", "remove"), ("deletions", "delete"), ("runs", "finish")],
)
def test_a_killed_deletion_of_an_upload_is_finished_by_repeating_it(
    make_tools: MakeTools, tmp_path: Path, name: str, port: str, method: str, after: bool
) -> None:
    tools = make_tools([tmp_path], graph="off")
    for sent in ("a.md", "b.md"):
        content = f"# {sent}\n\nYes.".encode()
        upload = uploads.store(tools.blobs, tools.keyring, tenant=name, collection=name, name=sent, content=content)
    spec = SourceSpec(uploads.source_uri(name, name), name, name)
    ingestion.ingest(tools, IngestRequest(spec))
    document = documents(tools, name, name)["b.md"]
    broken = Crashing(port_of(tools, port), method, after)
    with pytest.raises(Crash):
        deletion.delete_documents(swapped(tools, **{port: broken}), [document], actor="cli")  # type: ignore[list-item]
    if (method, after) in (("delete", True), ("finish", False), ("finish", True)):
        with pytest.raises(NotFound):  # the ledger has forgotten it, and nothing is left to do
            deletion.delete_documents(tools, [document], actor="cli")  # type: ignore[list-item]
    else:
        assert deletion.delete_documents(tools, [document], actor="cli").documents == 1  # type: ignore[list-item]
    assert tools.blobs.list(f"uploads/{name}/{name}/{upload}") == [] and tools.keyring.get([upload]) == {}
    assert ingestion.ingest(tools, IngestRequest(spec)).documents.seen == 1
    assert set(documents(tools, name, name)) == {"a.md"}
    live = generation(tools, name)
    assert tools.ledger.collections.counts(live).chunks == tools.vectors.count(live) == 1


def test_many_documents_cost_few_calls(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    place = folder(tmp_path)
    tools = make_tools([place], graph="off")
    ingestion.ingest(tools, IngestRequest(SourceSpec(place.as_uri(), name, name)))

    class Counting:
        def __init__(self, role: object) -> None:
            self._role = role

        def __getattr__(self, called: str) -> object:
            calls.append(called)
            return getattr(self._role, called)

    costs = []
    for names in (["owls.md"], ["bread.md", "ferry.md"]):
        calls: list[str] = []
        counting = {role: Counting(port_of(tools, role)) for role in ROLES}
        ids = [documents(tools, name, name)[each] for each in names]
        deletion.delete_documents(swapped(tools, **counting), ids, actor="cli")  # type: ignore[arg-type]
        costs.append(sorted(each for each in calls if each != "claim"))
    assert costs[0] == costs[1]


def test_a_collection_leaves_nothing_behind(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    place = folder(tmp_path)
    tools = make_tools([place])
    ingestion.ingest(tools, IngestRequest(SourceSpec(place.as_uri(), name, name)))
    upload = uploads.store(
        tools.blobs, tools.keyring, tenant=name, collection=name, name="sent.md", content=b"# Sent\n\nIt came."
    )
    ingestion.ingest(tools, IngestRequest(SourceSpec(uploads.source_uri(name, name), name, name)))
    live = generation(tools, name)
    assert tools.blobs.list(f"uploads/{name}/{name}/{upload}") and len(documents(tools, name, name)) == 4
    (quarantined,) = tools.catalog.refusals(Principal("op", name, frozenset({ALL_GROUPS})), name, limit=10)
    report = deletion.delete_collection(tools, name, actor="cli").to_json()
    assert (report["documents"], report["left"], report["dropped"]) == (5, [], True)
    assert tools.blobs.list(f"uploads/{name}") == []
    assert not [each for each in tools.blobs.list("quarantine") if str(quarantined.document_id) in each]
    assert tools.vectors.count(live) == 0 and tools.graph.count(live) == 0  # type: ignore[union-attr]
    with pytest.raises(NotFound, match="sluice collections list"):
        reconciliation.reconcile(tools, collection=name)
    ingestion.ingest(tools, IngestRequest(SourceSpec(place.as_uri(), name, name)))
    assert len(documents(tools, name, name)) == 3
    report = reconciliation.reconcile(tools, collection=name).to_json()
    assert all(each["ok"] for each in report["collections"]), report  # orphans are counted over the whole graph


def test_an_upload_goes_with_its_object(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    tools = make_tools([tmp_path])
    for sent in ("a.md", "b.md"):
        uploads.store(
            tools.blobs, tools.keyring, tenant=name, collection=name, name=sent, content=f"# {sent}\n\nYes.".encode()
        )
    spec = SourceSpec(uploads.source_uri(name, name), name, name)
    ingestion.ingest(tools, IngestRequest(spec))
    deletion.delete_documents(tools, [documents(tools, name, name)["a.md"]], actor="cli")  # type: ignore[list-item]
    assert ingestion.ingest(tools, IngestRequest(spec)).documents.seen == 1
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
    ingestion.ingest(open_tools, IngestRequest(spec))
    assert len(documents(open_tools, name, name)) == 3
    rule = f'{{"{(place / "board").as_uri()}": {{"groups": ["board"]}}}}'
    tools = make_tools([place], source_rules=rule)
    assert ingestion.ingest(tools, IngestRequest(spec)).documents.deleted == 1
    assert set(documents(tools, name, name)) == {"staff/it.md", "more/it.md"}
    with pytest.raises(Forbidden):
        ingestion.ingest(tools, IngestRequest(SourceSpec((place / "board").as_uri(), name, name)))
    assert tools.ledger.sources.spec(name, name, (place / "board").as_uri()) is None, "nothing was saved"
    ingestion.ingest(tools, IngestRequest(SourceSpec((place / "board").as_uri(), name, name, ("board",))))
    with pytest.raises(BadRequest):
        ingestion.ingest(tools, IngestRequest(SourceSpec((place / "board").as_uri(), name, name, ())))
    saved = tools.ledger.sources.spec(name, name, (place / "board").as_uri())
    assert saved and saved.access_groups == ("board",), "its groups are as they were"
    assert (
        ingestion.ingest(tools, IngestRequest(SourceSpec((place / "board").as_uri(), name, name))).documents.unchanged
        == 1
    )
