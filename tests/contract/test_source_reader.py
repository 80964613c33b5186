"""Any SourceReader: complete and stable scans, fingerprints that follow the content, refusals with a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote
from uuid import uuid4

import pytest

from contract.source_servers import Page, S3Server, WebServer
from sluice.errors import ExtractionError, SluiceError, Terminal
from sluice.model.records import parse_record
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import SourceSpec
from sluice.ports.readers import SourceReader
from sluice.sources.schemes import reader_for


class Place(Protocol):
    """Where documents of one kind of source are put."""

    def put(self, name: str, text: str) -> None: ...

    def remove(self, name: str) -> None: ...

    def break_listing(self) -> None: ...

    def reader(self, *, max_bytes: int = ..., **globs: Any) -> SourceReader: ...

    def external_id(self, name: str) -> str: ...

    def text(self, content: bytes) -> str: ...


class Plain:
    """A document's name is its id, its bytes are its text."""

    def external_id(self, name: str) -> str:
        return name

    def text(self, content: bytes) -> str:
        return content.decode()


class Folder(Plain):
    def __init__(self, folder: Path) -> None:
        self._folder = folder / "root"
        self._folder.mkdir()

    def put(self, name: str, text: str) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def remove(self, name: str) -> None:
        (self._folder / name).unlink()

    def break_listing(self) -> None:
        self._folder.rename(self._folder.parent / "elsewhere")

    def reader(self, *, max_bytes: int = 10_000, **globs: Any) -> SourceReader:
        roots = (self._folder.parent,)
        return reader_for(SourceSpec(self._folder.as_uri(), "c", **globs), roots=roots, max_bytes=max_bytes)


class Lines(Plain):
    def __init__(self, folder: Path) -> None:
        self._file = folder / "lines.jsonl"
        self._lines: dict[str, str] = {}
        self._file.touch()

    def put(self, name: str, text: str) -> None:
        self._lines[name] = json.dumps({"_id": name, "text": text})
        self._write()

    def remove(self, name: str) -> None:
        del self._lines[name]
        self._write()

    def break_listing(self) -> None:
        self._file.unlink()

    def reader(self, *, max_bytes: int = 10_000, **globs: Any) -> SourceReader:
        uri = self._file.as_uri().replace("file:", "jsonl:")
        return reader_for(SourceSpec(uri, "c", **globs), roots=(self._file.parent,), max_bytes=max_bytes)

    def text(self, content: bytes) -> str:
        return parse_record(content).text

    def _write(self) -> None:
        self._file.write_text("".join(line + "\n" for line in self._lines.values()))


class Bucket(Plain):
    def __init__(self, server: S3Server) -> None:
        self._server = server
        self._name = server.new_bucket()

    def put(self, name: str, text: str) -> None:
        self._server.client.put_object(Bucket=self._name, Key=f"in/{name}", Body=text.encode())

    def remove(self, name: str) -> None:
        self._server.client.delete_object(Bucket=self._name, Key=f"in/{name}")

    def break_listing(self) -> None:
        for result in self._server.client.list_objects_v2(Bucket=self._name).get("Contents", ()):
            self._server.client.delete_object(Bucket=self._name, Key=result["Key"])
        self._server.client.delete_bucket(Bucket=self._name)

    def reader(self, *, max_bytes: int = 10_000, **globs: Any) -> SourceReader:
        spec = SourceSpec(f"s3://{self._name}/in?connection=local", "c", **globs)
        return reader_for(spec, self._server.reach(max_bytes))


class Site(Plain):
    """Pages with an ETag, and a sitemap without dates."""

    def __init__(self, server: WebServer) -> None:
        self._server = server
        self._folder = f"/{uuid4().hex}"
        self._names: list[str] = []
        self._list()

    def put(self, name: str, text: str) -> None:
        etag = {"ETag": f'"{hash(text)}"'}
        self._server.pages[self._path(name)] = Page(text.encode(), headers=etag)
        self._names = [*(each for each in self._names if each != name), name]
        self._list()

    def remove(self, name: str) -> None:
        del self._server.pages[self._path(name)]
        self._names.remove(name)
        self._list()

    def break_listing(self) -> None:
        self._server.pages[f"{self._folder}/sitemap.xml"] = Page(status=500)

    def reader(self, *, max_bytes: int = 10_000, **globs: Any) -> SourceReader:
        spec = SourceSpec(self._server.url(f"{self._folder}/sitemap.xml"), "c", **globs)
        return reader_for(spec, self._server.reach(max_bytes))

    def external_id(self, name: str) -> str:
        return self._server.url(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._folder}/{quote(name)}"

    def _list(self) -> None:
        urls = "".join(f"<url><loc>{self.external_id(name)}</loc></url>" for name in self._names)
        xml = f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>'
        self._server.pages[f"{self._folder}/sitemap.xml"] = Page(xml.encode())


