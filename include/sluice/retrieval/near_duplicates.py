"""Near-duplicates among the passages of a result: the same page under two paths, boilerplate of many pages.

Two passages are near-duplicates if at least `SIMILAR` of all their shingles (sequences of three words; Broder 1997, "On
the resemblance and containment of documents") belong to both, and their numbers are the same: tables and releases that
differ in one number are different facts. The similarity is computed exactly, from title, headings and text, because a
short text may say something else under another title.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import fields, replace
from functools import cached_property

from sluice.model.passage import Duplicate, Passage

SIMILAR = 0.8  # Jaccard similarity
_SHINGLE_WORDS = 3
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# A word; one character in scripts that are written without spaces.
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")

_NUMBER = re.compile(r"\d+")


def distinct(passages: Iterable[Passage], most: int) -> list[Passage]:
    """Returns the first `most` passages that are no near-duplicate of an earlier one. `duplicates` of a passage names
    those that were left out for it, as far as `passages` was read. Chunks of one document that overlap are not
    near-duplicates."""
    kept: list[Passage] = []
    # With other numbers, no passage is a near-duplicate, so the shingles of most passages are never needed.
    by_numbers: dict[tuple[str, ...], list[_Kept]] = {}
    for passage in passages:
        own = _Kept(len(kept), passage)
        others = by_numbers.setdefault(tuple(_NUMBER.findall(own.text)), [])
        first = next(
            (each.place for each in others if own.resembles(each) and not _overlap(passage, each.passage)), None
        )
        if first is not None:
            kept[first] = replace(kept[first], duplicates=(*kept[first].duplicates, _named(passage)))
            continue
        others.append(own)
        kept.append(passage)
        if len(kept) == most:
            break
    return kept


class _Kept:
    """A passage, its place in the result, and its shingles, which are computed when they are needed."""

    def __init__(self, place: int, passage: Passage) -> None:
        self.place, self.passage = place, passage
        self.text = "\n".join((passage.title, *passage.headings, passage.text))

    @cached_property
    def shingles(self) -> frozenset[tuple[str, ...]]:
        return _shingles(self.text)

    def resembles(self, other: _Kept) -> bool:
        one, two = self.shingles, other.shingles
        if min(len(one), len(two)) < SIMILAR * max(len(one), len(two)):
            return False
        shared = len(one & two)
        return 0 < shared >= SIMILAR * (len(one) + len(two) - shared)


def _named(passage: Passage) -> Duplicate:
    return Duplicate(**{each.name: getattr(passage, each.name) for each in fields(Duplicate)})


def _overlap(one: Passage, other: Passage) -> bool:
    return one.document_id == other.document_id and one.start < other.end and other.start < one.end


def _shingles(text: str) -> frozenset[tuple[str, ...]]:
    words = _WORD.findall(text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold())
    words = words or text.split()  # without any word: signs, emoji
    return frozenset(zip(*(words[offset:] for offset in range(min(_SHINGLE_WORDS, len(words)))), strict=False))
