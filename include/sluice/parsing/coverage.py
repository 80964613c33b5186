"""Whether a parser kept the words of a document: its text against a plain reading of the same bytes.

A block (paragraph, cell, list item) counts as missing where a third of its words and pairs of words stand nowhere in
the parser's text. Letters and digits are compared, never signs, so that Markdown's own do not matter. Linear in both
texts, but for blocks that look missing: a few hundred are looked for by their letters, since a parser may join or part
words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sluice.parsing.text import plain_letters

_WORD = re.compile(r"[^\W_]+")
_TARGET = re.compile(r"\]\([^()\[\]\s]*+\)")  # of a link: it stands between words that were neighbours
_SIGNS = dict.fromkeys(map(ord, "*_~`\\"))
_SHARE = 1 / 3  # of a block: fewer are signs, numbers and hyphens that a parser writes otherwise
_MOST_LOOKED_FOR = 300
_MUCH = 0.3  # of the words of a document: what was parsed is a ruin then, and not worth to be completed


@dataclass(frozen=True, slots=True)
class Completed:
    text: str
    words: int  # of the blocks that were added


def completed(text: str, blocks: Sequence[str], *, is_whole: bool = False) -> Completed:
    """`text` with the blocks that it lacks after it, in their order; `blocks` alone where it lacks much of them.

    is_whole: the blocks are the whole document with its headings and tables, and may stand for it.
    """
    blocks = [each for block in blocks if (each := plain_letters(block))]
    lacking = _lacking(text, blocks)
    if not lacking:
        return Completed(text, 0)
    added = sum(len(_words(block)) for block in lacking)
    if is_whole and is_ruin(text, blocks):
        return Completed("\n\n".join(blocks) + "\n", added)
    return Completed("\n\n".join([*filter(None, [text.rstrip()]), *lacking]) + "\n", added)


def is_ruin(text: str, blocks: Sequence[str]) -> bool:
    """Whether `text` lacks much of the different words of `blocks`."""
    total = {word for block in blocks for word in _words(plain_letters(block))}
    return len(total.difference(_words(text))) > _MUCH * len(total)


def _lacking(text: str, blocks: Sequence[str]) -> list[str]:
    known = _features(_TARGET.sub("] ", text))
    found: list[str] = []
    squashed: str | None = None
    for block in blocks:
        features = _features(block)
        absent = len(features - known)
        if not absent or absent < _SHARE * len(features):
            continue
        if len(found) < _MOST_LOOKED_FOR:
            squashed = "".join(_words(text)) if squashed is None else squashed
            if "".join(_words(block)) in squashed:
                continue
        found.append(block)
        known |= features
    return found


def _features(text: str) -> set[str | tuple[str, str]]:
    words = _words(text)
    return {*words, *pairwise(words)}


def _words(text: str) -> list[str]:
    return _WORD.findall(text.translate(_SIGNS).casefold())
