"""HTTP connections to Qdrant that outlive one call."""

from __future__ import annotations

import ssl
from functools import cache
from urllib.parse import urlsplit, urlunsplit

from sluice.adapters.importing import without

with without("httpx._main"):  # its command line, which draws with rich: two thirds of the time
    import httpx

__all__ = ["Transport", "httpx", "with_port"]

# Qdrant closes a connection that was idle for 5 s; a request that is sent at this moment is lost.
_IDLE_S = 2.0
_LOST = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class Transport(httpx.HTTPTransport):
    """Opening a connection has its own, shorter timeout, which Qdrant's client does not know. A request whose
    connection the server closed before it answered is sent once more: each call of the adapter may be repeated."""

    def __init__(self, url: str, connect_timeout_s: float) -> None:
        super().__init__(verify=_context(url.startswith("https:")), limits=httpx.Limits(keepalive_expiry=_IDLE_S))
        self._connect_timeout_s = connect_timeout_s

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["timeout"] = {**request.extensions.get("timeout", {}), "connect": self._connect_timeout_s}
        try:
            return super().handle_request(request)
        except _LOST:
            return super().handle_request(request)


def with_port(url: str) -> str:
    """Without a port in `url`, the one of Qdrant's REST: 6333, as its client has it."""
    parts = urlsplit(url.rstrip("/"))
    return urlunsplit(parts if parts.port else parts._replace(netloc=f"{parts.netloc.rstrip(':')}:6333"))


@cache
def _context(encrypted: bool) -> ssl.SSLContext:
    """Without encryption no authority is read, which takes a tenth of a second; none is trusted then."""
    return httpx.create_ssl_context() if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
