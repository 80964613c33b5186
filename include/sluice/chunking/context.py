"""The context that is embedded before a chunk's text: the document's title and the headings above the chunk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sluice.model.text import encodable

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_MAX_CHARS = 200
_MAX_TOKENS = 40
_MAX_SHARE = 4  # never more than a quarter of a chunk


class ContextSizes:
    """Measures context lines and cuts those that are too long. Caches the results."""

    def __init__(self, max_size: int, tokenizer: Tokenizer | None) -> None:
        self._tokenizer = tokenizer
        self.limit = min(max_size // _MAX_SHARE, _MAX_TOKENS if tokenizer else _MAX_CHARS)
        self._known: dict[str, tuple[str, int]] = {}

    def line(self, text: str) -> tuple[str, int]:
        """Returns the line, cut at a word to at most half the limit, and its size with the line break."""
        if text not in self._known:
            self._known[text] = self._measure(text[:_MAX_CHARS])
        return self._known[text]

    def _measure(self, text: str) -> tuple[str, int]:
        half = self.limit // 2
        if self._tokenizer is None:
            text = _at_word(text, half - 1)
            return text, len(text) + 1
        encoding = self._tokenizer.encode(encodable(text), add_special_tokens=False)
        if len(encoding) <= half:
            return text, len(encoding)
        text = _at_word(text, encoding.offsets[half][0])
        return text, len(self._tokenizer.encode(encodable(text), add_special_tokens=False))


def lines(title: str, headings: Sequence[str]) -> list[str]:
    """Returns title and headings, outermost first, without repetitions."""
    chosen: list[str] = []
    for name in (title, *headings):
        name = " ".join(name.split())
        if name and name.casefold() not in (line.casefold() for line in chosen):
            chosen.append(name)
    return chosen


def fitting(names: Sequence[str], sizes: ContextSizes) -> list[tuple[str, int]]:
    """Returns the (cut) lines that fit the limit together: the title, then headings from the innermost outwards."""
    room = sizes.limit
    retained: dict[int, tuple[str, int]] = {}
    for index in [0, *range(len(names) - 1, 0, -1)] if names else []:
        line, size = sizes.line(names[index])
        if line and size <= room:
            retained[index] = (line, size)
            room -= size
    return [retained[index] for index in sorted(retained)]


def _at_word(text: str, chars: int) -> str:
    if len(text) <= chars:
        return text
    head = text[: max(chars, 0)]
    return (head[: head.rfind(" ")] if " " in head else head).strip()
