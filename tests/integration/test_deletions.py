"""Deletions by hand on real engines: out of every store, and it stays out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from sluice.errors import BadRequest, Busy, Forbidden, NotFound, Terminal
from sluice.model.gates import GateRule
from sluice.model.generation import Generation
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.sources import uploads
from sluice.wiring.application import Sluice
from support.failing import Crash, Crashing
from support.swapping import ROLES, port_of, swapped

MakeTools = Callable[..., Sluice]
TEXTS = {
    "owls": "The barn owl hunts voles.",
    "bread": "Rye sourdough wants time.",
    "ferry": "The ferry to Vienna waits.",
}


def folder(tmp_path: Path) -> Path:
    built = tmp_path / "in"
    built.mkdir()
    for name, text in TEXTS.items():
        (built / f"{name}.md").write_text(f"# {name}\n\n{text}\n")
    (built / "empty.txt").write_text("")  # into quarantine
    return built


def documents(sluice: Sluice, tenant: str, collection: str) -> dict[str, UUID]:
    who = Principal("op", tenant, frozenset({ALL_GROUPS}))
    result = sluice.catalog.documents(who, collection, 100)
    return {each.external_id: each.document_id for each in result if each.version}


def generation(sluice: Sluice, collection: str) -> Generation:
    return next(each for each in sluice.ledger.collections.generations() if each.collection == collection)


def test_what_is_deleted_is_out_of_every_store_and_stays_out(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    place = folder(tmp_path)
    sluice = make_sluice([place], graph="off")  # the graph has its part in the next test
    spec = SourceSpec(place.as_uri(), name, name)
    sluice.ingestion.ingest(IngestRequest(spec))
    live = generation(sluice, name)
    gone = documents(sluice, name, name)["owls.md"]
    report = sluice.deletion.delete_documents([gone], actor="cli").to_json()
    assert (report["documents"], report["left"]) == (1, [])
    assert set(documents(sluice, name, name)) == {"bread.md", "ferry.md"}
    assert sluice.ledger.collections.counts(live).chunks == sluice.vectors.count(live) == 2

    (place / "owls.md").touch()
    for mode in ("incremental", "full"):
        summary = sluice.ingestion.ingest(IngestRequest(spec, mode)).to_json()
        assert set(documents(sluice, name, name)) == {"bread.md", "ferry.md"}, mode
        assert summary["documents"]["new"] == 0
    (place / "owls.md").write_text("# owls\n\nThe tawny owl hoots.\n")
    sluice.ingestion.ingest(IngestRequest(spec))
    assert set(documents(sluice, name, name)) == {"owls.md", "bread.md", "ferry.md"}
    sluice.deletion.delete_documents([gone], actor="cli")
    assert sluice.deletion.restore(gone).spec.uri == place.as_uri()
    sluice.ingestion.ingest(IngestRequest(spec))
    assert documents(sluice, name, name)["owls.md"] == gone
    assert sluice.reconciliation.reconcile(collection=name).ok


def test_a_new_name_does_not_bring_back_what_was_deleted(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    place = folder(tmp_path)
    sluice = make_sluice([place], graph="off")
    spec = SourceSpec(place.as_uri(), name, name)
    sluice.ingestion.ingest(IngestRequest(spec))
    sluice.deletion.delete_documents([documents(sluice, name, name)["owls.md"]], actor="cli")
    (place / "owls.md").rename(place / "night birds.md")
    for mode in ("incremental", "full"):
        sluice.ingestion.ingest(IngestRequest(spec, mode))
        assert set(documents(sluice, name, name)) == {"bread.md", "ferry.md"}, mode


@pytest.mark.parametrize("renamed", [False, True])
def test_what_was_refused_and_deleted_stays_out_when_the_rule_is_loosened(
    make_sluice: MakeTools, tmp_path: Path, name: str, renamed: bool
) -> None:
    place = folder(tmp_path)
    sluice = make_sluice([place], graph="off")
    spec = SourceSpec(place.as_uri(), name, name)
    sluice.ingestion.ingest(IngestRequest(spec))
    live = generation(sluice, name)
    sluice.ledger.quality.set_rule(live, "documents", "too_long", GateRule("block", 60))
    (place / "long.md").write_text("# long\n\n" + "The osprey dives for fish in the lake. " * 5)
    sluice.ingestion.ingest(IngestRequest(spec))
    result = sluice.catalog.quarantine_records(Principal("op", name, frozenset({ALL_GROUPS})), name, limit=10)
    (long,) = (each.document_id for each in result if each.external_id == "long.md")
    sluice.deletion.delete_documents([long], actor="cli")
    sluice.ledger.quality.set_rule(live, "documents", "too_long", None)
    if renamed:
        (place / "long.md").rename(place / "osprey.md")
    else:
        (place / "long.md").touch()
    for mode in ("incremental", "full"):
        sluice.ingestion.ingest(IngestRequest(spec, mode))
        assert set(documents(sluice, name, name)) == {f"{each}.md" for each in TEXTS}, mode
    sluice.deletion.restore(long)
    sluice.ingestion.ingest(IngestRequest(spec))
    assert documents(sluice, name, name)["osprey.md" if renamed else "long.md"] == long


def keyed(sluice: Sluice, ids: list[UUID]) -> set[UUID]:
    return set(sluice.keyring.get(ids))


def test_keys_go_with_a_source_a_collection_and_a_placeholder(
    make_sluice: MakeTools, tmp_path: Path, name: str
) -> None:
    place = folder(tmp_path)
    sluice = make_sluice([place], graph="off")
    created: list[UUID] = []

    class Noting:
        def __getattr__(self, called: str) -> object:
            return getattr(sluice.keyring, called)

        def create(self, ids: list[UUID]) -> dict[UUID, bytes]:
            created.extend(ids)
            return sluice.keyring.create(ids)

    noting = swapped(sluice, keyring=Noting())
    spec = SourceSpec(place.as_uri(), name, name)
    noting.ingestion.ingest(IngestRequest(spec))
    first = list(created)
    (place / "owls.md").rename(place / "birds.md")
    edited = (place / "bread.md").read_text() + "It rises twice.\n"
    (place / "bread.md").unlink()
    (place / "loaf.md").write_text(edited)
    assert noting.ingestion.ingest(IngestRequest(spec)).documents.moved == 2
    placeholders = [each for each in created if each not in first]
    assert len(placeholders) == 2 and keyed(sluice, created) == set(created), "a cleared task would need them"

    (place / "ferry.md").unlink()
    noting.ingestion.ingest(IngestRequest(spec))
    assert keyed(sluice, first) == set(first), "as history is kept"
    source = sluice.deletion.source_at(name, name, spec.uri)
    sluice.deletion.remove_source(source, with_documents=True, actor="cli")
    assert keyed(sluice, created) == set()

    noting.ingestion.ingest(IngestRequest(spec))
    again = [each for each in created if each not in first]
    (place / "birds.md").unlink()
    noting.ingestion.ingest(IngestRequest(spec))
    sluice.deletion.delete_collection(name, actor="cli")
    assert keyed(sluice, again) == set()


def test_a_collection_is_dropped_from_the_stores_only_when_it_is_empty(
    make_sluice: MakeTools, tmp_path: Path, name: str
) -> None:
    place = folder(tmp_path)
    sluice = make_sluice([place], graph="off")
    sluice.ingestion.ingest(IngestRequest(SourceSpec(place.as_uri(), name, name)))
    live = generation(sluice, name)

    class Late:
        """Its documents are not all gone when the collection is to be dropped."""

        def __getattr__(self, called: str) -> object:
            return getattr(sluice.ledger.deletions, called)

        def deletable(self, *of: object) -> list[UUID]:
            return []

    class Removed:
        def __getattr__(self, called: str) -> object:
            return getattr(sluice.ledger.sources, called)

        def saved(self, tenant: str | None = None, collection: str | None = None) -> Sequence[object]:
            return sluice.ledger.sources.saved(tenant, collection) if tenant else []

    with pytest.raises(Terminal, match="still holds"):
        swapped(sluice, deletions=Late(), sources=Removed()).deletion.delete_collection(name, actor="cli")
    assert sluice.vectors.count(live) == 3 and set(documents(sluice, name, name)) == {f"{each}.md" for each in TEXTS}


@pytest.mark.parametrize(("port", "method"), [("vectors", "drop"), ("collections", "drop")])
def test_an_ingest_that_begins_while_a_collection_is_dropped_is_refused(
    make_sluice: MakeTools, tmp_path: Path, name: str, port: str, method: str
) -> None:
    """Else its documents would be active in the ledger and absent from the stores. So it stays where the deletion is
    killed, until it is repeated."""
    place = folder(tmp_path)
    sluice = make_sluice([place], graph="off")
    spec = SourceSpec(place.as_uri(), name, name)
    sluice.ingestion.ingest(IngestRequest(spec))

    def killed(*of: object) -> None:
        with pytest.raises(Busy, match="is being deleted"):
            sluice.ingestion.ingest(IngestRequest(spec))
        raise Crash

    class Killed:
        def __getattr__(self, called: str) -> object:
            return killed if called == method else getattr(port_of(sluice, port), called)

    with pytest.raises(Crash):
        swapped(sluice, **{port: Killed()}).deletion.delete_collection(name, actor="cli")
    with pytest.raises(Busy, match=f"sluice collections delete {name}"):
        sluice.ingestion.ingest(IngestRequest(spec))
    assert sluice.deletion.delete_collection(name, actor="cli").dropped
    sluice.ingestion.ingest(IngestRequest(spec))
    live = generation(sluice, name)
    assert sluice.vectors.count(live) == sluice.ledger.collections.counts(live).chunks == 3


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("port", "method"),
    [("keyring", "destroy"), ("blobs", "remove"), ("deletions", "delete"), ("runs", "finish")],
)
def test_a_killed_deletion_of_an_upload_is_finished_by_repeating_it(
    make_sluice: MakeTools, tmp_path: Path, name: str, port: str, method: str, after: bool
) -> None:
    sluice = make_sluice([tmp_path], graph="off")
    for sent in ("a.md", "b.md"):
        content = f"# {sent}\n\nYes.".encode()
        upload = uploads.store(sluice.blobs, sluice.keyring, tenant=name, collection=name, name=sent, content=content)
    spec = SourceSpec(uploads.source_uri(name, name), name, name)
    sluice.ingestion.ingest(IngestRequest(spec))
    document = documents(sluice, name, name)["b.md"]
    broken = Crashing(port_of(sluice, port), method, after)
    with pytest.raises(Crash):
        swapped(sluice, **{port: broken}).deletion.delete_documents([document], actor="cli")
    if (method, after) in (("delete", True), ("finish", False), ("finish", True)):
        with pytest.raises(NotFound):  # the ledger has forgotten it, and nothing is left to do
            sluice.deletion.delete_documents([document], actor="cli")
    else:
        assert sluice.deletion.delete_documents([document], actor="cli").documents == 1
    assert sluice.blobs.list(f"uploads/{name}/{name}/{upload}") == [] and sluice.keyring.get([upload]) == {}
    assert sluice.ingestion.ingest(IngestRequest(spec)).documents.seen == 1
    assert set(documents(sluice, name, name)) == {"a.md"}
    live = generation(sluice, name)
    assert sluice.ledger.collections.counts(live).chunks == sluice.vectors.count(live) == 1


def test_many_documents_cost_few_calls(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    place = folder(tmp_path)
    sluice = make_sluice([place], graph="off")
    sluice.ingestion.ingest(IngestRequest(SourceSpec(place.as_uri(), name, name)))

    class Counting:
        def __init__(self, role: object) -> None:
            self._role = role

        def __getattr__(self, called: str) -> object:
            calls.append(called)
            return getattr(self._role, called)

    costs = []
    for names in (["owls.md"], ["bread.md", "ferry.md"]):
        calls: list[str] = []
        counting = {role: Counting(port_of(sluice, role)) for role in ROLES}
        ids = [documents(sluice, name, name)[each] for each in names]
        swapped(sluice, **counting).deletion.delete_documents(ids, actor="cli")
        costs.append(sorted(each for each in calls if each != "claim"))
    assert costs[0] == costs[1]


def test_a_collection_leaves_nothing_behind(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    place = folder(tmp_path)
    sluice = make_sluice([place])
    sluice.ingestion.ingest(IngestRequest(SourceSpec(place.as_uri(), name, name)))
    upload = uploads.store(
        sluice.blobs, sluice.keyring, tenant=name, collection=name, name="sent.md", content=b"# Sent\n\nIt came."
    )
    sluice.ingestion.ingest(IngestRequest(SourceSpec(uploads.source_uri(name, name), name, name)))
    live = generation(sluice, name)
    assert sluice.blobs.list(f"uploads/{name}/{name}/{upload}") and len(documents(sluice, name, name)) == 4
    (quarantined,) = sluice.catalog.quarantine_records(Principal("op", name, frozenset({ALL_GROUPS})), name, limit=10)
    report = sluice.deletion.delete_collection(name, actor="cli").to_json()
    assert (report["documents"], report["left"], report["dropped"]) == (5, [], True)
    assert sluice.blobs.list(f"uploads/{name}") == []
    assert not [each for each in sluice.blobs.list("quarantine") if str(quarantined.document_id) in each]
    assert sluice.vectors.count(live) == 0 and sluice.graph.count(live) == 0  # type: ignore[union-attr]
    with pytest.raises(NotFound, match="sluice collections list"):
        sluice.reconciliation.reconcile(collection=name)
    sluice.ingestion.ingest(IngestRequest(SourceSpec(place.as_uri(), name, name)))
    assert len(documents(sluice, name, name)) == 3
    report = sluice.reconciliation.reconcile(collection=name).to_json()
    assert all(each["ok"] for each in report["collections"]), report  # orphans are counted over the whole graph


def test_an_upload_goes_with_its_object(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    sluice = make_sluice([tmp_path])
    for sent in ("a.md", "b.md"):
        uploads.store(
            sluice.blobs, sluice.keyring, tenant=name, collection=name, name=sent, content=f"# {sent}\n\nYes.".encode()
        )
    spec = SourceSpec(uploads.source_uri(name, name), name, name)
    sluice.ingestion.ingest(IngestRequest(spec))
    sluice.deletion.delete_documents([documents(sluice, name, name)["a.md"]], actor="cli")
    assert sluice.ingestion.ingest(IngestRequest(spec)).documents.seen == 1
    assert set(documents(sluice, name, name)) == {"b.md"}


def test_what_a_rule_keeps_for_others_is_not_ingested_from_a_folder_above(
    make_sluice: MakeTools, tmp_path: Path, name: str
) -> None:
    """And a rule that is made later takes out what is there."""
    place = tmp_path / "documents"
    for folder_name, text in (("staff", "The plan."), ("board", "The minutes."), ("more", "Another text.")):
        (place / folder_name).mkdir(parents=True)
        (place / folder_name / "it.md").write_text(f"# {folder_name}\n\n{text}\n")
    open_tools = make_sluice([place])
    spec = SourceSpec(place.as_uri(), name, name, ("staff",))
    open_tools.ingestion.ingest(IngestRequest(spec))
    assert len(documents(open_tools, name, name)) == 3
    rule = f'{{"{(place / "board").as_uri()}": {{"groups": ["board"]}}}}'
    sluice = make_sluice([place], source_rules=rule)
    assert sluice.ingestion.ingest(IngestRequest(spec)).documents.deleted == 1
    assert set(documents(sluice, name, name)) == {"staff/it.md", "more/it.md"}
    with pytest.raises(Forbidden):
        sluice.ingestion.ingest(IngestRequest(SourceSpec((place / "board").as_uri(), name, name)))
    assert sluice.ledger.sources.spec(name, name, (place / "board").as_uri()) is None, "nothing was saved"
    sluice.ingestion.ingest(IngestRequest(SourceSpec((place / "board").as_uri(), name, name, ("board",))))
    with pytest.raises(BadRequest):
        sluice.ingestion.ingest(IngestRequest(SourceSpec((place / "board").as_uri(), name, name, ())))
    saved = sluice.ledger.sources.spec(name, name, (place / "board").as_uri())
    assert saved and saved.access_groups == ("board",), "its groups are as they were"
    assert (
        sluice.ingestion.ingest(IngestRequest(SourceSpec((place / "board").as_uri(), name, name))).documents.unchanged
        == 1
    )
