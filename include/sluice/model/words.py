"""Words of texts, and numbers of words, each computed once."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_ASCII_WORD = re.compile(r"[a-z0-9]+")
_WORD = re.compile(r"[^\W_]+(?:[\u0300-\u036f]+[^\W_]*)*")
# Scripts written without spaces between words: Han, kana, Thai, Lao, Khmer, Myanmar.
UNSPACED = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]+"
)
# Soft hyphen, zero-width space and joiners, direction marks: they belong to the layout, not to the word.
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]+")
# In other scripts a mark makes another letter: Japanese ka and ga, Devanagari vowels.
_MARKED = re.compile("([\u0041-\u024f\u0370-\u03ff\u0400-\u052f\u1e00-\u1fff])[\u0300-\u036f]+")
_PLAIN_LETTERS = str.maketrans({"ı": "i", "ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "æ": "ae", "œ": "oe"})


class WordNumbers(dict[str, int]):
    """Word → number, computed on first use: most words repeat. Forgets all of them at `most` words, which bounds the
    memory."""

    def __init__(self, number_of: Callable[[str], int], most: int) -> None:
        super().__init__()
        self._number_of = number_of
        self._most = most

    def __missing__(self, word: str) -> int:
        if len(self) >= self._most:
            self.clear()
        number = self[word] = self._number_of(word)
        return number


def words(text: str) -> list[str]:
    """Returns case-folded words without invisible characters; in scripts without spaces, pairs of neighbouring
    characters (or a single one)."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    tokens: list[str] = []
    for word in _WORD.findall(unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).casefold()):
        if word.isascii() or not UNSPACED.search(word):
            tokens.append(word)
        else:
            tokens.extend(_bigrams(word))
    return tokens


def plain_spelling(word: str) -> str:
    """Returns a case-folded word with its Latin, Greek and Cyrillic letters without marks."""
    if word.isascii():
        return word
    bare = _MARKED.sub(r"\1", unicodedata.normalize("NFD", word))
    return unicodedata.normalize("NFC", bare).translate(_PLAIN_LETTERS)


def _bigrams(word: str) -> list[str]:
    tokens: list[str] = []
    position = 0
    for run in UNSPACED.finditer(word):
        if run.start() > position:
            tokens.append(word[position : run.start()])
        characters = run[0]
        tokens.extend(characters[i : i + 2] for i in range(max(1, len(characters) - 1)))
        position = run.end()
    if position < len(word):
        tokens.append(word[position:])
    return tokens
