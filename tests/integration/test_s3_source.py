"""s3:// beyond what every source has in common: long listings, odd keys, archives, logins, servers that break."""

from __future__ import annotations

import gzip
import itertools
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from contract.source_servers import Page, S3Server, WebServer
from sluice.errors import BadRequest, ExtractionError, Transient
from sluice.model.records import RECORD_MIME
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import SourceSpec
from sluice.ports.readers import Connection, SourceReader
from sluice.sources.context import SourceContext
from sluice.sources.s3 import S3Reader
from sluice.sources.schemes import reader_for
from unit.test_parsing_documents import zipped


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as running:
        yield running


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    with WebServer() as running:
        yield running


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 gives up at once: what it does before that is its own matter."""
    monkeypatch.setattr("sluice.sources.s3._ATTEMPTS", 1)


@pytest.fixture
def bucket(server: S3Server) -> str:
    return server.new_bucket()


def reader(server: S3Server, bucket: str, folder: str = "", **globs: Any) -> SourceReader:
    return reader_for(SourceSpec(f"s3://{bucket}/{folder}?connection=local", "c", **globs), server.reach())


def item(entry: ListingEntry) -> WorkItem:
    return WorkItem(uuid4(), entry, new=True)


def test_more_than_one_page_is_listed(server: S3Server, bucket: str) -> None:
    keys = [f"n/{number:04d}.md" for number in range(1050)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: server.client.put_object(Bucket=bucket, Key=key, Body=b"x"), keys))
    assert [f"n/{entry.external_id}" for entry in reader(server, bucket, "n").scan()] == keys


def test_odd_keys_are_listed_and_read(server: S3Server, bucket: str) -> None:
    keys = ["a b.md", "ünï/ä.md", "x//y.md", "/lead.md", "%41.md", "a+b&c=d.md", "q?#.md", "a/../b", "./x", "'\"<>.md"]
    for key in (*keys, "folder/", "ab"):
        server.client.put_object(Bucket=bucket, Key=f"in/{key}", Body=b"" if key == "folder/" else key.encode())
    server.client.put_object(Bucket=bucket, Key="in", Body=b"beside the folder")
    server.client.put_object(Bucket=bucket, Key="inside.md", Body=b"beside the folder")
    server.client.put_object(Bucket=bucket, Key="in/kept/", Body=b"a document with a slash")
    source = reader(server, bucket, "in")
    entries = list(source.scan())
    read = {source.read(item(entry)).content.decode() for entry in entries}
    assert read == {*keys, "ab", "a document with a slash"}
    assert all(entry.external_id.isprintable() for entry in entries)
    assert len({entry.uri for entry in entries}) == len(entries)


def test_hidden_objects_are_left_out_unless_named(server: S3Server, bucket: str) -> None:
    for key in (".git/config", "a/.hidden.md", "a/seen.md"):
        server.client.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert [entry.external_id for entry in reader(server, bucket).scan()] == ["a/seen.md"]
    assert [entry.external_id for entry in reader(server, bucket, include=(".git/*",)).scan()] == [".git/config"]


def test_what_an_object_says_of_itself(server: S3Server, bucket: str) -> None:
    text = "x" * 9000
    server.client.put_object(Bucket=bucket, Key="a", Body=b"{}", ContentType=RECORD_MIME)
    server.client.put_object(Bucket=bucket, Key="b", Body=gzip.compress(text.encode()), ContentEncoding="gzip")
    server.client.put_object(Bucket=bucket, Key="c", Body=gzip.compress(b"0" * 1_000_000), ContentEncoding="gzip")
    source = reader(server, bucket)
    record, packed, bomb = source.scan()
    assert source.read(item(record)).mime is None
    raw = source.read(item(packed))
    assert raw.content.decode() == text and "last_modified" in raw.metadata
    with pytest.raises(ExtractionError, match="too_large"):
        source.read(item(bomb))


ZIPS = ("**", "*.zip!/")


def test_members_of_a_zip_are_documents(server: S3Server, bucket: str) -> None:
    """Only the parts of a zip that are needed are fetched, all of one state of the object."""
    noise = random.Random(1).randbytes(2 << 20)
    content = zipped({"big.bin": noise, "a.md": b"alpha", "d/b.md": b"beta"})
    for key, body in (("x.zip", content), ("x.zip!/a.md", b"an object"), ("text.zip", b"a text"), ("y.md", b"y")):
        server.client.put_object(Bucket=bucket, Key=key, Body=body)
    source = reader(server, bucket, include=ZIPS)
    result = {entry.external_id: entry for entry in source.scan()}
    assert list(result) == ["text.zip", "x.zip!/big.bin", "x.zip!/a.md", "x.zip!/d/b.md", "x.zip%21/a.md", "y.md"]
    assert result["x.zip!/d/b.md"].uri == f"s3://{bucket}/x.zip#d/b.md"
    assert {entry.external_id: entry for entry in reader(server, bucket, include=ZIPS).scan()} == result
    read = {name: source.read(item(entry)).content for name, entry in result.items() if name != "x.zip!/big.bin"}
    assert list(read.values()) == [b"a text", b"alpha", b"beta", b"an object", b"y"]
    with pytest.raises(ExtractionError, match="too_large"):
        source.read(item(result["x.zip!/big.bin"]))
    assert [entry.external_id for entry in reader(server, bucket).scan() if "zip" in entry.external_id] == [
        "text.zip", "x.zip", "x.zip!/a.md",
    ]  # fmt: skip


def test_a_zip_that_changes_or_is_damaged(server: S3Server, bucket: str) -> None:
    server.client.put_object(Bucket=bucket, Key="x.zip", Body=zipped({"a.md": b"alpha", "n": b"x" * 5000}))
    source = reader(server, bucket, include=ZIPS)
    entry = next(source.scan())
    source.read(item(entry))
    server.client.put_object(Bucket=bucket, Key="x.zip", Body=zipped({"b.md": b"beta"}))
    with pytest.raises(ExtractionError, match="vanished"):
        reader(server, bucket, include=ZIPS).read(item(entry))
    (after,) = reader(server, bucket, include=ZIPS).scan()
    assert (after.external_id, after.fingerprint.split("-")[0] == entry.fingerprint.split("-")[0]) == (
        "x.zip!/b.md",
        False,
    )
    server.client.put_object(Bucket=bucket, Key="x.zip", Body=zipped({"b.md": b"beta"})[:-30])
    source = reader(server, bucket, include=ZIPS)
    (broken,) = source.scan()
    assert broken.external_id == "x.zip" and broken.holds is not None and broken.holds("x.zip!/b.md")
    with pytest.raises(ExtractionError, match="corrupt"):
        source.read(item(broken))


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read of some kilobytes takes several requests."""
    monkeypatch.setattr("sluice.sources.ranges._PART_BYTES", 256)


