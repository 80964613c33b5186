"""Checks that a parser kept the words of a document, and adds missing ones from a plain reading of the same bytes.

A block (paragraph, cell, list item) counts as missing if a third of its words and word pairs are nowhere in the
parser's text. Only letters and digits are compared, so Markdown's own signs do not matter. Time is linear in both
texts, except for blocks that look missing: up to 300 of them are searched by their letters alone, because a parser may
join or split words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sluice.parsing.text import plain_letters

_WORD = re.compile(r"[^\W_]+")
_TARGET = re.compile(r"\]\([^()\[\]\s]*+\)")  # of a link: it separates words that are neighbours
_SIGNS = dict.fromkeys(map(ord, "*_~`\\"))
_SHARE = 1 / 3  # of a block; smaller differences are signs, numbers and hyphens that a parser writes differently
_MOST_LOOKED_FOR = 300
_MUCH = 0.3  # of the words of a document; the parser's result is then replaced instead of completed


@dataclass(frozen=True, slots=True)
class Completed:
    text: str
    words: int  # number of words in the added blocks


def completed(text: str, blocks: Sequence[str], *, is_whole: bool = False) -> Completed:
    """Returns `text` followed by the blocks that it lacks, in order; or only `blocks` if it lacks too many words.

    `is_whole`: the blocks are the whole document with headings and tables, so they may replace the text.
    """
    blocks = [plain for block in blocks if (plain := plain_letters(block))]
    lacking = _lacking(text, blocks)
    if not lacking:
        return Completed(text, 0)
    added = sum(len(_words(block)) for block in lacking)
    if is_whole and lacks_many_words(text, blocks):
        return Completed("\n\n".join(blocks) + "\n", added)
    return Completed("\n\n".join([*filter(None, [text.rstrip()]), *lacking]) + "\n", added)


def lacks_many_words(text: str, blocks: Sequence[str]) -> bool:
    """Returns True if `text` lacks a large share of the distinct words of `blocks`."""
    total = {word for block in blocks for word in _words(plain_letters(block))}
    return len(total.difference(_words(text))) > _MUCH * len(total)


def _lacking(text: str, blocks: Sequence[str]) -> list[str]:
    known = _features(_TARGET.sub("] ", text))
    missing: list[str] = []
    squashed: str | None = None
    for block in blocks:
        features = _features(block)
        absent = len(features - known)
        if not absent or absent < _SHARE * len(features):
            continue
        if len(missing) < _MOST_LOOKED_FOR:
            squashed = "".join(_words(text)) if squashed is None else squashed
            if "".join(_words(block)) in squashed:
                continue
        missing.append(block)
        known |= features
    return missing


def _features(text: str) -> set[str | tuple[str, str]]:
    words = _words(text)
    return {*words, *pairwise(words)}


def _words(text: str) -> list[str]:
    return _WORD.findall(text.translate(_SIGNS).casefold())