@pytest.fixture(scope="module")
def s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(scope="module")
def web_server() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.fixture(params=["file", "jsonl", "s3", "https"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    match request.param:
        case "file":
            return Folder(tmp_path)
        case "jsonl":
            return Lines(tmp_path)
        case "s3":
            return Bucket(request.getfixturevalue("s3_server"))
        case _:
            return Site(request.getfixturevalue("web_server"))


def item(entry: ListingEntry) -> WorkItem:
    return WorkItem(uuid4(), entry, new=True)


def entries(reader: SourceReader) -> dict[str, ListingEntry]:
    result = list(reader.scan())
    assert len({entry.external_id for entry in result}) == len(result)
    return {entry.external_id: entry for entry in result}


def ids(place: Place, *names: str) -> set[str]:
    return {place.external_id(name) for name in names}


def test_a_scan_is_complete_and_stable_and_reads_give_the_bytes(place: Place) -> None:
    texts = {"a.md": "alpha", "b/c.md": "gamma", "b/d e.md": "delta", "ünï.md": "Grüße", "b#1 %41?.md": "odd"}
    for name, text in texts.items():
        place.put(name, text)
    reader = place.reader()
    result = entries(reader)
    assert entries(place.reader()) == entries(reader) == result
    assert len({entry.uri for entry in result.values()}) == len(texts)
    read = {external_id: place.text(reader.read(item(entry)).content) for external_id, entry in result.items()}
    assert read == {_printed(place, name): text for name, text in texts.items()}
    raws: list[Any] = [reader.read(item(entry)) for entry in result.values()]
    assert all(raw.item.entry is entry for raw, entry in zip(raws, result.values(), strict=True))


def _printed(place: Place, name: str) -> str:
    """A percent sign that two hex digits follow is escaped in names of files, and only there."""
    external_id = place.external_id(name)
    return external_id if isinstance(place, Lines | Site) else external_id.replace("%41", "%2541")


def test_fingerprints_follow_the_content(place: Place) -> None:
    for name in ("a.md", "b.md", "c.md"):
        place.put(name, "one")
    before = entries(place.reader())
    place.put("b.md", "two")
    place.remove("c.md")
    place.put("d.md", "new")
    after = entries(place.reader())
    a, b = place.external_id("a.md"), place.external_id("b.md")
    assert set(after) == ids(place, "a.md", "b.md", "d.md")
    assert after[a].fingerprint == before[a].fingerprint
    assert after[b].fingerprint != before[b].fingerprint
    assert place.text(place.reader().read(item(after[b])).content) == "two"


def test_what_vanished_since_the_scan_is_refused(place: Place) -> None:
    place.put("a.md", "alpha")
    place.put("b.md", "beta")
    reader = place.reader()
    gone = entries(reader)[place.external_id("a.md")]
    place.remove("a.md")
    with pytest.raises(ExtractionError if not isinstance(place, Lines) else Terminal) as caught:
        reader.read(item(gone))
    if not isinstance(place, Lines):
        assert isinstance(caught.value, ExtractionError) and caught.value.code == "vanished"


def test_what_is_too_large_is_listed_and_refused(place: Place) -> None:
    place.put("big.md", "x" * 2000)
    place.put("small.md", "x" * 500)
    reader = place.reader(max_bytes=1000)
    result = entries(reader)
    big = next(entry for name, entry in result.items() if name != place.external_id("small.md"))
    with pytest.raises(ExtractionError) as caught:
        reader.read(item(big))
    assert caught.value.code == "too_large"
    assert place.text(reader.read(item(result[place.external_id("small.md")])).content) == "x" * 500


def test_globs_choose(place: Place) -> None:
    for name in ("a.md", "a.txt", "drafts/b.md", "x/drafts/c.md", "x/d.md"):
        place.put(name, name)
    assert set(entries(place.reader(include=("*.md",), exclude=("drafts/",)))) == ids(place, "a.md", "x/d.md")


def test_a_listing_that_breaks_is_not_an_empty_one(place: Place) -> None:
    place.put("a.md", "alpha")
    reader = place.reader()
    assert entries(reader)
    place.break_listing()
    with pytest.raises(SluiceError) as caught:
        entries(reader)
    assert not isinstance(caught.value, ExtractionError)


def test_an_empty_source_is_empty(place: Place) -> None:
    assert entries(place.reader()) == {}
