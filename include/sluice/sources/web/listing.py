"""What a URL's content is: a sitemap, an index of sitemaps, a feed, a list of URLs, or just a page.

The content decides. What begins as a list and breaks off is an error and never a shorter list.
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

_ROOTS: dict[str, Kind] = {
    "urlset": "sitemap",
    "sitemapindex": "index",
    "rss": "feed",
    "feed": "feed",
    "RDF": "feed",
}
_ITEMS = {"sitemap": "url", "index": "sitemap"}
_HEAD_BYTES = 8192
# Atomic and possessive: a thousand comments and no element must not be tried in every combination.
_ROOT = re.compile(
    r"\A\ufeff?(?>\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>)*+<(?:[\w.-]+:)?([\w.-]+)", re.DOTALL
)
_MAX_URL_CHARS = 2000  # longer ones are not addresses of documents, and no index of the ledger would take them
_LIST_NAMES = (".xml", ".xml.gz", ".txt", ".txt.gz", ".rss", ".atom", ".rdf")


class BrokenListing(ValueError):
    """It begins as a list and cannot be read to its end."""


@dataclass(frozen=True, slots=True)
class Listed:
    url: str  # canonical; empty where the list names none that can be one
    place: int  # from 1, in the list
    lastmod: str | None = None


def kind_of(url: str, mime: str, content: bytes) -> Kind:
    """`content` unpacked. Raises BrokenListing where a URL that is named like a list answers with a web page."""
    root = _root(content)
    if root in _ROOTS:
        return _ROOTS[root]
    if root is not None and root.lower() == "html":
        if named_like_a_list(url):
            raise BrokenListing("it is named like a list, and its server sent a web page instead")
        return "page"
    if (mime == "text/plain" or urlsplit(url).path.lower().endswith((".txt", ".txt.gz"))) and _first_line_is_url(
        content
    ):
        return "list"
    return "page"


def named_like_a_list(url: str) -> bool:
    return urlsplit(url).path.lower().endswith(_LIST_NAMES)


def entries_of(kind: Kind, url: str, content: bytes) -> Iterator[Listed]:
    """In the order of the list. Raises BrokenListing."""
    if kind == "list":
        yield from _lines(content)
    elif kind != "page":
        yield from _elements(kind, url, content)


def _root(content: bytes) -> str | None:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    found = _ROOT.match(content[:_HEAD_BYTES].decode(encoding, "replace"))
    if found is None and content[:64].lstrip().lower().startswith(b"<!doctype html"):
        return "html"
    return found[1] if found else None


def _lines(content: bytes) -> Iterator[Listed]:
    """Empty lines and those that begin with # are nothing."""
    for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines(), start=1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield Listed(_url(text), number)


def _first_line_is_url(content: bytes) -> bool:
    return next((bool(listed.url) for listed in _lines(content)), False)


def _url(text: str, base: str = "") -> str:
    """Canonical, or empty where it is not an absolute one, nor becomes one on the page `base`."""
    try:
        found = joined(base, text)
    except ExtractionError:
        return ""
    if not re.match(r"https?://[^\s/]", found, re.IGNORECASE):
        return ""
    usable = found.isascii() and found.isprintable() and " " not in found and len(found) <= _MAX_URL_CHARS
    return found if usable else ""


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
                    parents[-1].remove(element)  # or a sitemap of 50 MB would be kept as a tree
    except (ParseError, DefusedXmlException, LookupError) as error:  # LookupError: an encoding that nobody knows
        raise BrokenListing(f"it is not whole XML ({type(error).__name__})") from error


def _listed(kind: Kind, url: str, element: Any, number: int) -> Listed:
    if kind in _ITEMS:
        return Listed(_url(_text(element, "loc") or ""), number, _text(element, "lastmod"))
    link = _link(element)
    return Listed(_url(link, url) if link else "", number)


def _link(element: Any) -> str | None:
    """Of an RSS item: `link`, else a `guid` that is one. Of an Atom entry: the link to the page itself."""
    for child in element:
        if _name(child) == "link" and child.get("rel", "alternate") == "alternate":
            found = child.get("href") or (child.text or "").strip()
            if found:
                return str(found)
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
