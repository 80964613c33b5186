"""HTTP connections to Qdrant that several calls reuse."""

from __future__ import annotations

import ssl
from functools import cache
from urllib.parse import urlsplit, urlunsplit

from sluice.adapters.importing import without

with without("httpx._main"):  # its command line, which imports rich: two thirds of the import time
    import httpx

__all__ = ["Transport", "httpx", "with_port"]

# Qdrant closes a connection that was idle for 5 s; a request sent at that moment is lost.
_IDLE_S = 2.0
_LOST = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class Transport(httpx.HTTPTransport):
    """HTTP transport with a shorter timeout for opening a connection, which Qdrant's client does not offer. A request
    is sent once more if the server closed the connection before it answered: all calls of the adapter are
    idempotent."""

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
    """Returns `url` with Qdrant's REST port 6333 if it has no port, as Qdrant's client does."""
    parts = urlsplit(url.rstrip("/"))
    return urlunsplit(parts if parts.port else parts._replace(netloc=f"{parts.netloc.rstrip(':')}:6333"))


@cache
def _context(encrypted: bool) -> ssl.SSLContext:
    """Returns a TLS context. Without encryption it trusts no CA and does not load them, which takes a tenth of a
    second."""
    return httpx.create_ssl_context() if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
