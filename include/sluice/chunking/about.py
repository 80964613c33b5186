"""Names that say what a document is about: its title and headings."""

from __future__ import annotations

import re
from bisect import bisect_left

from sluice.chunking.headings import headings_of
from sluice.model.chunk import ChunkedDocument

_BRACKETS = re.compile(r"[(\[][^()\[\]]*[)\]]$")  # Mercury (planet)
_NUMBER = re.compile(r"^(?:\d+(?:\.\d+)+|\d+[.)])\s+")  # 2.1 Installation
_FEWEST_CHARS = 2


def about(chunked: ChunkedDocument) -> list[list[str]]:
    """Returns for each chunk, in order, the headings that begin in it; for the first chunk also the document's title.
    A name is listed only for the first chunk that has it, without a number before it or brackets at its end."""
    names: list[list[str]] = [[] for _ in chunked.chunks]
    seen: set[str] = set()
    for position, line in _lines(chunked):
        name = _NUMBER.sub("", _BRACKETS.sub("", line.strip())).strip()
        if len(name) >= _FEWEST_CHARS and any(map(str.isalpha, name)) and name.casefold() not in seen:
            seen.add(name.casefold())
            names[position].append(name)
    return names


def _lines(chunked: ChunkedDocument) -> list[tuple[int, str]]:
    """Returns (position of the chunk, title or heading)."""
    if not chunked.chunks:
        return []
    starts = [chunk.start for chunk in chunked.chunks]
    headings = headings_of(chunked.document).headings
    # Compared with the chunk's end, not its start: a chunk omits the spaces that a heading may begin with.
    below = [(max(0, bisect_left(starts, heading.end) - 1), heading.path[-1]) for heading in headings]
    return [(0, chunked.document.title), *below]
