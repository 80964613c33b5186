"""Asking web servers: guarded (see `address` and `scope`), polite (`robots`, `pace`), bounded in bytes and seconds.

Redirects are followed by hand, each hop judged like a URL of its own. Nothing is sent but the request: no cookies, no
logins. Proxies of the environment are not used: what they connect to could not be judged.
"""

from __future__ import annotations

import email.utils
import os
import ssl
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpcore

from sluice import __version__
from sluice.compression import gunzip
from sluice.errors import ExtractionError, Unavailable
from sluice.model.reasons import unreadable
from sluice.sources.context import SourceContext
from sluice.sources.web.address import BadCertificate, ForbiddenAddress, GuardedNetwork, joined, resolve
from sluice.sources.web.pace import Pace
from sluice.sources.web.robots import AGENT, MAX_BYTES, Robots, place
from sluice.sources.web.scope import Scope

MAX_REDIRECTS = 5
ATTEMPTS = 4
MAX_RETRY_AFTER_S = 60.0  # a server that asks for more is asked again by the next try of the task
_REDIRECTS = (301, 302, 303, 307, 308)
_DRAINED_BYTES = 65_536
_BUSY = (429, 500, 502, 503, 504)


class Throttled(Unavailable):
    """The server asks for fewer requests: no document's fault."""


@dataclass(frozen=True, slots=True)
class Answer:
    url: str  # after redirects
    status: int
    headers: Mapping[str, str]  # names in lower case
    content: bytes = field(default=b"", repr=False)  # unpacked; empty where it was not asked for

    @property
    def mime(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def framed(self) -> bool:
        """The server said where the body ends, so that a connection that broke off was noticed."""
        return "content-length" in self.headers or "chunked" in self.headers.get("transfer-encoding", "").lower()


Wanted = Callable[[Answer], bool]
"""Judges by status and headers whether the body is worth its bytes."""


class Fetcher:
    """For one source; keeps connections, and the robots.txt of each host."""

    def __init__(self, reach: SourceContext, scope: Scope) -> None:
        web = reach.web
        self._reach, self._scope = reach, scope
        self._network = GuardedNetwork(scope.trusts, web.resolve or resolve)
        self._pool = httpcore.ConnectionPool(
            ssl_context=web.ssl_context or _certificates(), network_backend=self._network, keepalive_expiry=5.0
        )
        self._pace = Pace(web.pace_folder)
        self._robots: dict[str, Robots] = {}
        self._left_s = reach.fetch_timeout_s  # for the document that is being fetched
        weakref.finalize(self, self._pool.close)

    def ask(self, method: str, url: str, *, max_bytes: int, wanted: Wanted = lambda head: True) -> Answer:
        """The answer after redirects and retries, whatever its status says, but for those that say "not now".

        Raises Unreadable (bad_url, other_host, address, certificate, robots, redirects, too_large, slow, corrupt),
        Unavailable (network, 5xx) and Throttled (429)."""
        self._left_s = self._reach.fetch_timeout_s
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
        """Raises Unavailable where the rules cannot be had: then nothing may be fetched (RFC 9309, 2.3.1.4)."""
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
        """The time it takes, waiting for a turn apart, is taken from what is left for the document."""
        host = urlsplit(url).hostname or ""
        self._pace.wait(host, robots.delay_s(self._reach.web.delay_s))
        ends_s = self._network.deadline_s = time.monotonic() + self._left_s
        try:
            return self._with_retries(method, url, max_bytes, wanted, ends_s)
        finally:
            self._left_s = ends_s - time.monotonic()

    def _with_retries(self, method: str, url: str, max_bytes: int, wanted: Wanted, ends_s: float) -> Answer:
        web, host = self._reach.web, urlsplit(url).hostname or ""
        for attempt in range(ATTEMPTS):
            pause_s = web.backoff_s * 2**attempt
            kind: type[Unavailable] = Unavailable
            try:
                answer = self._once(method, url, max_bytes, wanted)
            except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
                said = type(error).__name__
            else:
                if answer.status not in _BUSY:
                    return answer
                said = f"HTTP {answer.status}"
                kind = Throttled if answer.status == 429 else Unavailable
                asked_s = _retry_after_s(answer)
                pause_s = max(pause_s, asked_s)
                if asked_s > MAX_RETRY_AFTER_S:
                    raise kind(host, f"{said}; it asks to wait {asked_s:.0f} s. Nothing was deleted")
            if attempt + 1 == ATTEMPTS or time.monotonic() + pause_s >= ends_s:
                raise kind(host, f"{said}, {attempt + 1} times. Nothing was deleted")
            time.sleep(pause_s)
        raise AssertionError("unreachable")

    def _once(self, method: str, url: str, max_bytes: int, wanted: Wanted) -> Answer:
        timeouts = {name: self._reach.connect_timeout_s for name in ("connect", "pool")}
        timeouts |= {name: self._reach.call_timeout_s for name in ("read", "write")}
        headers = [("User-Agent", f"{AGENT}/{__version__}"), ("Accept", "*/*")]
        headers.append(("Accept-Encoding", "gzip" if max_bytes >= 0 else "identity"))  # what is cut cannot be unpacked
        try:
            with self._pool.stream(method, url, headers=headers, extensions={"timeout": timeouts}) as response:
                answer = Answer(url, response.status, _joined(response.headers))
                if method == "HEAD" or response.status != 200:
                    _drain(response)
                    return answer
                if not wanted(answer):
                    return answer  # what is still to come is not waited for: the connection is given up
                content = self._body(response, answer, abs(max_bytes), cut=max_bytes < 0)
        except ForbiddenAddress as error:
            raise unreadable("address") from error
        except BadCertificate as error:
            raise unreadable("certificate") from error
        return replace(answer, content=_unpacked(content, answer, abs(max_bytes)))

    def _body(self, response: httpcore.Response, answer: Answer, max_bytes: int, *, cut: bool) -> bytes:
        """`cut`: what is beyond the limit is left, instead of refused."""
        parts: list[bytes] = []
        left = max_bytes
        declared = answer.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > max_bytes and not cut:
            raise unreadable("too_large")
        for part in response.iter_stream():
            parts.append(part[:left])
            left -= len(part)
            if left < 0 and cut:
                break
            if left < 0:
                raise unreadable("too_large")
        return b"".join(parts)


def _drain(response: httpcore.Response) -> None:
    """A body that nobody reads is taken away, if it is small, so that the connection can be used again."""
    left = _DRAINED_BYTES
    for part in response.iter_stream():
        left -= len(part)
        if left < 0:
            return


def _unpacked(content: bytes, answer: Answer, max_bytes: int) -> bytes:
    encoding = answer.headers.get("content-encoding", "").strip().lower()
    if encoding in ("gzip", "x-gzip"):
        return gunzip(content, max_bytes) if content else b""
    if encoding not in ("", "identity"):  # nobody asked for it
        raise unreadable("corrupt")
    return content


def _joined(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _retry_after_s(answer: Answer) -> float:
    value = answer.headers.get("retry-after", "").strip()
    if value.isdecimal():  # "²" is a digit, and no number
        return float(value)
    moment = http_date(value)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds()) if moment else 0.0


def http_date(value: str) -> datetime | None:
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _certificates() -> ssl.SSLContext:
    """Those that SSL_CERT_FILE names, else certifi's."""
    if named := os.environ.get("SSL_CERT_FILE"):
        return ssl.create_default_context(cafile=named)
    return httpcore.default_ssl_context()
