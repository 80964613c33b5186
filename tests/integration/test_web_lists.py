"""https:// sources: what is listed, and what is known of it without downloading it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from contract.source_servers import Asked, Page, WebServer
from integration.web_sites import html, item, listed, reader, sitemap
from sluice.errors import BadRequest, ExtractionError, Transient
from sluice.sources.web.listing import kind_of

OLD = format_datetime(datetime(2024, 5, 1, 12, tzinfo=UTC), usegmt=True)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as running:
        yield running


# --- kinds of lists -------------------------------------------------------------------------------------------


def test_a_page_is_its_own_document(server: WebServer) -> None:
    server.pages["/a"] = html("alpha", {"ETag": '"1"'})
    source = reader(server, "/a")
    (entry,) = source.scan()
    assert (entry.external_id, entry.uri, entry.fingerprint) == (server.url("/a"), server.url("/a"), 'etag "1"')
    assert server.paths("GET") == []
    raw = source.read(item(entry))
    assert b"alpha" in raw.content and raw.mime == "text/html"


def test_an_index_of_sitemaps_some_of_them_packed(server: WebServer) -> None:
    server.pages["/sitemap.xml"] = Page(
        f"<sitemapindex><sitemap><loc>{server.url('/1.xml')}</loc></sitemap>"
        f"<sitemap><loc>{server.url('/2.xml.gz')}</loc></sitemap>"
        f"<sitemap><loc>{server.url('/sitemap.xml')}</loc></sitemap></sitemapindex>".encode()
    )
    server.pages["/1.xml"] = sitemap(server, "/a", "/b#x", lastmod="2024-05-01")
    server.pages["/2.xml.gz"] = Page(gzip.compress(sitemap(server, "/c", "/b", lastmod="2024-05-01").body))
    assert listed(reader(server, "/sitemap.xml"), server) == ["/a", "/b", "/c"]


@pytest.mark.parametrize(
    "feed",
    [
        "<?xml version='1.0'?><!-- x --><rss><channel><link>/</link><item><link>{base}/a</link></item>"
        "<item><guid>{base}/b</guid></item><item><title>no link</title></item></channel></rss>",
        "<feed xmlns='http://www.w3.org/2005/Atom'><link href='/'/><entry><link rel='self' href='/x'/>"
        "<link href='/a'/></entry><entry><link rel='alternate' href='b'/></entry><entry/></feed>",
        "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns='http://purl.org/rss/1.0/'>"
        "<item><link>{base}/a</link></item><item><link>{base}/b</link></item><item/></rdf:RDF>",
    ],
    ids=["rss", "atom", "rss 1.0"],
)
def test_a_feed_lists_its_pages_and_what_has_none(server: WebServer, feed: str) -> None:
    server.pages["/feed"] = Page(feed.format(base=server.url("")).encode())
    source = reader(server, "/feed")
    assert listed(source, server) == ["/a", "/b", "#entry-3"]
    with pytest.raises(ExtractionError, match="bad_url"):
        source.read(item(list(source.scan())[2]))


def test_old_addresses_in_a_list_are_asked_for_by_https(server: WebServer) -> None:
    text = f"http://127.0.0.1/a\nHTTP://127.0.0.1:80/b\n{server.url('/c')}\nhttp://127.0.0.1:81/d\n{'https://h/' * 300}"
    server.pages["/list"] = Page(text.encode(), headers={"Content-Type": "text/plain"})
    result = {entry.external_id: entry.fingerprint for entry in reader(server, "/list").scan()}
    assert result == {
        "https://127.0.0.1/a": "refused address",
        "https://127.0.0.1/b": "refused address",
        server.url("/c"): "status 404",
        "http://127.0.0.1:81/d": "refused bad_url",
        "#entry-5": "refused bad_url",
    }


def test_comments_without_end_are_judged_at_once() -> None:
    """In every combination, these would take longer than the universe is old."""
    assert kind_of("https://h/", "", b"<!---->" * 1000) == "page"
    assert kind_of("https://h/", "", b"<!----> \n" * 700 + b"<rss>") == "feed"


def test_a_plain_list(server: WebServer) -> None:
    text = f"\ufeff# ours\n{server.url('/a')}\n\n  {server.url('/b')}  \nnot a url\n{server.url('/a')}\n"
    server.pages["/list"] = Page(text.encode(), headers={"Content-Type": "text/plain; charset=utf-8"})
    assert listed(reader(server, "/list"), server) == ["/a", "/b", "#entry-5"]
    server.pages["/notes"] = Page(b"Notes\nhttps://example.org\n", headers={"Content-Type": "text/plain"})
    assert listed(reader(server, "/notes"), server) == ["/notes"]


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (Page(status=500), Transient),
        (Page(status=404), BadRequest),
        (Page(status=403), BadRequest),
        (html("We are back soon"), Transient),
        (Page(b"<urlset><url><loc>http://x/a</loc></url>"), Transient),
        (Page(b"<urlset></urlset>", length=500), Transient),
        (Page(b'<!DOCTYPE u [<!ENTITY a "b">]><urlset><url><loc>&a;</loc></url></urlset>'), Transient),
        (Page(gzip.compress(b"<urlset>" + b" " * 60_000_000)), BadRequest),
        (Page(b"<sitemapindex><sitemap><loc>/relative</loc></sitemap></sitemapindex>"), BadRequest),
        (Page(b"http://127.0.0.1/a\n", headers={"Content-Type": "text/plain"}, length=-1), Transient),
    ],
    ids=["500", "404", "403", "a page", "cut", "broken off", "entity", "bomb", "no url", "no length"],
)  # fmt: skip
def test_a_list_that_breaks_is_never_a_shorter_one(server: WebServer, answer: Page, wrong: type[Exception]) -> None:
    server.pages["/sitemap.xml"] = answer
    with pytest.raises(wrong, match="deleted"):
        list(reader(server, "/sitemap.xml").scan())
    index = f"<sitemapindex><sitemap><loc>{server.url('/sitemap.xml')}</loc></sitemap></sitemapindex>"
    server.pages["/index.xml"] = Page(index.encode())
    with pytest.raises(wrong, match="deleted"):
        list(reader(server, "/index.xml").scan())


# --- fingerprints ---------------------------------------------------------------------------------------------


def test_a_dated_sitemap_asks_nothing_of_its_pages(server: WebServer) -> None:
    server.pages["/sitemap.xml"] = sitemap(server, "/a", lastmod="2024-05-01")
    (entry,) = reader(server, "/sitemap.xml").scan()
    assert entry.fingerprint == "lastmod 2024-05-01"
    assert "/a" not in {each.path for each in server.asked}


def test_a_date_of_today_is_not_trusted_alone(server: WebServer) -> None:
    server.pages["/a"] = html("alpha", {"ETag": '"1"'})
    for lastmod in (datetime.now(UTC).date().isoformat(), "yesterday"):
        server.pages["/sitemap.xml"] = sitemap(server, "/a", lastmod=lastmod)
        assert [entry.fingerprint for entry in reader(server, "/sitemap.xml").scan()] == ['etag "1"']


@pytest.mark.parametrize(
    ("headers", "fingerprint"),
    [({"ETag": 'W/"x"', "Last-Modified": OLD}, 'etag W/"x"'), ({"Last-Modified": OLD}, "modified 2024-05-01T12:00:00")],
)
@pytest.mark.parametrize("head", [True, False])
def test_unchanged_content_is_not_downloaded(
    server: WebServer, headers: dict[str, str], fingerprint: str, head: bool
) -> None:
    """Without HEAD, a GET is hung up after the headers: the body, 50 MB by its own account, never comes."""
    page = html("x", headers)
    endless = Page(page.body, headers=page.headers, length=50_000_000)

    def answer(asked: Asked) -> Page:
        if asked.method == "HEAD":
            return page if head else Page(status=405)
        return endless

    server.pages["/a"] = answer
    server.pages["/sitemap.xml"] = sitemap(server, "/a")
    (entry,) = reader(server, "/sitemap.xml").scan()
    assert entry.fingerprint.startswith(fingerprint)
    assert (server.paths("GET") == ["/sitemap.xml"]) is head


def test_without_validators_the_content_decides(server: WebServer) -> None:
    server.pages["/sitemap.xml"] = sitemap(server, "/a")
    result = []
    for text in ("one", "one", "two"):
        # As new as its answer: made for this request, which says nothing.
        now = format_datetime(datetime.now(UTC) - timedelta(seconds=5), usegmt=True)
        server.pages["/a"] = html(text, {"Last-Modified": now})
        result += [entry.fingerprint for entry in reader(server, "/sitemap.xml").scan()]
    assert result[0] == result[1] != result[2] and result[0].startswith("hash ")
    raw = reader(server, "/a").read(item(next(reader(server, "/a").scan())))
    assert raw.metadata == {}
    server.pages["/a"] = html("one", {"Last-Modified": OLD})
    raw = reader(server, "/a").read(item(next(reader(server, "/a").scan())))
    assert raw.metadata == {"last_modified": "2024-05-01T12:00:00+00:00"}
