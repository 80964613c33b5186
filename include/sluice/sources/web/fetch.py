"""Sends requests to web servers: guarded (see `address` and `scope`), polite (`robots`, `pace`), bounded in bytes and
seconds.

Follows redirects by hand and checks each target like a URL of its own. Sends no cookies and no logins. Ignores proxies
of the environment, because the addresses that they connect to could not be checked.
"""

from __future__ import annotations

import os
import ssl
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import httpcore

from sluice import __version__
from sluice.compression import gunzip
from sluice.errors import ExtractionError, Unavailable
from sluice.model.reasons import unreadable
from sluice.retry import retry_after_s
from sluice.sources.context import SourceContext
from sluice.sources.web.address import BadCertificate, ForbiddenAddress, GuardedNetwork, joined, resolve
from sluice.sources.web.pace import Pace
from sluice.sources.web.robots import AGENT, MAX_BYTES, Robots, place
from sluice.sources.web.scope import Scope

MAX_REDIRECTS = 5
ATTEMPTS = 4
MAX_RETRY_AFTER_S = 60.0  # for longer waits, the next attempt of the task asks again
_REDIRECTS = (301, 302, 303, 307, 308)
_DRAINED_BYTES = 65_536
_BUSY = (429, 500, 502, 503, 504)


class Throttled(Unavailable):
    """The server asks for fewer requests. This is not an error of the document."""


