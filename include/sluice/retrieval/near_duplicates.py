"""Near-duplicates among the passages of a result: the same page under two paths, boilerplate of many pages.

Two passages are near-duplicates if at least `SIMILAR` of all their shingles (sequences of three words; Broder 1997, "On
the resemblance and containment of documents") belong to both, and their numbers are the same: tables and releases that
differ in one number are different facts. The similarity is computed exactly, from title, headings and text, because a
short text may say something else under another title.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from math import ceil

from sluice.model.passage import Duplicate, Passage

SIMILAR = 0.8  # Jaccard similarity
_SHINGLE_WORDS = 3
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# A word; one character in scripts that are written without spaces.
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Shingles:
    """Hashes of the sequences of words of a text. Two texts are only near-duplicates if they share one of the `first`,
    the lowest ones (prefix filtering; Bayardo, Ma & Srikant 2007, "Scaling Up All Pairs Similarity Search")."""

    all: frozenset[int]
    first: tuple[int, ...]

    def resemble(self, other: Shingles) -> bool:
        shared = len(self.all & other.all)
        return 0 < shared >= SIMILAR * (len(self.all) + len(other.all) - shared)


def shingles(text: str) -> Shingles:
    """Returns the shingles of a text."""
    words = _WORD.findall(text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold())
    words = words or text.split()  # without any word: signs, emoji
    sequences = zip(*(words[offset:] for offset in range(min(_SHINGLE_WORDS, len(words)))), strict=False)
    found = frozenset(map(hash, sequences))
    fewest_shared = ceil(SIMILAR * len(found) - 1e-9)
    return Shingles(found, tuple(sorted(found)[: len(found) - fewest_shared + 1]))


def distinct(
    passages: Iterable[Passage], most: int, shingles_of: Callable[[str], Shingles] = shingles
) -> list[Passage]:
    """Returns the first `most` passages that are no near-duplicate of an earlier one. `duplicates` of a passage names
    those that were left out for it, as far as `passages` was read. Chunks of one document that overlap are not
    near-duplicates. `shingles_of`: the function `shingles`, or one that remembers its results."""
    kept: list[Passage] = []
    # With other numbers, no passage is a near-duplicate, so the shingles of most passages are never needed.
    by_numbers: dict[tuple[str, ...], _Group] = {}
    for passage in passages:
        text = "\n".join((passage.title, *passage.headings, passage.text))
        group = by_numbers.setdefault(tuple(_NUMBER.findall(text)), _Group(shingles_of))
        first = group.first_like(text, passage)
        if first is not None:
            kept[first] = replace(kept[first], duplicates=(*kept[first].duplicates, _named(passage)))
            continue
        group.add(text, passage, len(kept))
        kept.append(passage)
        if len(kept) == most:
            break
    return kept


class _Group:
    """Passages with the same numbers, and their places in the result; found by their shingles."""

    def __init__(self, shingles_of: Callable[[str], Shingles]) -> None:
        self._shingles_of = shingles_of
        self._members: list[tuple[str, Passage, int]] = []
        self._shingles: list[Shingles] = []  # of the members that are in `_having`
        self._having: dict[int, list[int]] = {}

    def add(self, text: str, passage: Passage, place: int) -> None:
        self._members.append((text, passage, place))

    def first_like(self, text: str, passage: Passage) -> int | None:
        """Returns the place of the first member that the passage is a near-duplicate of."""
        if not self._members:
            return None
        for number in range(len(self._shingles), len(self._members)):
            self._shingles.append(self._shingles_of(self._members[number][0]))
            for each in self._shingles[number].first:
                self._having.setdefault(each, []).append(number)
        own = self._shingles_of(text)
        for number in sorted({number for each in own.first for number in self._having.get(each, ())}):
            _, other, place = self._members[number]
            if own.resemble(self._shingles[number]) and not _overlap(passage, other):
                return place
        return None


def _named(passage: Passage) -> Duplicate:
    return Duplicate(**{each.name: getattr(passage, each.name) for each in fields(Duplicate)})


def _overlap(one: Passage, other: Passage) -> bool:
    return one.document_id == other.document_id and one.start < other.end and other.start < one.end
