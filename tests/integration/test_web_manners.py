"""https:// sources: robots.txt, pace, retries, limits, and servers that do not deliver."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from contract.source_servers import Asked, Page, WebServer
from integration.web_sites import html, item, reader, sitemap
from sluice.errors import BadRequest, ExtractionError, Transient
from sluice.model.records import RECORD_MIME
from sluice.model.scan import ListingEntry
from sluice.sources.context import HttpPolicy
from sluice.sources.web import fetch, pace
from sluice.sources.web.pace import Pace
from sluice.sources.web.robots import MAX_DELAY_S, Robots
from support.clock import Clock


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as running:
        yield running


def refusal(server: WebServer, path: str, **options: Any) -> str:
    with pytest.raises(ExtractionError) as caught:
        reader(server, path, **options).read(item(ListingEntry(server.url(path), server.url(path), "f", 0)))
    return caught.value.code


# --- robots.txt and pace --------------------------------------------------------------------------------------


def test_what_robots_forbid_is_listed_not_asked_for_and_refused(server: WebServer) -> None:
    server.pages["/robots.txt"] = Page(b"User-agent: *\nDisallow: /\n\nUser-agent: SluiceBot\nDisallow: /private\n")
    server.pages["/sitemap.xml"] = sitemap(server, "/private/a", "/b")
    server.pages["/private/a"] = server.pages["/b"] = html("x", {"ETag": '"1"'})
    source = reader(server, "/sitemap.xml")
    entries = list(source.scan())
    assert [entry.fingerprint for entry in entries] == ["refused robots", 'etag "1"']
    with pytest.raises(ExtractionError, match="robots"):
        source.read(item(entries[0]))
    assert source.read(item(entries[1])).content
    assert "/private/a" not in {each.path for each in server.asked}
    assert all(each.headers["user-agent"].startswith("SluiceBot/") for each in server.asked)
    server.pages["/robots.txt"] = Page(b"User-agent: SluiceBot\nDisallow: /\n")
    with pytest.raises(BadRequest, match="robots"):
        list(reader(server, "/sitemap.xml").scan())


def test_rules_that_cannot_be_had_allow_nothing_and_missing_ones_everything(server: WebServer) -> None:
    server.pages["/a"] = html()
    server.pages["/robots.txt"] = Page(status=503)
    with pytest.raises(Transient):
        list(reader(server, "/a").scan())
    for answer in (Page(status=404), Page(status=403), Page(b"\xff\0garbage" * 100_000)):
        server.pages["/robots.txt"] = answer
        assert len(list(reader(server, "/a").scan())) == 1


def test_a_crawl_delay_is_honoured_up_to_a_limit() -> None:
    assert Robots("").delay_s(0.5) == 0.5
    assert Robots("User-agent: *\nCrawl-delay: 3").delay_s(0.5) == 3
    assert Robots("User-agent: SluiceBot\nCrawl-delay: 9999").delay_s(0.5) == MAX_DELAY_S
    assert Robots("User-agent: *\nRequest-rate: 1/4").delay_s(0.5) == 4
    assert Robots("User-agent: other\nCrawl-delay: 3").delay_s(0.5) == 0.5


@pytest.mark.parametrize("shared", [True, False])
def test_readers_keep_one_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool) -> None:
    clock = Clock()
    clock.install(monkeypatch, pace)
    one = Pace(tmp_path / "pace" if shared else None)
    paces = [one, Pace(tmp_path / "pace") if shared else one]
    began_s = clock.time()
    for turn in range(4):
        paces[turn % 2].wait("host", 20)
    assert clock.time() - began_s >= 60
    assert [round(pause_s, -1) for pause_s in clock.pauses] == [0, 20, 20, 20]
    paces[0].wait("another host", 60)
    assert clock.pauses[-1] == 0, "it was not asked before"
    if shared:
        (tmp_path / "pace" / "third").write_text("17-half a numb")
        for _ in range(2):
            paces[0].wait("third", 1)
        assert float((tmp_path / "pace" / "third").read_text()) > 0
    (tmp_path / "file").touch()
    Pace(tmp_path / "file").wait("host", 1)  # no folder to write to


# --- retries --------------------------------------------------------------------------------------------------


def failing(times: int, status: int, headers: dict[str, str], then: Page) -> tuple[object, list[Asked]]:
    asked_for: list[Asked] = []

    def answer(asked: Asked) -> Page:
        asked_for.append(asked)
        return Page(status=status, headers=headers) if len(asked_for) <= times else then

    return answer, asked_for


def test_a_busy_server_is_asked_again_after_the_time_it_names(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    clock.install(monkeypatch, fetch)
    answer, requests = failing(1, 429, {"Retry-After": "3"}, html("at last"))
    server.pages["/a"] = answer  # type: ignore[assignment]
    raw = reader(server, "/a").read(item(ListingEntry(server.url("/a"), "", "f", 0)))
    assert b"at last" in raw.content and len(requests) == 2
    assert len(clock.pauses) == 1 and 3 <= clock.pauses[0] < 6


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_server_that_asks_for_an_hour_is_left_alone(server: WebServer, form: str) -> None:
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    asked = "3600" if form == "seconds" else format_datetime(in_an_hour, usegmt=True)
    answer, when = failing(9, 429, {"Retry-After": asked}, html())
    server.pages["/a"] = answer  # type: ignore[assignment]
    with pytest.raises(Transient, match="asks to wait"):
        reader(server, "/a").read(item(ListingEntry(server.url("/a"), "", "f", 0)))
    assert len(when) == 1


def test_one_document_that_fails_is_refused_and_three_in_a_row_are_the_server(server: WebServer) -> None:
    server.pages["/good"] = html("x", {"ETag": '"1"'})
    server.pages["/bad"] = Page(status=502)
    entry = item(ListingEntry(server.url("/bad"), "", "f", 0))
    source = reader(server, "/good")
    for _ in range(3):
        for _ in range(2):
            with pytest.raises(ExtractionError, match="unavailable"):
                source.read(entry)
        source.read(item(ListingEntry(server.url("/good"), "", "f", 0)))
    for _ in range(2):
        with pytest.raises(ExtractionError, match="unavailable"):
            source.read(entry)
    with pytest.raises(Transient):
        source.read(entry)
    server.pages["/sitemap.xml"] = sitemap(server, "/bad", "/good", "/bad?2", "/bad?3")
    assert [each.fingerprint for each in reader(server, "/sitemap.xml").scan()][:2] == ["unknown", 'etag "1"']
    for path in ("/bad?2", "/bad?3", "/bad?4"):
        server.pages[path] = Page(status=502)
    server.pages["/sitemap.xml"] = sitemap(server, "/good", "/bad?2", "/bad?3", "/bad?4")
    with pytest.raises(Transient):
        list(reader(server, "/sitemap.xml").scan())


# --- what is not handed over ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Page(status=404), "vanished"),
        (Page(status=410), "vanished"),
        (Page(status=403), "refused"),
        (Page(status=206, body=b"part"), "refused"),
        (Page(b"x" * 20_000), "too_large"),
        (Page(b"x" * 20_000, length=-1), "too_large"),
        (Page(gzip.compress(b"0" * 5_000_000), headers={"Content-Encoding": "gzip"}), "too_large"),
        (Page(gzip.compress(b"text")[:-9], headers={"Content-Encoding": "gzip"}), "corrupt"),
        (Page(b"text", headers={"Content-Encoding": "br"}), "corrupt"),
        (Page(b"half", length=40), "unavailable"),
        (Page(status=302, headers={"Location": "/a"}), "redirects"),
        (Page(status=302, headers={"Location": "https://elsewhere.example/"}), "other_host"),
        (Page(status=302, headers={"Location": "ftp://127.0.0.1/"}), "bad_url"),
        (Page(status=302, headers={"Location": "https://ann:s3cret@127.0.0.1/"}), "bad_url"),
    ],
)
def test_why_a_document_is_refused(server: WebServer, answer: Page, code: str) -> None:
    server.pages["/a"] = answer
    assert refusal(server, "/a") == code


def test_a_redirect_on_the_same_host_is_followed_and_packed_text_unpacked(server: WebServer) -> None:
    server.pages["/a"] = Page(status=301, headers={"Location": "b?x=ü"})
    packed = {"Content-Encoding": "gzip", "Content-Type": RECORD_MIME}
    server.pages["/b?x=%C3%BC"] = Page(gzip.compress(b"text"), headers=packed)
    raw = reader(server, "/a").read(item(ListingEntry(server.url("/a"), "", "f", 0)))
    assert raw.content == b"text"
    assert raw.mime is None  # it does not pass for a record of our own


def test_a_trickle_ends_with_the_time_for_one_document(server: WebServer) -> None:
    """Each byte comes within the timeout of one read; the test ends because the sum is limited."""
    server.pages["/a"] = Page(length=10_000, trickle=True)
    assert refusal(server, "/a", fetch_timeout_s=0.5) == "unavailable"


def test_documents_on_other_hosts_need_a_setting(server: WebServer) -> None:
    listing = Page(b"https://other.example/a\n", headers={"Content-Type": "text/plain"})
    server.pages["/list"] = listing
    (entry,) = reader(server, "/list").scan()
    assert entry.fingerprint == "refused other_host"
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    (entry,) = reader(server, "/list", hosts=("other.example",), resolve=resolve).scan()
    assert entry.fingerprint == "refused address" and "other.example" in asked
    assert HttpPolicy().delay_s > 0  # what users get unless they say otherwise
