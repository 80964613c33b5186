"""Places of documents, independent of the scheme that reads them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from sluice.sources.schemes import scheme_of
from sluice.sources.uri import check_uri


@dataclass(frozen=True, slots=True)
class Place:
    """A place of documents, independent of the scheme that reads it."""

    kind: str  # file, web, s3, postgresql
    path: bytes  # begins with the bucket, host or connection; no slash at the end

    def holds(self, other: Place) -> bool:
        """Returns whether `other` is this place or lies below it. A place with an empty path holds all places of its
        kind."""
        return self.kind == other.kind and (
            self.path in (b"", other.path) or other.path.startswith(self.path.rstrip(b"/") + b"/")
        )

    def overlaps(self, other: Place) -> bool:
        """Returns whether one of the two places holds the other."""
        return self.holds(other) or other.holds(self)


def place_of(uri: str) -> Place | None:
    """Returns the place that a URI names, or None if no rules apply to it (such as uploads).

    Raises BadRequest if the URI holds characters that cannot be stored.
    """
    check_uri(uri)
    scheme = scheme_of(uri)
    if scheme is None or scheme.place is None:
        return None
    rest = uri.strip().partition("://")[2]
    host, _, path = rest.partition("#")[0].partition("?")[0].partition("/")
    return Place(*scheme.place(host, unquote_to_bytes(path)))


def is_whole(uri: str) -> bool:
    """Returns True if the source is always read as a whole, so that no file can be left out."""
    scheme = scheme_of(uri)
    return scheme is not None and scheme.whole
