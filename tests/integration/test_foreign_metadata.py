"""Metadata, words and numbers that others wrote, from a source to an answer: none of it breaks a run or a search."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from sluice.encryption import keyed_hash
from sluice.errors import NotFound, Terminal
from sluice.model.document import Document, FetchedDocument
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.passage import Passage
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.quality.document_features import features
from sluice.sources import uploads
from sluice.wiring.application import Sluice
from support.ledger_rows import db_of
from support.old_cipher import OldCipher
from support.swapping import port_of, swapped

MakeTools = Callable[..., Sluice]
BIG = 9_007_199_254_740_993  # 2^53 + 1


def nested(depth: int) -> Any:
    value: Any = "innermost"
    for _ in range(depth):
        value = {"a": value}
    return value


def result(sluice: Sluice, collection: str, query: str, tenant: str, **changes: Any) -> list[Passage]:
    request = replace(SearchRequest(query, collection, 20), **changes)
    return list(sluice.search(request, Principal("t", tenant, frozenset({ALL_GROUPS}))).passages)


def uploaded_by_0_2_0(sluice: Sluice, name: str, file: str, content: bytes, **described: Any) -> None:
    """An upload whose metadata nobody has limited."""
    folder, upload = f"uploads/{name}/{name}", uploads.upload_id(name, name, file)
    key = sluice.keyring.create([upload])[upload]
    head = {"name": file, "title": None, "metadata": {}, **described}
    output = json.dumps({each: head[each] for each in ("name", "title", "metadata")}, sort_keys=True).encode()
    head |= {"fingerprint": keyed_hash(key, "upload", output).hex(), "size_bytes": len(content)}
    head["content"] = f"{folder}/{upload}/content"
    cipher = OldCipher(key, name, upload)
    sluice.blobs.write(head["content"], cipher.encrypt("upload", content))
    sluice.blobs.write(f"{folder}/begun", b"")
    sluice.blobs.write(f"{folder}/{upload}/head", cipher.encrypt_json("upload head", head))


def test_uploads_that_were_never_limited_run_and_are_found(make_sluice: MakeTools, name: str) -> None:
    sluice = make_sluice([], graph="off")
    uploaded_by_0_2_0(sluice, name, "deep.md", b"# Deep\n\nThe heron waits.", metadata={"year": 7, "x": nested(260)})
    uploaded_by_0_2_0(
        sluice, name, "half.md", b"# Half\n\nThe heron stands.", metadata={"language": "\ud800", "n\0": 1}
    )
    uploaded_by_0_2_0(sluice, name, "title.md", b"# Title\n\nThe heron flies.", title="\ud800" + "x" * 2000)
    uploaded_by_0_2_0(sluice, name, "plain.md", b"# Plain\n\nThe heron sleeps.", metadata={"year": 8})
    spec = SourceSpec(f"uploads://{name}/{name}", name, tenant=name)
    summary = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert (summary["documents"]["new"], summary["documents"]["quarantined"]) == (4, 0)
    by_name = {each.external_id: each.metadata for each in result(sluice, name, "heron", name)}
    assert by_name["deep.md"]["metadata_cut"] == ["x" + ".a" * 31] and by_name["deep.md"]["year"] == 7
    assert by_name["half.md"]["language"] == "\ufffd" and by_name["half.md"]["metadata_cut"] == ["language", "n"]
    assert by_name["title.md"]["metadata_cut"] == ["title"]
    assert "metadata_cut" not in by_name["plain.md"]
    rows = db_of(sluice).gate_rows(sluice.ledger.runs.get(UUID(summary["run_id"])), 0)
    assert sorted(row.observed for row in rows if row.code == "metadata_cut") == [1.0, 1.0, 2.0]
    again = sluice.ingestion.ingest(IngestRequest(spec)).to_json()
    assert again["documents"]["unchanged"] == 4


@pytest.fixture
def herons(tmp_path: Path, name: str) -> SourceSpec:
    for number in range(6):
        (tmp_path / f"{number}.md").write_text(f"# Heron {number}\n\nThe heron numbered {number} waits at the weir.\n")
    return SourceSpec(tmp_path.as_uri(), name, tenant=name)


def kept_out(sluice: Sluice, name: str) -> dict[str, str]:
    who = Principal("t", name, frozenset({ALL_GROUPS}))
    return {each.external_id: each.code for each in sluice.catalog.quarantine_records(who, name, limit=50)}


class Refusing:
    """A store that refuses what comes with one document."""

    def __init__(self, store: Any, method: str, refuses: Callable[..., bool]) -> None:
        self._store, self._method, self._refuses = store, method, refuses

    def __getattr__(self, attribute: str) -> Any:
        real = getattr(self._store, attribute)
        if attribute != self._method:
            return real

        def call(*args: Any, **options: Any) -> Any:
            if self._refuses(*args):
                raise Terminal("The store refused what was asked. Nothing was written.")
            return real(*args, **options)

        return call


@pytest.mark.parametrize("store", ["vectors", "versions"])
def test_a_document_that_a_store_refuses_costs_itself_only(
    make_sluice: MakeTools, tmp_path: Path, name: str, herons: SourceSpec, store: str
) -> None:
    sluice = make_sluice([tmp_path], graph="off")
    refused: set[Any] = set()

    def refuses(_: Any, rows: Any) -> bool:
        ids = {getattr(row, "document_id", None) or row.payload["document_id"] for row in rows}
        refused.add(sorted(map(str, ids))[0]) if not refused else None
        return bool({str(each) for each in ids} & refused)

    method = {"vectors": "upsert", "versions": "stage"}[store]
    broken = swapped(sluice, **{store: Refusing(port_of(sluice, store), method, refuses)})
    summary = broken.ingestion.ingest(IngestRequest(herons)).to_json()
    assert (summary["documents"]["new"], summary["documents"]["quarantined"]) == (5, 1)
    assert list(kept_out(sluice, name).values()) == ["load_failed"]
    assert len(result(sluice, name, "heron", name)) == 5
    mended = sluice.ingestion.ingest(IngestRequest(herons)).to_json()
    assert (mended["documents"]["new"], mended["documents"]["quarantined"]) == (1, 0)
    assert len(result(sluice, name, "heron", name)) == 6


def test_what_every_document_breaks_on_is_raised(make_sluice: MakeTools, tmp_path: Path, herons: SourceSpec) -> None:
    sluice = make_sluice([tmp_path], graph="off")
    broken = swapped(sluice, vectors=Refusing(sluice.vectors, "upsert", lambda *_: True))
    with pytest.raises(Terminal, match="refused what was asked"):
        broken.ingestion.ingest(IngestRequest(herons))
    assert sluice.ingestion.ingest(IngestRequest(herons)).documents.new == 6


def test_a_reader_or_a_gate_that_breaks_on_one_document_spares_the_others(
    make_sluice: MakeTools, tmp_path: Path, name: str, herons: SourceSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice.quality import gates

    sluice = make_sluice([tmp_path], graph="off")

    def breaking(documents: list[Document]) -> Any:
        if any(each.title == "Heron 2" for each in documents):
            raise RecursionError("deep")
        return features(documents)

    class Reader:
        def __init__(self, reader: Any) -> None:
            self.scan, self._read = reader.scan, reader.read

        def read(self, item: Any) -> FetchedDocument:
            if item.entry.external_id == "4.md":
                raise KeyError("a header")
            raw: FetchedDocument = self._read(item)
            return raw

    monkeypatch.setattr(gates, "features", breaking)
    summary = (
        swapped(sluice, reader=lambda *args, **how: Reader(sluice.reader(*args, **how)))
        .ingestion.ingest(IngestRequest(herons))
        .to_json()
    )
    assert (summary["documents"]["new"], summary["documents"]["quarantined"]) == (4, 2)
    assert kept_out(sluice, name) == {"2.md": "validate_failed", "4.md": "unforeseen"}
    monkeypatch.undo()
    assert sluice.ingestion.ingest(IngestRequest(herons)).documents.new == 2


def test_filters_compare_big_integers_exactly_and_keep_types(make_sluice: MakeTools, tmp_path: Path, name: str) -> None:
    values: list[Any] = [BIG - 1, BIG, BIG + 1, -BIG, 2**63 - 1, 7, "7", True, 1, "2026-01-31", float(2**60)]
    lines = [{"_id": f"n{n}", "text": f"The heron numbered {n}.", "year": value} for n, value in enumerate(values)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    sluice = make_sluice([tmp_path], graph="off", filter_fields="year")
    sluice.ingestion.ingest(IngestRequest(SourceSpec(f"jsonl://{tmp_path}/rows.jsonl", name, tenant=name)))

    def numbers(wanted: Any) -> list[int]:
        passages = result(sluice, name, "heron numbered", name, filters={"year": wanted})
        return sorted(int(each.external_id[1:]) for each in passages)

    assert [numbers(value) for value in values] == [[n] for n in range(len(values))]
    assert numbers([BIG, BIG + 1, 7]) == [1, 2, 5]
    assert numbers(2**60) == [10], "numbers compare by value"
    assert numbers({"gt": BIG}) == [2, 4, 10]
    assert numbers({"gte": BIG, "lt": BIG + 1}) == [1]
    assert numbers({"lt": -BIG + 1}) == [3]
    assert numbers({"gt": 2**63 - 2}) == [4]
    assert numbers({"gte": "2026-01-01"}) == [9]


def test_words_are_found_however_they_are_spelled_and_places_stay_exact(
    make_sluice: MakeTools, tmp_path: Path, name: str
) -> None:
    texts = {
        "ship": "# Ship\n\nDas Donau\u00addampf\u00adschiff legt ab.\n",
        "city": "# City\n\nİzmir\u200be giden yol.\n",
        "cv": "# One\n\nSend your résumé today.\n",
        "plain": "# Two\n\nSend your resume today.\n",
    }
    for file, text in texts.items():
        (tmp_path / f"{file}.md").write_text(text)
    sluice = make_sluice([tmp_path], graph="off")
    sluice.ingestion.ingest(IngestRequest(SourceSpec(tmp_path.as_uri(), name, tenant=name)))

    def names(query: str) -> list[str]:
        return [each.external_id[:-3] for each in result(sluice, name, query, name, retrievers=("sparse",))]

    assert names("Donaudampfschiff") == ["ship"]
    assert names("izmire") == ["city"]
    assert names("resume") == ["plain", "cv"]
    assert names("résumé") == ["cv", "plain"]
    for passage in result(sluice, name, "Donaudampfschiff izmire", name, retrievers=("sparse",)):
        text = texts[passage.external_id[:-3]]
        assert text[passage.start : passage.end] == passage.text


def test_a_collection_of_other_groups_is_as_if_it_were_not_there(
    make_sluice: MakeTools, tmp_path: Path, name: str, herons: SourceSpec
) -> None:
    sluice = make_sluice([tmp_path], graph="off")
    sluice.ingestion.ingest(IngestRequest(replace(herons, access_groups=("board",))))
    stranger, said = Principal("t", name, frozenset({"staff"})), []
    for collection in (name, f"{name}-none"):
        with pytest.raises(NotFound) as refused:
            sluice.search(SearchRequest("heron", collection, 5), stranger)
        said.append(str(refused.value).replace(f"collection {collection!r}", "<name>"))
    assert said[0] == said[1]