@dataclass(frozen=True, slots=True)
class Answer:
    url: str  # after redirects
    status: int
    headers: Mapping[str, str]  # names in lower case
    content: bytes = field(default=b"", repr=False)  # decompressed; empty if not requested

    @property
    def mime(self) -> str:
        """Returns the MIME type in lower case, without parameters; empty where the server names none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def framed(self) -> bool:
        """Returns True if the server gave the length of the body, so that a broken connection was noticed."""
        return "content-length" in self.headers or "chunked" in self.headers.get("transfer-encoding", "").lower()


Wanted = Callable[[Answer], bool]
"""Decides by status and headers whether to read the body."""


class Fetcher:
    """Fetches for one source. Keeps connections open, and caches the robots.txt of each host."""

    def __init__(self, context: SourceContext, scope: Scope) -> None:
        web = context.web
        self._context, self._scope = context, scope
        self._network = GuardedNetwork(scope.trusts, web.resolve or resolve)
        self._pool = httpcore.ConnectionPool(
            ssl_context=web.ssl_context or _certificates(), network_backend=self._network, keepalive_expiry=5.0
        )
        self._pace = Pace(web.pace_folder)
        self._robots: dict[str, Robots] = {}
        self._left_s = context.fetch_timeout_s  # for the current document
        weakref.finalize(self, self._pool.close)

    def ask(self, method: str, url: str, *, max_bytes: int, wanted: Wanted = lambda head: True) -> Answer:
        """Returns the response after redirects and retries, whatever its status, except 429 and 5xx.

        Raises ExtractionError (bad_url, other_host, address, certificate, robots, redirects, too_large, slow, corrupt),
        Unavailable (network, 5xx) and Throttled (429).
        """
        self._left_s = self._context.fetch_timeout_s
        for _ in range(MAX_REDIRECTS + 1):
            self._scope.check(url)
            robots = self._robots_of(url)
            if not robots.allows(url):
                raise unreadable("robots")
            answer = self._persistently(method, url, robots, max_bytes, wanted)
            target = answer.headers.get("location")
            if answer.status not in _REDIRECTS or not target:
                return answer
            url = self._scope.upgraded(joined(url, target))
        raise unreadable("redirects")

    def _robots_of(self, url: str) -> Robots:
        """Raises Unavailable if robots.txt cannot be fetched: then nothing may be fetched (RFC 9309, 2.3.1.4)."""
        where = place(url)
        if where not in self._robots:
            self._robots[where] = Robots(self._rules(where))
        return self._robots[where]

    def _rules(self, url: str) -> str:
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._persistently("GET", url, Robots(""), -MAX_BYTES, lambda head: True)
            target = answer.headers.get("location")
            if answer.status not in _REDIRECTS or not target:
                return answer.content.decode("utf-8", "replace") if answer.status == 200 else ""
            try:
                url = self._scope.upgraded(joined(url, target))
                self._scope.check(url)
            except ExtractionError:
                break
        return ""

    def _persistently(self, method: str, url: str, robots: Robots, max_bytes: int, wanted: Wanted) -> Answer:
        """Subtracts the time of the request, without the wait for its turn, from the time left for the document."""
        host = urlsplit(url).hostname or ""
        self._pace.wait(host, robots.delay_s(self._context.web.delay_s))
        ends_s = self._network.deadline_s = time.monotonic() + self._left_s
        try:
            return self._with_retries(method, url, max_bytes, wanted, ends_s)
        finally:
            self._left_s = ends_s - time.monotonic()

    def _with_retries(self, method: str, url: str, max_bytes: int, wanted: Wanted, ends_s: float) -> Answer:
        web, host = self._context.web, urlsplit(url).hostname or ""
        for attempt in range(ATTEMPTS):
            pause_s = web.backoff_s * 2**attempt
            kind: type[Unavailable] = Unavailable
            try:
                answer = self._once(method, url, max_bytes, wanted)
            except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
                problem = type(error).__name__
            else:
                if answer.status not in _BUSY:
                    return answer
                problem = f"HTTP {answer.status}"
                kind = Throttled if answer.status == 429 else Unavailable
                requested_s = retry_after_s(answer.headers.get("retry-after", ""))
                pause_s = max(pause_s, requested_s)
                if requested_s > MAX_RETRY_AFTER_S:
                    raise kind(host, f"{problem}; the server asks to wait {requested_s:.0f} s. Nothing was deleted")
            if attempt + 1 == ATTEMPTS or time.monotonic() + pause_s >= ends_s:
                raise kind(host, f"{problem}, {attempt + 1} times. Nothing was deleted")
            time.sleep(pause_s)
        raise AssertionError("unreachable")

    def _once(self, method: str, url: str, max_bytes: int, wanted: Wanted) -> Answer:
        timeouts = {name: self._context.connect_timeout_s for name in ("connect", "pool")}
        timeouts |= {name: self._context.call_timeout_s for name in ("read", "write")}
        headers = [("User-Agent", f"{AGENT}/{__version__}"), ("Accept", "*/*")]
        headers.append(
            ("Accept-Encoding", "gzip" if max_bytes >= 0 else "identity")
        )  # truncated gzip cannot be decompressed
        try:
            with self._pool.stream(method, url, headers=headers, extensions={"timeout": timeouts}) as response:
                answer = Answer(url, response.status, _joined(response.headers))
                if method == "HEAD" or response.status != 200:
                    _drain(response)
                    return answer
                if not wanted(answer):
                    return answer  # does not wait for the rest: the connection is dropped
                content = self._body(response, answer, abs(max_bytes), cut=max_bytes < 0)
        except ForbiddenAddress as error:
            raise unreadable("address") from error
        except BadCertificate as error:
            raise unreadable("certificate") from error
        return replace(answer, content=_unpacked(content, answer, abs(max_bytes)))

    def _body(self, response: httpcore.Response, answer: Answer, max_bytes: int, *, cut: bool) -> bytes:
        """Reads the body. `cut`: ignores the bytes beyond the limit, instead of raising."""
        parts: list[bytes] = []
        remaining = max_bytes
        declared = answer.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > max_bytes and not cut:
            raise unreadable("too_large")
        for part in response.iter_stream():
            parts.append(part[:remaining])
            remaining -= len(part)
            if remaining < 0 and cut:
                break
            if remaining < 0:
                raise unreadable("too_large")
        return b"".join(parts)


def _drain(response: httpcore.Response) -> None:
    """Reads the rest of a small unwanted body, so that the connection can be used again."""
    remaining = _DRAINED_BYTES
    for part in response.iter_stream():
        remaining -= len(part)
        if remaining < 0:
            return


def _unpacked(content: bytes, answer: Answer, max_bytes: int) -> bytes:
    encoding = answer.headers.get("content-encoding", "").strip().lower()
    if encoding in ("gzip", "x-gzip"):
        return gunzip(content, max_bytes) if content else b""
    if encoding not in ("", "identity"):  # was not requested
        raise unreadable("corrupt")
    return content


def _joined(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    joined_headers: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        joined_headers[key] = f"{joined_headers[key]}, {text}" if key in joined_headers else text
    return joined_headers


def _certificates() -> ssl.SSLContext:
    """Returns the certificates of SSL_CERT_FILE, else certifi's."""
    if named := os.environ.get("SSL_CERT_FILE"):
        return ssl.create_default_context(cafile=named)
    return httpcore.default_ssl_context()
