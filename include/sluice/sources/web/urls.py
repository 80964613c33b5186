"""URLs: one spelling of each, and the place that it names."""

from __future__ import annotations

import os
from functools import partial
from posixpath import normpath
from urllib.parse import quote

from sluice.sources.uri import Scheme, ascii_host, place_below, uri_parts

DEFAULT_PORTS = {"http": 80, "https": 443}
_KEPT = "/%:@!$&'()*+,;=~"  # what a path may hold as it is (RFC 3986, 3.3), and escapes that are there already


def canonical_web(uri: str) -> str:
    """Host in lower case and ASCII, no default port, no fragment. What cannot be understood stays as it is, and is
    refused by the reader."""
    try:
        parts = uri_parts(uri)
        host, port = ascii_host(parts.hostname or ""), parts.port
    except ValueError:
        return uri
    if not host or "@" in parts.netloc:
        return uri
    scheme = parts.scheme.lower()
    place = f"[{host}]" if ":" in host else host
    if port and port != DEFAULT_PORTS.get(scheme):
        place += f":{port}"
    query = f"?{quote(parts.query, safe=_KEPT + '?')}" if parts.query else ""
    return f"{scheme}://{place}{quote(parts.path, safe=_KEPT) or '/'}{query}"


def web_place(scheme: str, host: str, path: bytes) -> tuple[str, bytes]:
    """The host in ASCII, as DNS has it, without the scheme's own port. One that is not understood is refused by its
    reader."""
    try:
        parts = uri_parts(f"{scheme}://{host}")
        name, port = ascii_host(parts.hostname or ""), parts.port
        host = name if port in (None, DEFAULT_PORTS[scheme]) else f"{name}:{port}"
    except ValueError:
        pass
    named = os.fsencode(normpath("/" + os.fsdecode(path))).lstrip(b"/")
    return place_below("web", host, named)


def _scheme(name: str, example: str = "") -> Scheme:
    return Scheme(
        reader="web.reader:WebReader",
        example=example,
        canonical=lambda uri: canonical_web(uri.strip()),
        place=partial(web_place, name),
    )


HTTPS, HTTP = _scheme("https", "https://host/page-or-list"), _scheme("http")
