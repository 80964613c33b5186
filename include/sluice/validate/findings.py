"""Where something lies in a document that should not be shown, and the text with placeholders in its place."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, NamedTuple

from sluice.model import Document

_PLACES_TOLD = 50


class Span(NamedTuple):
    """`text[start:end]` is of that kind. It never holds the text itself."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class Findings:
    text: tuple[Span, ...] = ()
    title: tuple[Span, ...] = ()
    metadata: tuple[tuple[str, Span], ...] = ()  # by key of the metadata

    @property
    def count(self) -> int:
        return len(self.text) + len(self.title) + len(self.metadata)

    def told(self) -> dict[str, Any]:
        """Kinds, counts and places, for the ledger."""
        spans = [("text", span) for span in self.text] + [("title", span) for span in self.title]
        kinds = Counter(span.kind for _, span in [*spans, *(("metadata", span) for _, span in self.metadata)])
        return {
            "count": self.count,
            "kinds": dict(sorted(kinds.items())),
            "at": [[place, span.kind, span.start, span.end] for place, span in spans[:_PLACES_TOLD]],
        }


def apart(spans: Iterable[Span]) -> tuple[Span, ...]:
    """In order and without overlaps: of two that overlap the longer one stays, of equals the first given."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda each: each.start - each.end):
        if all(span.end <= other.start or span.start >= other.end for other in kept):
            kept.append(span)
    return tuple(sorted(kept))


def masked(document: Document, found: Sequence[Findings]) -> Document:
    """The document with `[KIND]` in place of what was found; pages begin where they began."""
    spans = apart(span for each in found for span in each.text)
    starts = [span.start for span in spans]
    grown = [0, *accumulate(len(span.kind) + 2 - (span.end - span.start) for span in spans)]

    def moved(position: int) -> int:
        before = bisect_right(starts, position)
        if before and spans[before - 1].end > position:  # inside what was replaced: where the placeholder begins
            return spans[before - 1].start + grown[before - 1]
        return position + grown[before]

    metadata = dict(document.metadata)
    for key in {key for each in found for key, _ in each.metadata}:
        within = apart(span for each in found for named, span in each.metadata if named == key)
        metadata[key] = replaced(str(metadata[key]), within)
    return replace(
        document,
        text=replaced(document.text, spans),
        title=replaced(document.title, apart(span for each in found for span in each.title)),
        metadata=metadata,
        page_starts=tuple(moved(start) for start in document.page_starts),
    )


def replaced(text: str, spans: Sequence[Span]) -> str:
    """`spans` in order and apart."""
    parts: list[str] = []
    position = 0
    for span in spans:
        parts += [text[position : span.start], f"[{span.kind}]"]
        position = span.end
    return "".join([*parts, text[position:]])


def strings(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What of the metadata can be read as text; a list or object is looked at (and masked) as a whole."""
    return [
        (key, value if isinstance(value, str) else str(value))
        for key, value in metadata.items()
        if value and isinstance(value, str | list | tuple | dict)
    ]
