"""All places that a source reads, where a repository keeps a part of itself elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sluice.access import Place, place_of
from sluice.errors import BadRequest
from sluice.extract.git.confined import places_read


def places(uri: str, roots: Sequence[Path]) -> Iterator[Place]:
    """Its own first. Nothing where rules are about no such place. Raises BadRequest where its reader would."""
    if (own := place_of(uri)) is not None:
        yield own
        yield from (Place("file", path) for path in sorted(places_read(uri, roots)))


def known_places(uri: str, roots: Sequence[Path]) -> list[Place]:
    """Of a saved source: one that its reader refuses now reads nothing beside its own place."""
    try:
        return list(places(uri, roots))
    except BadRequest:
        return [own] if (own := place_of(uri)) else []
