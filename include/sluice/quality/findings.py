"""Findings of detectors in a document, and the redacted text with placeholders in their place."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, NamedTuple

from sluice.model.document import Document

_PLACES_TOLD = 50


Path = tuple[str | int, ...]  # keys and indexes that lead to a string of the metadata


class Span(NamedTuple):
    """Place and kind of one finding: `text[start:end]`. It never contains the text itself."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class Findings:
    """Places of findings in one document; a finding in the metadata has the path of its value."""

    text: tuple[Span, ...] = ()
    title: tuple[Span, ...] = ()
    metadata: tuple[tuple[Path, Span], ...] = ()

    @property
    def count(self) -> int:
        return len(self.text) + len(self.title) + len(self.metadata)

    def to_json(self) -> dict[str, Any]:
        """Returns kinds, counts and places for the ledger; never text."""
        spans = [("text", span) for span in self.text] + [("title", span) for span in self.title]
        kinds = Counter(span.kind for _, span in [*spans, *(("metadata", span) for _, span in self.metadata)])
        return {
            "count": self.count,
            "kinds": dict(sorted(kinds.items())),
            "at": [[place, span.kind, span.start, span.end] for place, span in spans[:_PLACES_TOLD]],
        }


def apart(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Returns the spans in order, without overlaps. Overlapping spans become one, of the kind of the longer, so that
    masking removes both completely."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.start < merged[-1].end:
            last = merged[-1]
            kind = last.kind if last.end - last.start >= span.end - span.start else span.kind
            merged[-1] = Span(last.start, max(last.end, span.end), kind)
        else:
            merged.append(span)
    return tuple(merged)


def windows(text: str, chars: int, overlap: int) -> Iterator[tuple[int, str]]:
    """Yields (start, piece) of overlapping pieces, so that a pattern of quadratic time never gets a long text. A match
    of at most `overlap` characters is complete in one piece."""
    start = 0
    while len(text) - start > chars:
        yield start, text[start : start + chars]
        cut = start + chars - overlap
        blank = text.rfind(" ", start + 1, cut)  # not within a word or number, if possible
        start = blank + 1 if blank >= max(start, cut - overlap) else cut
    yield start, text[start:]


def masked(document: Document, findings: Sequence[Findings]) -> Document:
    """Returns the document with `[KIND]` in place of each finding; page starts are adjusted."""
    spans = apart(span for each in findings for span in each.text)
    starts = [span.start for span in spans]
    grown = [0, *accumulate(len(span.kind) + 2 - (span.end - span.start) for span in spans)]

    def shifted(position: int) -> int:
        before = bisect_right(starts, position)
        if before and spans[before - 1].end > position:  # inside a replaced span: the start of the placeholder
            return spans[before - 1].start + grown[before - 1]
        return position + grown[before]

    within: dict[Path, list[Span]] = defaultdict(list)
    for each in findings:
        for path, span in each.metadata:
            within[path].append(span)
    return replace(
        document,
        text=replaced(document.text, spans),
        title=replaced(document.title, apart(span for each in findings for span in each.title)),
        metadata=_rewritten(document.metadata, {path: apart(own) for path, own in within.items()}),
        page_starts=tuple(shifted(start) for start in document.page_starts),
    )


def replaced(text: str, spans: Sequence[Span]) -> str:
    """Replaces each span by its placeholder. `spans`: in order, without overlaps."""
    parts: list[str] = []
    position = 0
    for span in spans:
        parts += [text[position : span.start], f"[{span.kind}]"]
        position = span.end
    return "".join([*parts, text[position:]])


def strings(value: Any, path: Path = ()) -> list[tuple[Path, str]]:
    """Returns every string of a metadata object with its path."""
    if isinstance(value, str):
        return [(path, value)] if value else []
    if isinstance(value, Mapping):
        return [each for key, part in value.items() for each in strings(part, (*path, key))]
    if isinstance(value, list | tuple):
        return [each for number, part in enumerate(value) for each in strings(part, (*path, number))]
    return []


def _rewritten(value: Any, within: Mapping[Path, Sequence[Span]], path: Path = ()) -> Any:
    if isinstance(value, str):
        return replaced(value, within.get(path, ()))
    if isinstance(value, Mapping):
        return {key: _rewritten(part, within, (*path, key)) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rewritten(part, within, (*path, number)) for number, part in enumerate(value)]
    return value
