"""Addresses that cannot be one, wherever a site may write them: the matter of that document, never of its source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from contract.source_servers import Page, WebServer
from integration.web_sites import html, item, reader
from sluice.errors import BadRequest, ExtractionError
from sluice.model.source import SourceSpec
from sluice.sources.schemes import canonical, reader_for
from sluice.sources.web.address import joined
from sluice.sources.web.robots import Robots

ODD = (
    "https://[", "//[", "https://[::1", "https://]", "http://a:99999999/", "http://a:b/", "https://a:-1/", "//", "http://",
    "https://\u2100.example/", "https://xn--\u00e4/", "https://a..\u00e4/", f"https://{'ä' * 70}.example/",
    "https://a/\x00", "\x00", "https://a\x00b/", "https://a/\ud800", "https://\ud800/", "javascript:alert(1)",
    "https://user:pass@a/", "file:///etc/passwd", "https://a/" + "x" * 9000, "https://[v1.a]/", "https://[::ffff:1.2.3.4%25x]/",
)  # fmt: skip
VALIDATED = {"ETag": '"1"'}


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as running:
        running.pages["/good"] = html("good", VALIDATED)
        yield running


def sendable(address: str) -> str | None:
    """As a header's value; None where no server could send it."""
    try:
        address.encode("latin-1")
    except UnicodeEncodeError:
        return None
    return None if "\0" in address else address


@pytest.mark.parametrize("where", [each for each in ODD if sendable(each)])
def test_a_redirect_to_nowhere(server: WebServer, where: str) -> None:
    server.pages["/bad"] = Page(status=302, headers={"Location": where})
    server.pages["/list"] = Page(
        f"{server.url('/bad')}\n{server.url('/good')}\n".encode(), headers={"Content-Type": "text/plain"}
    )
    source = reader(server, "/list")
    bad, good = list(source.scan())
    with pytest.raises(ExtractionError) as caught:
        source.read(item(bad))
    assert caught.value.code in ("bad_url", "other_host", "refused", "address", "redirects")
    assert b"good" in source.read(item(good)).content


@pytest.mark.parametrize("where", [each for each in ODD if "\0" not in each and "\ud800" not in each])
def test_a_list_that_names_nothing(server: WebServer, where: str) -> None:
    good = server.url("/good")
    rss = f"<rss><channel><item><link>{where}</link></item><item><link>{good}</link></item></channel></rss>"
    server.pages["/rss"] = Page(rss.encode())
    server.pages["/sitemap.xml"] = Page(
        f"<urlset><url><loc>{where}</loc></url><url><loc>{good}</loc></url></urlset>".encode()
    )
    server.pages["/list"] = Page(f"{good}\n{where}\n".encode(), headers={"Content-Type": "text/plain"})
    server.pages["/index.xml"] = Page(f"<sitemapindex><sitemap><loc>{where}</loc></sitemap></sitemapindex>".encode())
    for path in ("/rss", "/sitemap.xml", "/list"):
        source = reader(server, path)
        entries = {entry.external_id: entry for entry in source.scan()}
        assert source.read(item(entries.pop(good))).content, path
        for bad in entries.values():
            with suppress(ExtractionError):  # some lead back to the list
                source.read(item(bad))
    with pytest.raises(BadRequest):  # a part of the source that is missing is no document
        list(reader(server, "/index.xml").scan())


@pytest.mark.parametrize("where", [each for each in ODD if sendable(each)])
def test_robots_that_lead_nowhere(server: WebServer, where: str) -> None:
    server.pages["/robots.txt"] = Page(status=302, headers={"Location": where})
    assert len(list(reader(server, "/good").scan())) == 1
    server.pages["/robots.txt"] = Page(
        f"User-agent: *\nDisallow: {where}x\nAllow: {where}y$\nSitemap: {where}\nCrawl-delay: {where}\n".encode()
    )
    assert len(list(reader(server, "/good").scan())) == 1
    Robots(f"Disallow: {where}").allows("https://a/b")


@pytest.mark.parametrize("value", ["²", "-1", "9" * 5000, "nan", "1e3", "", "\xa0"])
def test_numbers_that_are_none(server: WebServer, value: str) -> None:
    server.pages["/busy"] = Page(status=503, headers={"Retry-After": value})
    server.pages["/long"] = Page(
        b"x", headers={"X-Length": value, "Last-Modified": value, "Date": value, "ETag": '"1"'}
    )
    server.pages["/list"] = Page(
        "".join(f"{server.url(path)}\n" for path in ("/busy", "/long", "/good")).encode(),
        headers={"Content-Type": "text/plain"},
    )
    assert len(list(reader(server, "/list").scan())) == 3


@pytest.mark.parametrize("where", ODD)
def test_joining_raises_of_the_document_alone(where: str) -> None:
    try:
        joined("https://a/b", where)
    except ExtractionError as error:
        assert error.code == "bad_url"


@pytest.mark.parametrize("scheme", ["https", "s3", "git+https", "git+file", "postgresql", "file", "jsonl", "uploads"])
@pytest.mark.parametrize(
    "rest", ["[", "]", "[::1", "a:99999999/x", "a:b/x", "/\ud800", "\ud800/x", "/a\0b", "\u2100/x", "a?\ud800"]
)
def test_a_source_whose_uri_cannot_be_understood(scheme: str, rest: str) -> None:
    uri = f"{scheme}://{rest}"
    with pytest.raises(BadRequest):
        reader_for(SourceSpec(canonical(uri), "c"), max_bytes=10)
