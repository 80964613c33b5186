"""Retention on real engines: unreadable at the instant, listed, purged, gone from every store, and it stays gone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from sluice.cli import app
from sluice.errors import NotFound
from sluice.model.generation import Generation
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.retention import Retention, RetentionScope
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.wiring.application import Sluice
from support.agreement import Stores
from support.engines import EngineStack
from support.failing import Crash, Crashing
from support.ledger_rows import db_of
from support.swapping import port_of, swapped

MakeTools = Callable[..., Sluice]


def corpus(path: Path, documents: int, edited: int = 0) -> None:
    """One chunk a document; `edited` of them, the first ones, have another text."""
    words = ("ferry", "lighthouse", "harbour", "ticket", "island", "captain", "anchor")
    with path.open("w") as file:
        for number in range(documents):
            message = f"The {words[number % 7]} number {number} waits for the {words[number % 5]} until evening."
            if number < edited:
                message += " It was repaired."
            file.write(json.dumps({"_id": f"d{number:05}", "title": f"Note {number}", "text": message}) + "\n")


def generation(sluice: Sluice, collection: str) -> Generation:
    return next(each for each in sluice.ledger.collections.generations() if each.collection == collection)


def who(tenant: str) -> Principal:
    return Principal("tester", tenant, frozenset({ALL_GROUPS}))


def documents(sluice: Sluice, collection: str) -> dict[str, UUID]:
    result: dict[str, UUID] = {}
    after = None
    while page := sluice.catalog.documents(who(collection), collection, 1000, after):
        result |= {each.external_id: each.document_id for each in page}
        after = page[-1].document_id
    return result


def result(sluice: Sluice, collection: str, query: str) -> set[str]:
    asked = SearchRequest(query, collection, 100)
    return {each.external_id for each in sluice.search(asked, who(collection)).passages}


def expire(sluice: Sluice, ids: list[UUID], in_s: float = 0.0) -> None:
    end = sluice.ledger.retention.clock() + timedelta(seconds=in_s)
    for document_id in ids:
        sluice.ledger.retention.assign(RetentionScope(document_id=document_id), Retention(until=end))


def loaded(make_sluice: MakeTools, tmp_path: Path, name: str, count: int, **more: Any) -> tuple[Sluice, SourceSpec]:
    corpus(tmp_path / "notes.jsonl", count)
    sluice = make_sluice([tmp_path], **{"graph": "off", **more})
    spec = SourceSpec(f"jsonl://{tmp_path}/notes.jsonl", name, tenant=name)
    assert sluice.ingestion.ingest(IngestRequest(spec)).documents.new == count
    return sluice, spec


def sealed_bytes(stores: Stores, ids: list[UUID]) -> int:
    query = text(
        "SELECT coalesce(sum(length(sealed_title) + length(sealed_text) + length(sealed_metadata)), 0) "
        "+ (SELECT count(*) FROM chunks WHERE document_id = ANY(:ids)) FROM versions WHERE document_id = ANY(:ids)"
    )
    with stores.engine.connect() as connection:
        return int(connection.execute(query, {"ids": ids}).scalar_one())


@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=pytest.mark.drill)])
def test_a_tenth_expires(make_sluice: MakeTools, stores: Stores, tmp_path: Path, name: str, count: int) -> None:
    sluice, spec = loaded(make_sluice, tmp_path, name, count, graph="on", entities="spacy:en_core_web_sm")
    all_ids = documents(sluice, name)
    tenth = {f"d{number:05}" for number in range(0, count, 10)}
    ids = [all_ids[each] for each in sorted(tenth)]
    chunks = sluice.ledger.collections.counts(generation(sluice, name)).chunks

    began = time.perf_counter()
    expire(sluice, ids, in_s=3600)
    set_s = time.perf_counter() - began
    asked = "ferry number 0 waits"
    assert sluice.ledger.retention.expired_sources(sluice.ledger.retention.clock(), name) == []
    assert set(documents(sluice, name)) == all_ids.keys()
    an_hour_passes(stores, ids)
    assert not result(sluice, name, asked) & tenth, "readable after its end"
    assert set(documents(sluice, name)) == all_ids.keys() - tenth

    as_of = sluice.ledger.retention.clock()
    began = time.perf_counter()
    listed = list(sluice.purging.expired(as_of, name))
    list_s = time.perf_counter() - began
    assert {each.external_id for each in listed} == tenth
    assert sluice.ledger.collections.counts(generation(sluice, name)).chunks == chunks, "a dry run changed something"

    began = time.perf_counter()
    report = sluice.purging.purge(as_of, collection=name).to_json()
    purge_s = time.perf_counter() - began
    (message,) = report["sources"]
    assert set(db_of(sluice).purged(UUID(message["run_id"]))) == {each.document_id for each in listed}
    assert (report["documents"], report["chunks"]) == (len(listed), sum(each.chunks for each in listed))

    left = chunks - report["chunks"]
    assert sluice.graph is not None
    assert (sluice.vectors.count(generation(sluice, name)), sluice.graph.count(generation(sluice, name))) == (
        left,
        left,
    )
    assert sluice.ledger.collections.counts(generation(sluice, name)).chunks == left
    reconciled = sluice.reconciliation.reconcile(collection=name, deep=True).to_json()
    assert [reconciled[each] for each in ("missing", "surplus", "stale", "in_flight")] == [0, 0, 0, 0]
    assert sealed_bytes(stores, [each.document_id for each in listed]) == 0

    began = time.perf_counter()
    again = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    rescan_s = time.perf_counter() - began
    assert (again["documents"]["unchanged"], again["embeddings"]["computed"]) == (count, 0)
    assert again["chunks"]["written"] == 0 and list(sluice.purging.expired(sluice.ledger.retention.clock(), name)) == []
    print(f"{count} documents: set {set_s:.1f} s, list {list_s:.2f} s, purge {purge_s:.1f} s, rescan {rescan_s:.2f} s")


def an_hour_passes(stores: Stores, ids: list[UUID]) -> None:
    """For these documents: whatever was set for them is set for an hour earlier."""
    with stores.engine.begin() as connection:
        for column in ("expires_at", "retain_until"):
            statement = f"UPDATE documents SET {column} = {column} - interval '1 hour' WHERE document_id = ANY(:ids)"
            assert connection.execute(text(statement), {"ids": ids}).rowcount == len(ids)


def test_it_is_unreadable_at_the_second(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    sluice, _ = loaded(make_sluice, tmp_path, name, 3)
    ids = documents(sluice, name)
    (chunk_id,) = [
        each.chunk_id
        for each in sluice.ledger.reconciliation.chunks_after(generation(sluice, name), None, 10)
        if each.document_id == ids["d00000"]
    ]
    end = sluice.ledger.retention.clock() + timedelta(seconds=2)
    sluice.ledger.retention.assign(RetentionScope(name), Retention(until=end))
    while True:
        passages, after = result(sluice, name, "ferry number 0"), sluice.ledger.retention.clock()
        if after < end:
            assert passages == set(ids)
        else:
            break
    assert result(sluice, name, "ferry number 0") == set() and documents(sluice, name) == {}
    for ask in (
        lambda: sluice.catalog.document(who(name), ids["d00000"]),
        lambda: sluice.catalog.lineage(who(name), chunk_id),
    ):
        with pytest.raises(NotFound):
            ask()
    (info,) = sluice.catalog.collections(who(name))
    assert (info.documents, info.chunks, info.quarantined) == (0, 0, 0)
    assert sluice.vectors.count(generation(sluice, name)) == 3  # only the purge takes it out


def test_touched_it_stays_gone_and_changed_it_comes_back(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    sluice, spec = loaded(make_sluice, tmp_path, name, 30)
    source = RetentionScope(name, name, spec.uri)
    sluice.ledger.retention.assign(source, Retention(until=sluice.ledger.retention.clock()))
    sluice.purging.purge(sluice.ledger.retention.clock(), collection=name)
    assert sluice.vectors.count(generation(sluice, name)) == 0
    full = sluice.ingestion.ingest(IngestRequest(spec, "full")).to_json()
    assert (full["documents"]["unchanged"], full["chunks"]["total"]) == (30, 0)
    sluice.ledger.retention.assign(source, Retention(days=1))
    expire_by_age(sluice, name)
    corpus(tmp_path / "notes.jsonl", 30, edited=4)
    changed = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert (changed["documents"]["changed"], changed["documents"]["new"], changed["chunks"]["total"]) == (4, 0, 4)
    assert set(documents(sluice, name)) == {f"d{number:05}" for number in range(4)}


def expire_by_age(sluice: Sluice, name: str) -> None:
    """As if the documents that are purged had been served first three days ago."""
    engine = sluice.ledger.runs._engine  # type: ignore[attr-defined]
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
    [("retention", "purge"), ("vectors", "delete"), ("graph", "remove"), ("outbox", "entries"), ("runs", "finish")],
)
def test_a_purge_that_broke_off_goes_on(
    make_sluice: MakeTools, tmp_path: Path, name: str, port: str, method: str, after: bool
) -> None:
    sluice, spec = loaded(make_sluice, tmp_path, name, 10, graph="on", entities="spacy:en_core_web_sm")
    ids = documents(sluice, name)
    expire(sluice, [ids["d00003"], ids["d00007"]])
    as_of = sluice.ledger.retention.clock()
    broken = Crashing(port_of(sluice, port), method, after)
    with pytest.raises(Crash):
        swapped(sluice, **{port: broken}).purging.purge(as_of, collection=name)
    assert broken.died
    sluice.purging.purge(as_of, collection=name)
    assert sluice.ledger.collections.counts(generation(sluice, name)).documents == 8
    assert sluice.reconciliation.reconcile(collection=name).ok
    assert sluice.ingestion.ingest(IngestRequest(spec)).documents.unchanged == 10


def test_bytes_in_quarantine_go_too(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.md").write_text("# Harbour\n\nThe ferry leaves at nine.\n")
    sluice, spec = make_sluice([tmp_path], graph="off"), SourceSpec(folder.as_uri(), name, tenant=name)
    sluice.ingestion.ingest(IngestRequest(spec))
    (document_id,) = documents(sluice, name).values()
    (folder / "a.md").write_bytes(b"\0\1\2" * 500)
    assert sluice.ingestion.ingest(IngestRequest(spec)).documents.quarantined == 1
    stored = f"quarantine/{document_id}.sealed"
    assert sluice.blobs.read(stored)
    expire(sluice, [document_id])
    sluice.purging.purge(sluice.ledger.retention.clock(), collection=name)
    with pytest.raises(NotFound):
        sluice.blobs.read(stored)


def test_beside_an_ingest_of_the_same_source(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    sluice, spec = loaded(make_sluice, tmp_path, name, 120)
    ids = documents(sluice, name)
    expire(sluice, [ids[f"d{number:05}"] for number in range(0, 120, 3)])
    corpus(tmp_path / "notes.jsonl", 120, edited=60)
    outcome: list[Any] = []

    def ingest() -> None:
        outcome.append(swapped(sluice, batch_size=10).ingestion.ingest(IngestRequest(spec)).to_json())

    beside = Thread(target=ingest)
    beside.start()
    while beside.is_alive():
        sluice.purging.purge(sluice.ledger.retention.clock(), collection=name)
        beside.join(0.01)
    beside.join(60)
    if not outcome:  # it met a purge at its beginning and was told so
        ingest()
    sluice.purging.purge(sluice.ledger.retention.clock(), collection=name)
    assert sluice.ingestion.ingest(IngestRequest(spec)).documents.unchanged == 120
    assert sluice.reconciliation.reconcile(collection=name).ok
    readable = {f"d{number:05}" for number in range(120) if number % 3}
    assert set(documents(sluice, name)) == readable
    assert sluice.ledger.collections.counts(generation(sluice, name)).documents == len(readable)


def test_no_more_goes_than_was_listed(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    sluice, spec = loaded(make_sluice, tmp_path, name, 5)
    ids = list(documents(sluice, name).values())
    expire(sluice, ids[:1])
    as_of = sluice.ledger.retention.clock()
    listed = {each.document_id for each in sluice.purging.expired(as_of, name)}
    sluice.ledger.retention.assign(RetentionScope(document_id=ids[0]), None)
    sluice.ledger.retention.assign(RetentionScope(name, name, spec.uri), Retention(until=as_of))
    assert listed == {ids[0]} and len(list(sluice.purging.expired(as_of, name))) == 5
    sluice.ledger.retention.assign(RetentionScope(document_id=ids[1]), Retention(days=0))
    assert sluice.purging.purge(as_of, collection=name, only=listed).documents == 1
    assert [each.document_id for each in sluice.purging.expired(as_of, name)] == sorted(ids[2:])
    with pytest.raises(NotFound):
        sluice.purging.purge(as_of, collection="nowhere")


def test_the_command_line(
    make_sluice: MakeTools, stack: EngineStack, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sluice, spec = loaded(make_sluice, tmp_path, name, 4)
    for variable, value in stack.environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("SLUICE_GRAPH", "off")
    runner = CliRunner()

    def command(*arguments: str) -> Any:
        done = runner.invoke(app, [*arguments], catch_exceptions=True)
        return done

    at = ("--collection", name)
    assert command("retention", "set", *at).exit_code != 0
    assert "30 days" in command("retention", "set", *at, "--days", "30").output
    message = command("retention", "set", *at, "--source", spec.uri, "--tenant", name, "--until", "2027-01-31").output
    assert "unreadable from 2027-02-01T00:00:00Z on. The expiry of 4 documents changed." in message
    some = next(iter(documents(sluice, name).values()))
    assert "changed" in command("retention", "set", "--document", str(some), "--until", "2020-01-01", "--yes").output
    shown = json.loads(command("retention", "show", *at, "--json").output)["retention"]
    assert [(each["days"], bool(each["until"]), bool(each["document_id"])) for each in shown] == [
        (30, False, False),
        (None, True, False),
        (None, True, True),
    ]
    dry = json.loads(command("purge", *at, "--json").output)
    assert (dry["apply"], dry["documents"], [each["document_id"] for each in dry["expired"]]) == (False, 1, [str(some)])
    assert "Nothing was deleted" in command("purge", *at).output
    done = json.loads(command("purge", *at, "--apply", "--as-of", dry["as_of"], "--json").output)
    assert (done["apply"], done["documents"], done["left"]) == (True, 1, 0)
    assert command("purge", *at, "--apply").output.startswith("0 documents")
    message = command("retention", "unset", *at, "--source", spec.uri, "--tenant", name).output
    assert "no retention of its own. The expiry of 3 documents changed." in message
