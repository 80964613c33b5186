"""All places that a source reads, where a repository keeps a part of itself elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes

from sluice.access.grants import is_kept_from
from sluice.access.places import Place, is_whole, place_of
from sluice.errors import BadRequest
from sluice.model.source import SavedSource, SourceSpec
from sluice.sources.git.confined import places_read


def all_places(uri: str, roots: Sequence[Path]) -> Iterator[Place]:
    """Its own first. Nothing where rules are about no such place. Raises BadRequest where its reader would."""
    if (own := place_of(uri)) is not None:
        yield own
        yield from (Place("file", path) for path in sorted(places_read(uri, roots)))


def known_places(uri: str, roots: Sequence[Path]) -> list[Place]:
    """Of a saved source: one that its reader refuses now reads nothing beside its own place."""
    try:
        return list(all_places(uri, roots))
    except BadRequest:
        return [own] if (own := place_of(uri)) else []


def borrowable(
    spec: SourceSpec, saved_sources: Callable[[str], Sequence[SavedSource]], roots: Sequence[Path]
) -> Callable[[str], bool] | None:
    """Which files a repository may read, by their URIs: those of its own folder, and others that lie in no place that
    the tenant has saved for other groups. None: all, or it is no repository in a folder. Its own folder is the one that
    its URI names, not the one to which a link there leads: such a link may be another by now. This is asked of each
    file that is opened, in every run: alternates and links may have changed since the run was permitted."""
    place = place_of(spec.uri) if is_whole(spec.uri) else None
    if place is None or place.kind != "file":
        return None
    kept = [
        found
        for each in saved_sources(spec.tenant)
        if (each.spec.uri, each.spec.collection) != (spec.uri, spec.collection) and is_kept_from(each.spec, spec)
        for found in known_places(each.spec.uri, roots)
    ]
    own = Place("file", os.path.normpath(b"/" + unquote_to_bytes(spec.uri.partition("://")[2].partition("?")[0])))

    def admits(uri: str) -> bool:
        found = place_of(uri)
        return found is None or own.holds(found) or not any(each.holds(found) for each in kept)

    return admits if kept else None
