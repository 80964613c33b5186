"""Recognises and parses lists at a URL: a sitemap, an index of sitemaps, a feed, a list of URLs, or just a page.

The content decides. A truncated list is an error, never a shorter list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal
from urllib.parse import urlsplit

from sluice.errors import ExtractionError
from sluice.sources.web.address import joined

Kind = Literal["sitemap", "index", "feed", "list", "page"]

_ROOTS: dict[str, Kind] = {"urlset": "sitemap", "sitemapindex": "index", "rss": "feed", "feed": "feed", "RDF": "feed"}
_ITEMS = {"sitemap": "url", "index": "sitemap"}
_HEAD_BYTES = 8192
# Atomic and possessive, so that a thousand comments without an element are not tried in every combination.
_ROOT = re.compile(
    r"\A\ufeff?(?>\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>)*+<(?:[\w.-]+:)?([\w.-]+)", re.DOTALL
)
_MAX_URL_CHARS = 2000  # longer ones are not useful, and exceed the index of the ledger
_LIST_NAMES = (".xml", ".xml.gz", ".txt", ".txt.gz", ".rss", ".atom", ".rdf")


class BrokenListing(ValueError):
    """A list that cannot be read to its end."""


@dataclass(frozen=True, slots=True)
class Listed:
    url: str  # canonical; empty if the entry has no valid URL
    place: int  # position in the list, from 1
    lastmod: str | None = None


def kind_of(url: str, mime: str, content: bytes) -> Kind:
    """Returns the kind of decompressed content. Raises BrokenListing if a URL named like a list answers with a web
    page."""
    root = _root(content)
    if root in _ROOTS:
        return _ROOTS[root]
    if root is not None and root.lower() == "html":
        if named_like_a_list(url):
            raise BrokenListing("its name is that of a list, but the server sent a web page")
        return "page"
    if (mime == "text/plain" or urlsplit(url).path.lower().endswith((".txt", ".txt.gz"))) and _first_line_is_url(
        content
    ):
        return "list"
    return "page"


def named_like_a_list(url: str) -> bool:
    """Returns whether the URL's path ends like that of a sitemap or feed."""
    return urlsplit(url).path.lower().endswith(_LIST_NAMES)


def entries_of(kind: Kind, url: str, content: bytes) -> Iterator[Listed]:
    """Yields the entries in the order of the list. Raises BrokenListing."""
    if kind == "list":
        yield from _lines(content)
    elif kind != "page":
        yield from _elements(kind, url, content)


def _root(content: bytes) -> str | None:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    match = _ROOT.match(content[:_HEAD_BYTES].decode(encoding, "replace"))
    if match is None and content[:64].lstrip().lower().startswith(b"<!doctype html"):
        return "html"
    return match[1] if match else None


def _lines(content: bytes) -> Iterator[Listed]:
    """Yields one entry per line. Empty lines and lines that begin with # are skipped."""
    for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines(), start=1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield Listed(_url(text), number)


def _first_line_is_url(content: bytes) -> bool:
    return next((bool(listed.url) for listed in _lines(content)), False)


def _url(text: str, base: str = "") -> str:
    """Returns the canonical URL, or an empty text if it is not an absolute URL, even relative to the page `base`."""
    try:
        url = joined(base, text)
    except ExtractionError:
        return ""
    if not re.match(r"https?://[^\s/]", url, re.IGNORECASE):
        return ""
    usable = url.isascii() and url.isprintable() and " " not in url and len(url) <= _MAX_URL_CHARS
    return url if usable else ""


def _elements(kind: Kind, url: str, content: bytes) -> Iterator[Listed]:
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    wanted = (_ITEMS[kind],) if kind in _ITEMS else ("item", "entry")
    number = 0
    parents: list[Any] = []
    try:
        for event, element in iterparse(BytesIO(content), events=("start", "end")):
            if event == "start":
                parents.append(element)
                continue
            parents.pop()
            if _name(element) in wanted:
                number += 1
                yield _listed(kind, url, element, number)
                element.clear()
                if parents:
                    parents[-1].remove(element)  # otherwise a sitemap of 50 MB would stay in memory as a tree
    except (ParseError, DefusedXmlException, LookupError) as error:  # LookupError: unknown encoding
        raise BrokenListing(f"it is not complete XML ({type(error).__name__})") from error


def _listed(kind: Kind, url: str, element: Any, number: int) -> Listed:
    if kind in _ITEMS:
        return Listed(_url(_text(element, "loc") or ""), number, _text(element, "lastmod"))
    link = _link(element)
    return Listed(_url(link, url) if link else "", number)


def _link(element: Any) -> str | None:
    """Returns the link of an RSS item (`link`, else a `guid` that is a link) or of an Atom entry (the link to the page
    itself)."""
    for child in element:
        if _name(child) == "link" and child.get("rel", "alternate") == "alternate":
            target = child.get("href") or (child.text or "").strip()
            if target:
                return str(target)
    for child in element:
        if _name(child) == "guid" and child.get("isPermaLink", "true") == "true" and child.text:
            return str(child.text).strip()
    return None


def _text(element: Any, name: str) -> str | None:
    for child in element:
        if _name(child) == name and child.text and child.text.strip():
            return str(child.text).strip()
    return None


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]
