"""https://…: a page, or a list of pages (sitemap, index of sitemaps, RSS or Atom feed, plain list of URLs).

The external id of a document is its URL. Its fingerprint is the sitemap's `lastmod`. Without one, it is the ETag from a
HEAD request, else Last-Modified, else the hash of the content. Globs match the URL's path and query. Pages that may not
be fetched (robots.txt, another host, a private address) are listed, and quarantined when read, so that no page is
dropped silently.
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
from sluice.retry import http_date
from sluice.sources.context import SourceContext
from sluice.sources.globs import Globs
from sluice.sources.web.fetch import Answer, Fetcher, Throttled
from sluice.sources.web.listing import BrokenListing, Kind, Listed, entries_of, kind_of, named_like_a_list
from sluice.sources.web.scope import Scope
from sluice.sources.web.urls import canonical_web

MAX_LISTING_BYTES = 52_428_800  # https://www.sitemaps.org/protocol.html, unpacked
MAX_LISTINGS = 1000  # sitemaps per source
MAX_DOCUMENTS = 200_000
_MAX_FAILURES = 3  # failed documents in a row after which the server counts as down
_INCOMPLETE = "The scan is not complete, and nothing was deleted."
_DOCUMENTS = ("text/html", "application/xhtml+xml", "application/pdf")  # types that are never lists
_NO_HEAD = (400, 403, 404, 405, 406, 501)  # some servers answer HEAD with these, and GET with the page
_UNKNOWN_BYTES = 100_000  # if the size is unknown: batches are limited by size
# A validator is strong only if it is that much older than the response (RFC 9110, 8.8.2.2): a page generated for each
# request is as new as its response.
_SETTLED = timedelta(seconds=60)


class WebReader:
    """SourceReader of one URL. The constructor raises BadRequest if it may not be fetched."""

    def __init__(self, spec: SourceSpec, context: SourceContext) -> None:
        self._url = canonical_web(spec.uri)
        try:
            self._scope = Scope(urlsplit(self._url).hostname or "", context.web.hosts, context.web.trusted_hosts)
            self._scope.check(self._url)
        except (ExtractionError, ValueError) as error:
            reason = error.reason if isinstance(error, ExtractionError) else "It cannot be understood."
            raise BadRequest(f"{spec.uri} cannot be a source. {reason} Nothing was read.") from error
        self._globs = Globs(spec.include, spec.exclude)
        self._context = context
        self._fetcher = Fetcher(context, self._scope)
        self._failures = 0

    def scan(self) -> Iterator[ListingEntry]:
        """Raises BadRequest if a list is rejected (HTTP 4xx, robots.txt), Transient if it fails or is incomplete."""
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
                    f"{self._url} lists more than {MAX_DOCUMENTS} documents. {_INCOMPLETE} Split it into sources."
                )
            seen.add(name)
            yield self._entry(listed)

    def read(self, item: WorkItem) -> FetchedDocument:
        """Returns the current document. Raises ExtractionError, and Unavailable if the server fails repeatedly."""
        url = item.entry.external_id
        if url.startswith("#"):
            raise unreadable("bad_url")
        try:
            answer = self._fetcher.ask("GET", url, max_bytes=self._context.max_bytes)
        except Unavailable as error:
            self._count_failure(error)
            raise unreadable("unavailable") from error
        self._failures = 0
        if answer.status in (404, 410):
            raise unreadable("vanished")
        if answer.status != 200:
            raise unreadable("refused")
        moment = _settled_date(answer)
        # A server must not claim the internal MIME type that only our own readers set.
        mime = answer.headers.get("content-type", "")[:200] if answer.mime != RECORD_MIME else ""  # with its charset
        return FetchedDocument(
            item, answer.content, mime or None, metadata={"last_modified": moment.isoformat()} if moment else {}
        )

    # --- listing ----------------------------------------------------------------------------------------------

    def _is_document(self) -> bool:
        """Checks the headers alone: if they show a document, listing it does not need its content."""
        try:
            head = self._fetcher.ask("HEAD", self._url, max_bytes=0)
        except (ExtractionError, Unavailable):  # the request for the content will raise the reason
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
                    raise BrokenListing("an index of sitemaps names it, but it is not a sitemap")
                if kind == "list" and not answer.framed:
                    raise BrokenListing("its server does not give its length (Content-Length)")
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

    def _fresh(self, sitemaps: Iterator[Listed], known: set[str]) -> list[str]:
        fresh = [sitemap.url for sitemap in sitemaps if sitemap.url not in known]
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
            raise BadRequest(
                f"The list {url} cannot be fetched ({error.code}). {error.reason} {_INCOMPLETE}"
            ) from error
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
        """Returns (fingerprint, size in bytes, or an estimate)."""
        try:
            answer = self._fetcher.ask("HEAD", url, max_bytes=0)
            if answer.status in _NO_HEAD or (answer.status == 200 and _validator(answer) is None):
                answer = self._fetcher.ask(
                    "GET", url, max_bytes=self._context.max_bytes, wanted=lambda head: _validator(head) is None
                )
        except ExtractionError as error:
            return f"refused {error.code}", 0
        except Unavailable as error:
            self._count_failure(error)
            return "unknown", 0
        self._failures = 0
        if answer.status != 200:
            return f"status {answer.status}", 0
        declared = answer.headers.get("content-length", "")
        size = len(answer.content) or (int(declared) if declared.isdecimal() else _UNKNOWN_BYTES)
        return _validator(answer) or f"hash {blake2b(answer.content, digest_size=16).hexdigest()}", size

    def _count_failure(self, error: Unavailable) -> None:
        """Counts failures. One failed document is quarantined alone; several in a row mean that the server is down."""
        self._failures += 1
        if isinstance(error, Throttled) or self._failures >= _MAX_FAILURES:
            raise error


def _plain(answer: Answer) -> bytes:
    """Decompresses a list that is a gzip file, whatever its content type."""
    if not answer.content.startswith(GZIP_MAGIC):
        return answer.content
    try:
        return gunzip(answer.content, MAX_LISTING_BYTES)
    except ExtractionError as error:
        raise BadRequest(f"The list {answer.url} cannot be decompressed ({error.code}). {_INCOMPLETE}") from error


def _path(url: str) -> str:
    parts = urlsplit(url)
    return unquote(parts.path).removeprefix("/") + (f"?{unquote(parts.query)}" if parts.query else "")


def _validator(answer: Answer) -> str | None:
    if etag := answer.headers.get("etag", "").strip():
        return f"etag {etag}"
    moment = _settled_date(answer)
    return f"modified {moment.isoformat()}" if moment else None


def _settled_date(answer: Answer) -> datetime | None:
    """Returns Last-Modified, unless it only says that the response is new."""
    moment = http_date(answer.headers.get("last-modified", ""))
    sent = http_date(answer.headers.get("date", "")) or datetime.now(UTC)
    return moment if moment and sent - moment >= _SETTLED else None


def _settled(lastmod: str) -> bool:
    """Returns True if `lastmod` can show every change. A bare date cannot show a second change on the same day, until
    that day is over in all time zones."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", lastmod):
        try:
            return date.fromisoformat(lastmod) <= datetime.now(UTC).date() - timedelta(days=2)
        except ValueError:
            return False
    return bool(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d", lastmod))
