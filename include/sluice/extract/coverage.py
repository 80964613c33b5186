"""Whether a parser kept the words of a document: its text against a plain reading of the same bytes.

A block (paragraph, cell, list item) counts as missing where a third of its words stand nowhere in the parser's text.
Letters and digits are compared, never signs, so that Markdown's own do not matter. Linear in both texts, but for blocks
that look missing: a few hundred are looked for by their letters, since a parser may join or part words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sluice.extract.text import plain_letters

_WORD = re.compile(r"[^\W_]+")
_SIGNS = dict.fromkeys(map(ord, "*_~`\\"))
_SHARE = 1 / 3  # of a block's words: fewer are signs, numbers and hyphens that a parser writes otherwise
_MOST_LOOKED_FOR = 300
_MUCH = 0.3  # of the words of a document: what was parsed is a ruin then, and not worth to be completed


@dataclass(frozen=True, slots=True)
class Completed:
    text: str
    words: int  # different ones that the parser had left out


def completed(text: str, blocks: Sequence[str], *, is_whole: bool = False) -> Completed:
    """`text` with the blocks that it lacks after it, in their order; `blocks` alone where it lacks much of them.

    is_whole: the blocks are the whole document with its headings and tables, and may stand for it.
    """
    blocks = [plain_letters(block) for block in blocks]
    known = _words(text)
    before = len(known)
    total: set[str] = set()
    lacking: list[str] = []
    squashed: str | None = None
    for block in blocks:
        words = _words(block)
        total |= words
        absent = words - known
        if not absent or len(absent) < _SHARE * len(words):
            continue
        if len(lacking) < _MOST_LOOKED_FOR:
            squashed = _squashed(text) if squashed is None else squashed
            if _squashed(block) in squashed:
                continue
        lacking.append(block)
        known |= words
    found = len(known) - before
    if not lacking:
        return Completed(text, 0)
    if is_whole and _is_much(found, total):
        return Completed("\n\n".join(filter(None, blocks)) + "\n", found)
    return Completed("\n\n".join([*filter(None, [text.rstrip()]), *lacking]) + "\n", found)


def is_ruin(text: str, blocks: Sequence[str]) -> bool:
    """Whether `text` lacks much of the words of `blocks`."""
    total = {word for block in blocks for word in _words(plain_letters(block))}
    return _is_much(len(total - _words(text)), total)


def _is_much(lacking: int, total: set[str]) -> bool:
    return lacking > _MUCH * len(total)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.translate(_SIGNS).casefold()))


def _squashed(text: str) -> str:
    return "".join(_WORD.findall(text.translate(_SIGNS).casefold()))
