"""Where each page of a PDF begins in its Markdown.

The parser tells the page of every block, in the order of the text, but not where a block landed in the Markdown. Both
are reduced to their letters and digits, which Markdown does not change, and the beginning of each page is looked for
near the place where the pages before it end.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any

from sluice.parsing.text import plain_letters

_WORD = re.compile(r"[^\W_]+")
_KEY_CHARS = (64, 24, 8)
_SLACK_CHARS = 200


def page_starts(blocks: Iterable[Mapping[str, Any]], pages: int, text: str) -> tuple[int, ...]:
    """Characters from the start of `text`, ascending, one per page; a blank page begins where the next one does.

    blocks: the parser's nodes, each with `page` (from 1) and `content`.
    """
    if pages < 1:
        return ()
    words = [""] * pages
    for block in blocks:
        page = block.get("page")
        if isinstance(page, int) and 1 <= page <= pages:
            words[page - 1] += _squashed(plain_letters(_text_of(block.get("content") or {})))
    squashed, offsets, starts = _index(text)
    found: list[int | None] = []
    after = end = 0
    for word in words:
        if word:
            position = _find(squashed, word, after, end)
            end = position + len(word)
            after = position + len(word) // 2  # pages may begin alike: the same place is not found twice
        found.append(_line_start(text, _offset(position, offsets, starts, len(text))) if word else None)
    return _filled(found, len(text))


def _text_of(content: Mapping[str, Any]) -> str:
    if content.get("node_type") == "group":
        return ""  # its heading follows as a block of its own
    if content.get("node_type") == "table":
        cells = (content.get("grid") or {}).get("cells") or []
        return " ".join(str(cell.get("content") or "") for cell in cells)
    return str(content.get("text") or "")


def _squashed(text: str) -> str:
    return "".join(_WORD.findall(text))


def _index(text: str) -> tuple[str, list[int], list[int]]:
    """The squashed text, and for each word its offset there and in the text."""
    parts, offsets, starts = [], [], []
    length = 0
    for match in _WORD.finditer(text):
        parts.append(match[0])
        offsets.append(length)
        starts.append(match.start())
        length += len(match[0])
    return "".join(parts), offsets, starts


def _find(squashed: str, page: str, after: int, expected: int) -> int:
    if squashed.startswith(page[: _KEY_CHARS[0]], expected):
        return expected
    for chars in _KEY_CHARS:
        key = page[:chars]
        for begin in (max(after, expected - _SLACK_CHARS), after):
            place = squashed.find(key, begin)
            if 0 <= place <= expected + max(_SLACK_CHARS, len(page)):
                return place
    return min(max(after, expected), len(squashed))


def _offset(position: int, offsets: list[int], starts: list[int], end: int) -> int:
    word = bisect_right(offsets, position) - 1
    if word < 0 or not offsets:
        return 0
    return min(starts[word] + position - offsets[word], end)


def _line_start(text: str, offset: int) -> int:
    """Before the signs that Markdown puts at the beginning of the line, if only signs are between."""
    line = text.rfind("\n", 0, offset) + 1
    return offset if _WORD.search(text, line, offset) else line


def _filled(found: list[int | None], end: int) -> tuple[int, ...]:
    result: list[int] = []
    following = end
    for start in reversed(found):
        following = following if start is None else min(start, following)
        result.append(following)
    result.reverse()
    first = next((i for i, start in enumerate(found) if start is not None), None)
    if first is not None:
        result[: first + 1] = [0] * (first + 1)
    return tuple(result)
