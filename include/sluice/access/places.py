"""Places: where documents come from, without the way in which they are read."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from sluice.sources.uri import check_uri, scheme_of


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
    scheme = scheme_of(uri)
    if scheme is None or scheme.place is None:
        return None
    rest = uri.strip().partition("://")[2]
    host, _, path = rest.partition("#")[0].partition("?")[0].partition("/")
    return Place(*scheme.place(host, unquote_to_bytes(path)))


def is_whole(uri: str) -> bool:
    """What is read of the source holds every file, so nothing can be left out."""
    scheme = scheme_of(uri)
    return scheme is not None and scheme.whole
