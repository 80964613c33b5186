"""Canonical spelling of URLs, and the places that they name."""

from __future__ import annotations

import os
from functools import partial
from posixpath import normpath
from urllib.parse import quote

from sluice.sources.schemes import Scheme, place_below
from sluice.sources.uri import ascii_host, uri_parts

DEFAULT_PORTS = {"http": 80, "https": 443}
_UNESCAPED = "/%:@!$&'()*+,;=~"  # unescaped characters in a path (RFC 3986, 3.3), and existing escapes


def canonical_web(uri: str) -> str:
    """Returns the URL with the host in lower case and ASCII, without default port and fragment. An invalid URL stays as
    it is, and the reader rejects it."""
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
    query = f"?{quote(parts.query, safe=_UNESCAPED + '?')}" if parts.query else ""
    return f"{scheme}://{place}{quote(parts.path, safe=_UNESCAPED) or '/'}{query}"


def web_place(scheme: str, host: str, path: bytes) -> tuple[str, bytes]:
    """Returns the place: the host in ASCII, without the scheme's default port. The reader rejects an invalid host."""
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
