"""https://…: a page, or a list of pages (sitemap, index of sitemaps, RSS or Atom feed, plain list of URLs).

A document's external id is its URL. Its fingerprint is the sitemap's `lastmod`; where there is none, what the server
says of it when asked for the headers alone: ETag, else Last-Modified; else the hash of its content. Globs are over the
URL's path and query. What may not be fetched (robots.txt, another host, a private address) is listed, and refused when
it is read: nothing is dropped without a trace.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from urllib.parse import unquote, urlsplit

from sluice.compression import GZIP_MAGIC, gunzip
from sluice.errors import TRY_AGAIN, BadRequest, ExtractionError, Unavailable
from sluice.model.document import FetchedDocument
from sluice.model.reasons import unreadable
from sluice.model.records import RECORD_MIME
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import SourceSpec
from sluice.sources.context import SourceContext
from sluice.sources.globs import Globs
from sluice.sources.web.fetch import Answer, Fetcher, Throttled, http_date
from sluice.sources.web.listing import BrokenListing, Kind, Listed, entries_of, kind_of, named_like_a_list
from sluice.sources.web.scope import Scope
from sluice.sources.web.urls import canonical_web

MAX_LISTING_BYTES = 52_428_800  # https://www.sitemaps.org/protocol.html, unpacked
MAX_LISTINGS = 1000  # sitemaps of one source
MAX_DOCUMENTS = 200_000
_PATIENCE = 3  # documents one after another that the server fails on before it is taken for down
_INCOMPLETE = "The scan is not complete, and nothing was deleted."
_DOCUMENTS = ("text/html", "application/xhtml+xml", "application/pdf")  # cannot be lists
_NO_HEAD = (400, 403, 404, 405, 406, 501)  # of servers that answer HEAD with these and GET with the page
_UNKNOWN_BYTES = 100_000  # where nothing tells: batches are cut by size
# A validator is strong only when it is that much older than the answer (RFC 9110, 8.8.2.2): a page that is made for
# every request is as new as its answer.
_SETTLED = timedelta(seconds=60)


class WebReader:
    """SourceReader of one URL. Raises BadRequest when made, if that may not be fetched."""

    def __init__(self, spec: SourceSpec, reach: SourceContext) -> None:
        self._url = canonical_web(spec.uri)
        try:
            self._scope = Scope(urlsplit(self._url).hostname or "", reach.web.hosts, reach.web.trusted_hosts)
            self._scope.check(self._url)
        except (ExtractionError, ValueError) as error:
            reason = error.reason if isinstance(error, ExtractionError) else "It cannot be understood."
            raise BadRequest(f"{spec.uri} cannot be a source. {reason} Nothing was read.") from error
        self._globs = Globs(spec.include or (), spec.exclude or ())
        self._reach = reach
        self._fetcher = Fetcher(reach, self._scope)
        self._failures = 0

    def scan(self) -> Iterator[ListingEntry]:
        """Raises BadRequest where a list is refused (HTTP 4xx, robots.txt), Transient where it fails or breaks off."""
        if self._is_document():
            yield self._entry(Listed(self._url, 1))
            return
        seen: set[str] = set()
        for listed in self._listed():
            name = listed.url or f"#entry-{listed.place}"
            if name in seen or not (listed.url in ("", self._url) or self._globs.admit(_path(listed.url))):
                continue
            if len(seen) == MAX_DOCUMENTS:
                raise BadRequest(
                    f"{self._url} lists more than {MAX_DOCUMENTS} documents. {_INCOMPLETE} Make sources of parts of it."
                )
            seen.add(name)
            yield self._entry(listed)

    def read(self, item: WorkItem) -> FetchedDocument:
        """The document as it is now. Raises Unreadable, and Unavailable where the server fails again and again."""
        url = item.entry.external_id
        if url.startswith("#"):
            raise unreadable("bad_url")
        try:
            answer = self._fetcher.ask("GET", url, max_bytes=self._reach.max_bytes)
        except Unavailable as error:
            self._lose_patience(error)
            raise unreadable("unavailable") from error
        self._failures = 0
        if answer.status in (404, 410):
            raise unreadable("vanished")
        if answer.status != 200:
            raise unreadable("refused")
        moment = _settled_date(answer)
        # What the server says of it must not pass for what only our own readers say.
        mime = answer.headers.get("content-type", "")[:200] if answer.mime != RECORD_MIME else ""  # with its charset
        return FetchedDocument(
            item, answer.content, mime or None, metadata={"last_modified": moment.isoformat()} if moment else {}
        )

    # --- what is listed ---------------------------------------------------------------------------------------

    def _is_document(self) -> bool:
        """By the headers alone, where they tell: its content need not be fetched to be listed."""
        try:
            head = self._fetcher.ask("HEAD", self._url, max_bytes=0)
        except (ExtractionError, Unavailable):  # the request for the content says why
            return False
        return head.status == 200 and head.mime in _DOCUMENTS and not named_like_a_list(head.url)

    def _listed(self) -> Iterator[Listed]:
        waiting, known = [self._url], {self._url}
        while waiting:
            url = waiting.pop(0)
            answer = self._list(url)
            content = _plain(answer)
            try:
                kind = kind_of(answer.url, answer.mime, content)
                if kind == "page" and url != self._url:
                    raise BrokenListing("an index of sitemaps names it, and it is none")
                if kind == "list" and not answer.framed:
                    raise BrokenListing("its server does not say where it ends (Content-Length)")
                if kind == "page":
                    yield Listed(self._url, 1)
                elif kind == "index":
                    waiting += self._fresh(self._entries(kind, answer.url, content), known)
                else:
                    yield from self._entries(kind, answer.url, content)
            except BrokenListing as error:
                raise Unavailable(f"the list {url}", f"{error}. {_INCOMPLETE}", TRY_AGAIN) from error

    def _entries(self, kind: Kind, url: str, content: bytes) -> Iterator[Listed]:
        for listed in entries_of(kind, url, content):
            yield replace(listed, url=self._scope.upgraded(listed.url))

    def _fresh(self, listed: Iterator[Listed], known: set[str]) -> list[str]:
        fresh = [each.url for each in listed if each.url not in known]
        known.update(fresh)
        if "" in known or len(known) > MAX_LISTINGS:
            raise BadRequest(
                f"{self._url} names a sitemap without a URL, or more than {MAX_LISTINGS} sitemaps. {_INCOMPLETE}"
            )
        return list(dict.fromkeys(fresh))

    def _list(self, url: str) -> Answer:
        try:
            answer = self._fetcher.ask("GET", url, max_bytes=MAX_LISTING_BYTES)
        except ExtractionError as error:
            if error.code in ("slow", "certificate"):
                raise Unavailable(f"the list {url}", f"{error.reason} {_INCOMPLETE}", TRY_AGAIN) from error
            raise BadRequest(f"The list {url} was refused ({error.code}). {error.reason} {_INCOMPLETE}") from error
        if answer.status != 200:
            raise BadRequest(
                f"The list {url} was answered with HTTP {answer.status}. {_INCOMPLETE} Correct the source's URI, or "
                "ask the site's owner."
            )
        return answer

    # --- fingerprints -----------------------------------------------------------------------------------------

    def _entry(self, listed: Listed) -> ListingEntry:
        if not listed.url:
            name = f"#entry-{listed.place}"
            return ListingEntry(name, self._url, "refused bad_url", 0)
        if listed.lastmod and _settled(listed.lastmod):
            return ListingEntry(listed.url, listed.url, f"lastmod {listed.lastmod}", _UNKNOWN_BYTES)
        fingerprint, size = self._state(listed.url)
        return ListingEntry(listed.url, listed.url, fingerprint, size)

    def _state(self, url: str) -> tuple[str, int]:
        """(fingerprint, size in bytes as far as it is known)."""
        try:
            answer = self._fetcher.ask("HEAD", url, max_bytes=0)
            if answer.status in _NO_HEAD or (answer.status == 200 and _validator(answer) is None):
                answer = self._fetcher.ask(
                    "GET", url, max_bytes=self._reach.max_bytes, wanted=lambda head: _validator(head) is None
                )
        except ExtractionError as error:
            return f"refused {error.code}", 0
        except Unavailable as error:
            self._lose_patience(error)
            return "unknown", 0
        self._failures = 0
        if answer.status != 200:
            return f"status {answer.status}", 0
        declared = answer.headers.get("content-length", "")
        size = len(answer.content) or (int(declared) if declared.isdecimal() else _UNKNOWN_BYTES)
        return _validator(answer) or f"hash {blake2b(answer.content, digest_size=16).hexdigest()}", size

    def _lose_patience(self, error: Unavailable) -> None:
        """One document that a server cannot deliver is that document's matter; several in a row are the server's."""
        self._failures += 1
        if isinstance(error, Throttled) or self._failures >= _PATIENCE:
            raise error


def _plain(answer: Answer) -> bytes:
    """A list that is a gzip file is unpacked, whatever its server calls it."""
    if not answer.content.startswith(GZIP_MAGIC):
        return answer.content
    try:
        return gunzip(answer.content, MAX_LISTING_BYTES)
    except ExtractionError as error:
        raise BadRequest(f"The list {answer.url} cannot be unpacked ({error.code}). {_INCOMPLETE}") from error


def _path(url: str) -> str:
    parts = urlsplit(url)
    return unquote(parts.path).removeprefix("/") + (f"?{unquote(parts.query)}" if parts.query else "")


def _validator(answer: Answer) -> str | None:
    if etag := answer.headers.get("etag", "").strip():
        return f"etag {etag}"
    moment = _settled_date(answer)
    return f"modified {moment.isoformat()}" if moment else None


def _settled_date(answer: Answer) -> datetime | None:
    """Last-Modified, where it says more than that the answer is new."""
    moment = http_date(answer.headers.get("last-modified", ""))
    sent = http_date(answer.headers.get("date", "")) or datetime.now(UTC)
    return moment if moment and sent - moment >= _SETTLED else None


def _settled(lastmod: str) -> bool:
    """A bare date says nothing of a second change on the same day, until that day is over everywhere."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", lastmod):
        try:
            return date.fromisoformat(lastmod) <= datetime.now(UTC).date() - timedelta(days=2)
        except ValueError:
            return False
    return bool(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d", lastmod))
