"""Finds where each page of a PDF begins in its Markdown.

The parser gives the page of each block, in the order of the text, but not the position of the block in the Markdown.
Both texts are reduced to letters and digits, which Markdown does not change. The beginning of each page is searched
near the end of the previous pages.
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
    """Returns offsets in `text` in characters, ascending, one per page; a blank page begins where the next page does.

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
    starts_found: list[int | None] = []
    after = end = 0
    for word in words:
        if word:
            position = _find(squashed, word, after, end)
            end = position + len(word)
            after = position + len(word) // 2  # pages may begin alike: do not find the same position twice
        starts_found.append(_line_start(text, _offset(position, offsets, starts, len(text))) if word else None)
    return _filled(starts_found, len(text))


def _text_of(content: Mapping[str, Any]) -> str:
    if content.get("node_type") == "group":
        return ""  # its heading follows as a separate block
    if content.get("node_type") == "table":
        cells = (content.get("grid") or {}).get("cells") or []
        return " ".join(str(cell.get("content") or "") for cell in cells)
    return str(content.get("text") or "")


def _squashed(text: str) -> str:
    return "".join(_WORD.findall(text))


def _index(text: str) -> tuple[str, list[int], list[int]]:
    """Returns the text reduced to letters and digits, and for each word its offset there and in the original text."""
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
    """Returns the start of the line, if only Markdown signs stand before the offset."""
    line = text.rfind("\n", 0, offset) + 1
    return offset if _WORD.search(text, line, offset) else line


def _filled(starts_found: list[int | None], end: int) -> tuple[int, ...]:
    result: list[int] = []
    following = end
    for start in reversed(starts_found):
        following = following if start is None else min(start, following)
        result.append(following)
    result.reverse()
    first = next((i for i, start in enumerate(starts_found) if start is not None), None)
    if first is not None:
        result[: first + 1] = [0] * (first + 1)
    return tuple(result)
