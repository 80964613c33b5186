"""Retention on real engines: unreadable at the instant, listed, purged, gone from every store, and it stays gone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from agreement import Stores
from failing import Crash, Crashing
from ledger_rows import room_of
from sluice.cli import app
from sluice.errors import NotFound
from sluice.maintenance import purging, reconciliation
from sluice.model.generation import Generation
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.retention import Retention, RetentionScope
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.pipeline import ingestion
from sluice.pipeline.requests import IngestRequest
from sluice.ports.tools import Tools
from sluice.wiring import searcher
from support.engines import EngineStack
from swapping import port_of, swapped

MakeTools = Callable[..., Tools]


def corpus(path: Path, documents: int, edited: int = 0) -> None:
    """One chunk a document; `edited` of them, the first ones, have another text."""
    words = ("ferry", "lighthouse", "harbour", "ticket", "island", "captain", "anchor")
    with path.open("w") as file:
        for number in range(documents):
            told = f"The {words[number % 7]} number {number} waits for the {words[number % 5]} until evening."
            if number < edited:
                told += " It was repaired."
            file.write(json.dumps({"_id": f"d{number:05}", "title": f"Note {number}", "text": told}) + "\n")


def generation(tools: Tools, collection: str) -> Generation:
    return next(each for each in tools.ledger.collections.generations() if each.collection == collection)


def who(tenant: str) -> Principal:
    return Principal("tester", tenant, frozenset({ALL_GROUPS}))


def documents(tools: Tools, collection: str) -> dict[str, UUID]:
    found: dict[str, UUID] = {}
    after = None
    while page := tools.catalog.documents(who(collection), collection, 1000, after):
        found |= {each.external_id: each.document_id for each in page}
        after = page[-1].document_id
    return found


def found(tools: Tools, collection: str, query: str) -> set[str]:
    asked = SearchRequest(query, collection, 100)
    return {each.external_id for each in searcher(tools)(asked, who(collection)).passages}


def expire(tools: Tools, ids: list[UUID], in_s: float = 0.0) -> None:
    end = tools.ledger.retention.clock() + timedelta(seconds=in_s)
    for document_id in ids:
        tools.ledger.retention.assign(RetentionScope(document_id=document_id), Retention(until=end))


def loaded(make_tools: MakeTools, tmp_path: Path, name: str, count: int, **more: Any) -> tuple[Tools, SourceSpec]:
    corpus(tmp_path / "notes.jsonl", count)
    tools = make_tools([tmp_path], **{"graph": "off", **more})
    spec = SourceSpec(f"jsonl://{tmp_path}/notes.jsonl", name, tenant=name)
    assert ingestion.ingest(tools, IngestRequest(spec)).documents.new == count
    return tools, spec


def sealed_bytes(stores: Stores, ids: list[UUID]) -> int:
    query = text(
        "SELECT coalesce(sum(length(sealed_title) + length(sealed_text) + length(sealed_metadata)), 0) "
        "+ (SELECT count(*) FROM chunks WHERE document_id = ANY(:ids)) FROM versions WHERE document_id = ANY(:ids)"
    )
    with stores.engine.connect() as connection:
        return int(connection.execute(query, {"ids": ids}).scalar_one())


@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=pytest.mark.drill)])
def test_a_tenth_expires(make_tools: MakeTools, stores: Stores, tmp_path: Path, name: str, count: int) -> None:
    tools, spec = loaded(make_tools, tmp_path, name, count, graph="on", entities="spacy:en_core_web_sm")
    all_ids = documents(tools, name)
    tenth = {f"d{number:05}" for number in range(0, count, 10)}
    ids = [all_ids[each] for each in sorted(tenth)]
    chunks = tools.ledger.collections.counts(generation(tools, name)).chunks

    began = time.perf_counter()
    expire(tools, ids, in_s=3600)
    set_s = time.perf_counter() - began
    asked = "ferry number 0 waits"
    assert tools.ledger.retention.expired_sources(tools.ledger.retention.clock(), name) == []
    assert set(documents(tools, name)) == all_ids.keys()
    an_hour_passes(stores, ids)
    assert not found(tools, name, asked) & tenth, "readable after its end"
    assert set(documents(tools, name)) == all_ids.keys() - tenth

    as_of = tools.ledger.retention.clock()
    began = time.perf_counter()
    listed = list(purging.expired(tools, as_of, name))
    list_s = time.perf_counter() - began
    assert {each.external_id for each in listed} == tenth
    assert tools.ledger.collections.counts(generation(tools, name)).chunks == chunks, "a dry run changed something"

    began = time.perf_counter()
    report = purging.purge(tools, as_of, collection=name).to_json()
    purge_s = time.perf_counter() - began
    (told,) = report["sources"]
    assert set(room_of(tools).purged(UUID(told["run_id"]))) == {each.document_id for each in listed}
    assert (report["documents"], report["chunks"]) == (len(listed), sum(each.chunks for each in listed))

    left = chunks - report["chunks"]
    assert (tools.vectors.count(generation(tools, name)), tools.graph.count(generation(tools, name))) == (left, left)  # type: ignore[union-attr]
    assert tools.ledger.collections.counts(generation(tools, name)).chunks == left
    reconciled = reconciliation.reconcile(tools, collection=name, deep=True).to_json()
    assert [reconciled[each] for each in ("missing", "surplus", "stale", "in_flight")] == [0, 0, 0, 0]
    assert sealed_bytes(stores, [each.document_id for each in listed]) == 0

    began = time.perf_counter()
    again = ingestion.ingest(tools, IngestRequest(spec)).to_json()
    rescan_s = time.perf_counter() - began
    assert (again["documents"]["unchanged"], again["embeddings"]["computed"]) == (count, 0)
    assert again["chunks"]["written"] == 0 and list(purging.expired(tools, tools.ledger.retention.clock(), name)) == []
    print(f"{count} documents: set {set_s:.1f} s, list {list_s:.2f} s, purge {purge_s:.1f} s, rescan {rescan_s:.2f} s")


def an_hour_passes(stores: Stores, ids: list[UUID]) -> None:
    """For these documents: whatever was set for them is set for an hour earlier."""
    with stores.engine.begin() as connection:
        for column in ("expires_at", "retain_until"):
            statement = f"UPDATE documents SET {column} = {column} - interval '1 hour' WHERE document_id = ANY(:ids)"
            assert connection.execute(text(statement), {"ids": ids}).rowcount == len(ids)


def test_it_is_unreadable_at_the_second(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    tools, _ = loaded(make_tools, tmp_path, name, 3)
    ids = documents(tools, name)
    (chunk_id,) = [
        each.chunk_id
        for each in tools.ledger.reconciliation.chunks_after(generation(tools, name), None, 10)
        if each.document_id == ids["d00000"]
    ]
    end = tools.ledger.retention.clock() + timedelta(seconds=2)
    tools.ledger.retention.assign(RetentionScope(name), Retention(until=end))
    while True:
        passages, after = found(tools, name, "ferry number 0"), tools.ledger.retention.clock()
        if after < end:
            assert passages == set(ids)
        else:
            break
    assert found(tools, name, "ferry number 0") == set() and documents(tools, name) == {}
    for ask in (
        lambda: tools.catalog.document(who(name), ids["d00000"]),
        lambda: tools.catalog.lineage(who(name), chunk_id),
    ):
        with pytest.raises(NotFound):
            ask()
    (info,) = tools.catalog.collections(who(name))
    assert (info.documents, info.chunks, info.quarantined) == (0, 0, 0)
    assert tools.vectors.count(generation(tools, name)) == 3  # only the purge takes it out


def test_touched_it_stays_gone_and_changed_it_comes_back(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    tools, spec = loaded(make_tools, tmp_path, name, 30)
    source = RetentionScope(name, name, spec.uri)
    tools.ledger.retention.assign(source, Retention(until=tools.ledger.retention.clock()))
    purging.purge(tools, tools.ledger.retention.clock(), collection=name)
    assert tools.vectors.count(generation(tools, name)) == 0
    full = ingestion.ingest(tools, IngestRequest(spec, "full")).to_json()
    assert (full["documents"]["unchanged"], full["chunks"]["total"]) == (30, 0)
    tools.ledger.retention.assign(source, Retention(days=1))
    expire_by_age(tools, name)
    corpus(tmp_path / "notes.jsonl", 30, edited=4)
    changed = ingestion.ingest(tools, IngestRequest(spec)).to_json()
    assert (changed["documents"]["changed"], changed["documents"]["new"], changed["chunks"]["total"]) == (4, 0, 4)
    assert set(documents(tools, name)) == {f"d{number:05}" for number in range(4)}


def expire_by_age(tools: Tools, name: str) -> None:
    """As if the documents that are purged had been served first three days ago."""
    engine = tools.ledger.runs._engine  # type: ignore[attr-defined]
    with engine.begin() as connection:
        connection.execute(
            text("""
                UPDATE documents SET served_since = served_since - interval '3 days',
                                     expires_at = served_since - interval '2 days' WHERE tenant_id = :t
            """),
            {"t": name},
        )


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("port", "method"),
    [("retention", "purge"), ("vectors", "delete"), ("graph", "remove"), ("outbox", "removals"), ("runs", "finish")],
)
def test_a_purge_that_broke_off_goes_on(
    make_tools: MakeTools, tmp_path: Path, name: str, port: str, method: str, after: bool
) -> None:
    tools, spec = loaded(make_tools, tmp_path, name, 10, graph="on", entities="spacy:en_core_web_sm")
    ids = documents(tools, name)
    expire(tools, [ids["d00003"], ids["d00007"]])
    as_of = tools.ledger.retention.clock()
    broken = Crashing(port_of(tools, port), method, after)
    with pytest.raises(Crash):
        purging.purge(swapped(tools, **{port: broken}), as_of, collection=name)
    assert broken.died
    purging.purge(tools, as_of, collection=name)
    assert tools.ledger.collections.counts(generation(tools, name)).documents == 8
    assert reconciliation.reconcile(tools, collection=name).ok
    assert ingestion.ingest(tools, IngestRequest(spec)).documents.unchanged == 10


def test_bytes_in_quarantine_go_too(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.md").write_text("# Harbour\n\nThe ferry leaves at nine.\n")
    tools, spec = make_tools([tmp_path], graph="off"), SourceSpec(folder.as_uri(), name, tenant=name)
    ingestion.ingest(tools, IngestRequest(spec))
    (document_id,) = documents(tools, name).values()
    (folder / "a.md").write_bytes(b"\0\1\2" * 500)
    assert ingestion.ingest(tools, IngestRequest(spec)).documents.quarantined == 1
    kept = f"quarantine/{document_id}.sealed"
    assert tools.blobs.read(kept)
    expire(tools, [document_id])
    purging.purge(tools, tools.ledger.retention.clock(), collection=name)
    with pytest.raises(NotFound):
        tools.blobs.read(kept)


def test_beside_an_ingest_of_the_same_source(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    tools, spec = loaded(make_tools, tmp_path, name, 120)
    ids = documents(tools, name)
    expire(tools, [ids[f"d{number:05}"] for number in range(0, 120, 3)])
    corpus(tmp_path / "notes.jsonl", 120, edited=60)
    outcome: list[Any] = []

    def ingest() -> None:
        outcome.append(ingestion.ingest(replace(tools, batch_size=10), IngestRequest(spec)).to_json())

    beside = Thread(target=ingest)
    beside.start()
    while beside.is_alive():
        purging.purge(tools, tools.ledger.retention.clock(), collection=name)
        beside.join(0.01)
    beside.join(60)
    if not outcome:  # it met a purge at its beginning and was told so
        ingest()
    purging.purge(tools, tools.ledger.retention.clock(), collection=name)
    assert ingestion.ingest(tools, IngestRequest(spec)).documents.unchanged == 120
    assert reconciliation.reconcile(tools, collection=name).ok
    readable = {f"d{number:05}" for number in range(120) if number % 3}
    assert set(documents(tools, name)) == readable
    assert tools.ledger.collections.counts(generation(tools, name)).documents == len(readable)


def test_no_more_goes_than_was_listed(make_tools: MakeTools, tmp_path: Path, name: str) -> None:
    tools, spec = loaded(make_tools, tmp_path, name, 5)
    ids = list(documents(tools, name).values())
    expire(tools, ids[:1])
    as_of = tools.ledger.retention.clock()
    listed = {each.document_id for each in purging.expired(tools, as_of, name)}
    tools.ledger.retention.assign(RetentionScope(document_id=ids[0]), None)
    tools.ledger.retention.assign(RetentionScope(name, name, spec.uri), Retention(until=as_of))
    assert listed == {ids[0]} and len(list(purging.expired(tools, as_of, name))) == 5
    tools.ledger.retention.assign(RetentionScope(document_id=ids[1]), Retention(days=0))
    assert purging.purge(tools, as_of, collection=name, listed=listed).documents == 1
    assert [each.document_id for each in purging.expired(tools, as_of, name)] == sorted(ids[2:])
    with pytest.raises(NotFound):
        purging.purge(tools, as_of, collection="nowhere")


def test_the_command_line(
    make_tools: MakeTools, stack: EngineStack, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools, spec = loaded(make_tools, tmp_path, name, 4)
    for variable, value in stack.environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("SLUICE_GRAPH", "off")
    runner = CliRunner()

    def sluice(*arguments: str) -> Any:
        done = runner.invoke(app, [*arguments], catch_exceptions=True)
        return done

    at = ("--collection", name)
    assert sluice("retention", "set", *at).exit_code != 0
    assert "30 days" in sluice("retention", "set", *at, "--days", "30").output
    told = sluice("retention", "set", *at, "--source", spec.uri, "--tenant", name, "--until", "2027-01-31").output
    assert "unreadable from 2027-02-01T00:00:00Z on. The expiry of 4 documents changed." in told
    some = next(iter(documents(tools, name).values()))
    assert "changed" in sluice("retention", "set", "--document", str(some), "--until", "2020-01-01", "--yes").output
    shown = json.loads(sluice("retention", "show", *at, "--json").output)["retention"]
    assert [(each["days"], bool(each["until"]), bool(each["document_id"])) for each in shown] == [
        (30, False, False),
        (None, True, False),
        (None, True, True),
    ]
    dry = json.loads(sluice("purge", *at, "--json").output)
    assert (dry["apply"], dry["documents"], [each["document_id"] for each in dry["expired"]]) == (False, 1, [str(some)])
    assert "Nothing was deleted" in sluice("purge", *at).output
    done = json.loads(sluice("purge", *at, "--apply", "--as-of", dry["as_of"], "--json").output)
    assert (done["apply"], done["documents"], done["left"]) == (True, 1, 0)
    assert sluice("purge", *at, "--apply").output.startswith("0 documents")
    told = sluice("retention", "unset", *at, "--source", spec.uri, "--tenant", name).output
    assert "no retention of its own. The expiry of 3 documents changed." in told
