"""Measures text in characters or in the embedding model's wordpieces."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from sluice.errors import BadRequest
from sluice.model.text import encodable

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_SLICE_CHARS = 50_000
# Wordpiece makes one unknown token of a word with more than 100 characters, but several of its parts once it is cut.
_LONGEST_WORD_CHARS = 100
# Blanks that BERT's normaliser removes: the text before and after is one word.
_REMOVED_BLANKS = r"\x0b\x0c\x1c-\x1f\x85"
# Few texts have more characters per token; the limit prevents huge chunks of padding and unknown words.
CHARS_PER_TOKEN_LIMIT = 16


class Measure(Protocol):
    """Sizes of parts of one text, by character positions. The unit is characters or tokens."""

    def size(self, start: int, end: int) -> int:
        """Returns the size of text[start:end]."""

    def reach(self, start: int, size: int) -> int:
        """Returns the farthest position (> start) such that text[start:position] is at most `size` long."""


class Characters:
    """Measures in characters."""

    def size(self, start: int, end: int) -> int:
        return end - start

    def reach(self, start: int, size: int) -> int:
        return start + max(1, size)


class Wordpieces:
    """Measures in tokens: at least the number of tokens of the part alone, as long as no short word is cut."""

    def __init__(self, text: str, encodings: Sequence[tuple[int, Encoding]], longest_word: int) -> None:
        weight: NDArray[np.int64] = np.zeros(len(text) + 1, np.int64)
        for offset, encoding in encodings:
            if len(encoding):
                starts = np.asarray(encoding.offsets, np.int64)[:, 0] + (offset + 1)
                weight += np.bincount(starts, minlength=len(weight))
        for start, end in _long_words(text, min(longest_word, _LONGEST_WORD_CHARS)):
            weight[start + 1 : end + 1] = [len(unicodedata.normalize("NFD", char)) for char in text[start:end]]
        self._before = np.cumsum(weight, dtype=np.int64)

    def size(self, start: int, end: int) -> int:
        return int(self._before[end] - self._before[start])

    def reach(self, start: int, size: int) -> int:
        position = int(np.searchsorted(self._before, self._before[start] + size, side="right")) - 1
        return max(start + 1, min(position, start + size * CHARS_PER_TOKEN_LIMIT))


def _long_words(text: str, longest_chars: int) -> Iterator[tuple[int, int]]:
    """Yields words that may have to be cut. One character decomposes into at most three letters (Hangul)."""
    for word in re.finditer(rf"(?:\S|[{_REMOVED_BLANKS}]){{{max(1, longest_chars // 3)},}}", text):
        if word.end() - word.start() >= longest_chars or not word[0].isascii():
            yield word.span()


@dataclass(frozen=True, slots=True)
class Tokens:
    """Encodings of slices of one text: (offset, encoding) each."""

    slices: list[tuple[int, Encoding]]

    @property
    def count(self) -> int:
        """Returns the number of tokens of the whole text, without special tokens."""
        return sum(len(encoding) for _, encoding in self.slices)


def tokenize(texts: Sequence[str], tokenizer: Tokenizer) -> list[Tokens]:
    """Encodes all texts in one batch, long ones in slices cut at whitespace. Raises BadRequest on a tokenizer that
    truncates or pads."""
    if tokenizer.truncation is not None or tokenizer.padding is not None:
        raise BadRequest("The tokenizer truncates or pads, so it cannot measure texts; switch both off.")
    slices = [(number, start, end) for number, text in enumerate(texts) for start, end in _slices(text)]
    parts = [encodable(texts[number][start:end]) for number, start, end in slices]
    encodings = tokenizer.encode_batch(parts, add_special_tokens=False)
    tokens = [Tokens([]) for _ in texts]
    for (number, start, _), encoding in zip(slices, encodings, strict=True):
        tokens[number].slices.append((start, encoding))
    return tokens


def _slices(text: str) -> list[tuple[int, int]]:
    cuts = [0]
    while len(text) - cuts[-1] > _SLICE_CHARS:
        limit = cuts[-1] + _SLICE_CHARS
        blank = max(text.rfind(" ", cuts[-1] + 1, limit), text.rfind("\n", cuts[-1] + 1, limit))
        cuts.append(blank if blank > 0 else limit)
    return list(zip(cuts, [*cuts[1:], len(text)], strict=True))
