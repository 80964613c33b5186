"""Places: where documents come from, without the way in which they are read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from posixpath import normpath
from urllib.parse import unquote_to_bytes

from sluice.sources.uri_parts import ascii_host, check_uri, uri_parts

_KINDS = {
    **dict.fromkeys(("file", "jsonl", "git+file"), "file"),
    **dict.fromkeys(("http", "https", "git+https"), "web"),
    "s3": "s3",
    "postgresql": "postgresql",
}


_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Place:
    """Where documents come from, without the way in which they are read."""

    kind: str  # file, web, s3, postgresql
    path: bytes  # with its bucket, host or connection; no slash at its end

    def holds(self, other: Place) -> bool:
        return self.kind == other.kind and (
            self.path in (b"", other.path) or other.path.startswith(self.path.rstrip(b"/") + b"/")
        )

    def overlaps(self, other: Place) -> bool:
        return self.holds(other) or other.holds(self)


def place_of(uri: str) -> Place | None:
    """None where the URI names nothing that rules are about, such as uploads. Raises BadRequest where it holds what
    cannot be stored."""
    check_uri(uri)
    scheme, separator, rest = uri.strip().partition("://")
    kind = _KINDS.get(scheme.lower())
    if not separator or kind is None:
        return None
    plain = rest.partition("#")[0].partition("?")[0]
    host, _, path = plain.partition("/")
    named = unquote_to_bytes(path)
    if kind == "file":
        return Place(kind, _real(b"/" + named))
    if kind == "web":
        named = os.fsencode(normpath("/" + os.fsdecode(named))).lstrip(b"/")
        host = _host(scheme.lower(), plain)
    if kind == "postgresql":  # as variables name connections: `my-crm`, `My_CRM` and `my.crm` are one
        host = "".join(each if each.isalnum() else "_" for each in host.lower())
    return Place(kind, b"/".join([os.fsencode(host), named]).rstrip(b"/"))


def _real(path: bytes) -> bytes:
    """Without links; one that cannot be a path stays, and is refused by its reader."""
    return path if b"\0" in path else os.path.realpath(path)


def _host(scheme: str, place: str) -> str:
    """In ASCII, as DNS has it; without the scheme's own port. One that is not understood is refused by its reader."""
    try:
        parts = uri_parts(f"{scheme}://{place}")
        host, port = ascii_host(parts.hostname or ""), parts.port
    except ValueError:
        return place.partition("/")[0]
    return host if port in (None, _PORTS.get(scheme.removeprefix("git+"))) else f"{host}:{port}"
