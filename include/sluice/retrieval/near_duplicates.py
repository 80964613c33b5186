"""Near-duplicates among the passages of a result: the same page under two paths, boilerplate of many pages.

Two passages are near-duplicates if at least `SIMILAR` of all their shingles (sequences of three words; Broder 1997, "On
the resemblance and containment of documents") belong to both, and their numbers are the same: tables and releases that
differ in one number are different facts. The similarity is computed exactly, from title, headings and text, because a
short text may say something else under another title.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields, replace

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
    shingles_of: list[frozenset[object]] = []
    by_shingle: dict[object, list[int]] = {}
    for passage in passages:
        shingles = _shingles(passage)
        shared = Counter(place for each in shingles for place in by_shingle.get(each, ()))
        same = [
            place
            for place, count in shared.items()
            if count >= SIMILAR * (len(shingles) + len(shingles_of[place]) - count)
            and not _overlap(passage, kept[place])
        ]
        if same:
            first = min(same)
            kept[first] = replace(kept[first], duplicates=(*kept[first].duplicates, _named(passage)))
            continue
        for each in shingles:
            by_shingle.setdefault(each, []).append(len(kept))
        kept.append(passage)
        shingles_of.append(shingles)
        if len(kept) == most:
            break
    return kept


def _named(passage: Passage) -> Duplicate:
    return Duplicate(**{each.name: getattr(passage, each.name) for each in fields(Duplicate)})


def _overlap(one: Passage, other: Passage) -> bool:
    return one.document_id == other.document_id and one.start < other.end and other.start < one.end


def _shingles(passage: Passage) -> frozenset[object]:
    """Returns the shingles of title, headings and text, each with the passage's numbers: with other numbers, none is
    the same."""
    text = "\n".join((passage.title, *passage.headings, passage.text))
    words = _WORD.findall(text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold())
    words = words or text.split()  # without any word: signs, emoji
    numbers = hash(tuple(_NUMBER.findall(text)))
    runs = zip(*(words[offset:] for offset in range(min(_SHINGLE_WORDS, len(words)))), strict=False)
    return frozenset((numbers, *run) for run in runs)