@pytest.mark.usefixtures("small_parts")
def test_a_zip_that_is_replaced_while_it_is_read_is_opened_anew(server: S3Server, bucket: str) -> None:
    """What is read is of one state of the object, and only what is gone is refused."""
    before, after = (random.Random(seed).randbytes(3000) for seed in (1, 2))
    content = zipped({"a.md": b"alpha" * 100, "b.bin": before, "c.md": b"gamma" * 100, "d.md": b"delta" * 100})
    server.client.put_object(Bucket=bucket, Key="x.zip", Body=content)
    source = reader(server, bucket, include=ZIPS)
    a, b, c, d = source.scan()
    assert source.read(item(a)).content == b"alpha" * 100
    server.client.put_object(Bucket=bucket, Key="x.zip", Body=zipped({"d.md": b"new" * 100, "b.bin": after}))
    assert source.read(item(b)).content == after
    assert source.read(item(d)).content == b"new" * 100
    with pytest.raises(ExtractionError, match="vanished"):
        source.read(item(c))


@pytest.mark.usefixtures("small_parts")
def test_a_zip_that_is_always_another_one_is_changing(
    server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = zipped({"a.bin": random.Random(1).randbytes(3000)})
    server.client.put_object(Bucket=bucket, Key="x.zip", Body=content)
    source = reader(server, bucket, include=ZIPS)
    (entry,) = source.scan()
    fetch = S3Reader._get

    def fetch_and_replace(self: S3Reader, *args: Any, **part: Any) -> Any:
        fetched = fetch(self, *args, **part)
        server.client.put_object(Bucket=bucket, Key="x.zip", Body=content + uuid4().bytes)
        return fetched

    monkeypatch.setattr(S3Reader, "_get", fetch_and_replace)
    with pytest.raises(ExtractionError, match="changing"):
        source.read(item(entry))
    monkeypatch.undo()
    assert len(source.read(item(entry)).content) == 3000


@pytest.mark.usefixtures("small_parts")
def test_all_parts_of_a_zip_share_one_time_limit(
    server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second passes at each look at the clock; each part alone would be quick enough."""
    noise = {f"{number}.bin": random.Random(number).randbytes(9000) for number in range(2)}
    many = {f"{number:0200}.md": b"" for number in range(200)}
    for key, members in (("in/large.zip", noise), ("many/x.zip", many)):
        server.client.put_object(Bucket=bucket, Key=key, Body=zipped(members))
    source = reader(server, bucket, "in", include=ZIPS)
    entries = list(source.scan())
    clock = itertools.count()
    monkeypatch.setattr(
        "sluice.sources.s3.time", SimpleNamespace(monotonic=lambda: float(next(clock)), sleep=lambda pause_s: None)
    )
    monkeypatch.setattr(source, "_context", replace(server.reach(), fetch_timeout_s=4.0))
    with pytest.raises(ExtractionError, match="slow"):
        source.read(item(entries[0]))
    monkeypatch.setattr(source, "_context", replace(server.reach(), fetch_timeout_s=1000.0))
    assert [len(source.read(item(entry)).content) for entry in entries] == [9000, 9000]
    listing = reader(server, bucket, "many", include=ZIPS)
    monkeypatch.setattr(listing, "_context", replace(server.reach(), fetch_timeout_s=3.0))
    (entry,) = listing.scan()
    assert entry.external_id == "x.zip" and entry.holds is not None


def test_an_archived_object_is_refused_until_it_is_restored(server: S3Server, bucket: str) -> None:
    server.client.put_object(Bucket=bucket, Key="old.md", Body=b"x", StorageClass="GLACIER")
    source = reader(server, bucket)
    (entry,) = source.scan()
    with pytest.raises(ExtractionError, match="archived"):
        source.read(item(entry))


def test_a_bucket_that_is_not_there(server: S3Server) -> None:
    with pytest.raises(BadRequest, match="There is no bucket"):
        list(reader(server, "nowhere-at-all").scan())


@pytest.mark.parametrize("uri", ["s3://", "s3://bucket/a?region=x", "s3://bucket/a#b", "s3:///a"])
def test_other_spellings_are_refused(server: S3Server, uri: str) -> None:
    with pytest.raises(BadRequest, match="s3://bucket/folder/"):
        reader_for(SourceSpec(uri, "c"), server.reach())


# --- servers that break, by answers of our own -----------------------------------------------------------------


def broken(web: WebServer, first: Page, second: Page | None = None) -> SourceReader:
    """A bucket whose listing, or first and second page of it, is answered like this."""
    name = f"b{uuid4().hex}"
    base = f"/{name}?list-type=2&prefix=&encoding-type=url"
    web.pages[base] = first
    if second:
        web.pages[f"/{name}?list-type=2&prefix=&continuation-token=t1&encoding-type=url"] = second
    connection = Connection(login="k", password="s", extra={"endpoint_url": web.url("")})
    reach = SourceContext(
        max_bytes=1000, connections={"local": connection}.__getitem__, connect_timeout_s=1, call_timeout_s=1
    )
    return reader_for(SourceSpec(f"s3://{name}/?connection=local", "c"), reach)


def listing(*keys: str, more: str = "", name: str = "ListBucketResult") -> Page:
    objects = "".join(
        f'<Contents><Key>{key}</Key><LastModified>2024-01-01T00:00:00Z</LastModified><ETag>"e"</ETag>'
        f"<Size>1</Size></Contents>"
        for key in keys
    )
    return Page(f"<{name}>{more}{objects}</{name}>".encode(), headers={"Content-Type": "application/xml"})


def error(status: int, code: str) -> Page:
    return Page(f"<Error><Code>{code}</Code></Error>".encode(), status)


CUT = "<IsTruncated>true</IsTruncated>"
NEXT = f"{CUT}<NextContinuationToken>t1</NextContinuationToken>"


@pytest.mark.parametrize(
    ("first", "second", "wrong"),
    [
        (listing("a", more=CUT), None, Transient),  # more, and not where
        (listing("a", more=NEXT), listing("b", more=NEXT), Transient),  # in a circle
        (listing("a", more=NEXT), error(503, "SlowDown"), Transient),
        (listing("a", more=NEXT), error(500, "InternalError"), Transient),
        (listing("a", more=NEXT), Page(b"<ListBucketResult><Contents><Ke"), Transient),
        (listing("a", more=NEXT), Page(b"<ListBucketResult>", length=999), Transient),
        (error(403, "AccessDenied"), None, BadRequest),
        (error(403, "InvalidAccessKeyId"), None, BadRequest),
        (error(404, "NoSuchBucket"), None, BadRequest),
    ],
)
@pytest.mark.usefixtures("hurried")
def test_a_listing_that_breaks_is_never_a_shorter_one(
    web: WebServer, first: Page, second: Page | None, wrong: type[Exception]
) -> None:
    seen: list[ListingEntry] = []
    with pytest.raises(wrong) as caught:
        seen.extend(broken(web, first, second).scan())
    assert "deleted" in str(caught.value) or "changed" in str(caught.value)
    assert len(seen) < 3


def test_a_listing_in_two_pages_is_one(web: WebServer) -> None:
    """The control of the test above: such pages are understood where they do not break."""
    result = broken(web, listing("a", more=NEXT), listing("b")).scan()
    assert [entry.external_id for entry in result] == ["a", "b"]


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (error(403, "AccessDenied"), "permission"),
        (error(404, "NoSuchKey"), "vanished"),
        (error(403, "InvalidObjectState"), "archived"),
        (Page(b"x" * 2000), "too_large"),
        (error(403, "ExpiredToken"), BadRequest),
        (error(404, "NoSuchBucket"), Transient),
        (error(503, "SlowDown"), Transient),
        (Page(b"half", length=40), Transient),
    ],
)
@pytest.mark.usefixtures("hurried")
def test_an_object_that_is_not_handed_over(web: WebServer, answer: Page, wrong: str | type[Exception]) -> None:
    source = broken(web, listing("a"))
    (entry,) = source.scan()
    web.pages[f"/{entry.uri.removeprefix('s3://')}"] = answer
    with pytest.raises(ExtractionError if isinstance(wrong, str) else wrong) as caught:
        source.read(item(entry))
    if isinstance(caught.value, ExtractionError):
        assert caught.value.code == wrong


@pytest.mark.usefixtures("hurried")
def test_no_server_and_no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    reach = SourceContext(
        max_bytes=1, connections=lambda conn_id: Connection(extra={"endpoint_url": "http://127.0.0.1:1"})
    )
    with pytest.raises(BadRequest, match="login"):
        list(reader_for(SourceSpec("s3://bucket/?connection=x", "c"), reach).scan())
