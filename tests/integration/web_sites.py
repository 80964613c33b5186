"""Small things that the tests of https:// sources share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from contract.source_servers import Page, WebServer
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import SourceSpec
from sluice.ports.readers import SourceReader
from sluice.sources.schemes import reader_for


def reader(server: WebServer, path: str, *, max_bytes: int = 10_000, **web: Any) -> SourceReader:
    return reader_for(SourceSpec(server.url(path), "c"), server.reach(max_bytes, **web))


def item(entry: ListingEntry) -> WorkItem:
    return WorkItem(uuid4(), entry, new=True)


def sitemap(server: WebServer, *paths: str, lastmod: str = "") -> Page:
    date = f"<lastmod>{lastmod}</lastmod>" if lastmod else ""
    urls = "".join(f"<url><loc>{server.url(path)}</loc>{date}</url>" for path in paths)
    return Page(f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>'.encode())


def html(text: str = "hello", headers: Mapping[str, str] | None = None) -> Page:
    return Page(f"<html><body>{text}</body></html>".encode(), headers={"Content-Type": "text/html", **(headers or {})})


def listed(source: SourceReader, server: WebServer) -> list[str]:
    """External ids, without the server."""
    return [entry.external_id.removeprefix(server.url("")) for entry in source.scan()]
