"""Finds all places that a source reads, including the places where a git repository keeps parts of itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes

from sluice.access.places import Place, is_whole, place_of
from sluice.access.policy import would_expose
from sluice.errors import BadRequest
from sluice.model.source import SavedSource, SourceSpec
from sluice.sources.git.confined import places_read


def all_places(uri: str, roots: Sequence[Path]) -> Iterator[Place]:
    """Yields the source's own place first; nothing if no rules apply to it. Raises BadRequest if its reader would."""
    if (own := place_of(uri)) is not None:
        yield own
        yield from (Place("file", path) for path in sorted(places_read(uri, roots)))


def known_places(uri: str, roots: Sequence[Path]) -> list[Place]:
    """Returns the places of a saved source. If its reader rejects the source now, only its own place counts."""
    try:
        return list(all_places(uri, roots))
    except BadRequest:
        return [own] if (own := place_of(uri)) else []


def borrowable(
    spec: SourceSpec, saved_sources: Callable[[str], Sequence[SavedSource]], roots: Sequence[Path]
) -> Callable[[str], bool] | None:
    """Returns a check, by URI, of the files that a repository may read.

    Allowed are files in its own folder, and others in places that the tenant has not saved for other groups. None: all
    files, or the source is not a repository in a folder. The repository's own folder is the one in its URI, not the
    target of a link there, because a link can change. Call the check for each file that is opened, in every run:
    alternates and links may have changed since the run was allowed.
    """
    place = place_of(spec.uri) if is_whole(spec.uri) else None
    if place is None or place.kind != "file":
        return None
    restricted = [
        other
        for saved in saved_sources(spec.tenant)
        if (saved.spec.uri, saved.spec.collection) != (spec.uri, spec.collection) and would_expose(saved.spec, spec)
        for other in known_places(saved.spec.uri, roots)
    ]
    own = Place("file", os.path.normpath(b"/" + unquote_to_bytes(spec.uri.partition("://")[2].partition("?")[0])))

    def admits(uri: str) -> bool:
        file = place_of(uri)
        return file is None or own.holds(file) or not any(other.holds(file) for other in restricted)

    return admits if restricted else None
