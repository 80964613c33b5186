"""Splits a text that is too long at the best boundaries, chosen by content.

Among equally good boundaries the one whose following text has the smallest checksum wins (content-defined
chunking, as in Muthitacharoen et al., LBFS, SOSP 2001). So an edit moves only nearby cuts: soon the old and the new
text have the same boundary again, and all chunks from there on keep their ids.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from sluice.chunking.headings import Outline
from sluice.chunking.measure import CHARS_PER_TOKEN_LIMIT, Measure

_PARAGRAPH = re.compile(r"\n[ \t\r]*\n\s*")
_ITEM = re.compile(r"\n(?=[ \t]*(?:[-*+•|]|\d+[.)])[ \t])")
_SENTENCE = re.compile(r"[.!?…][\"'”’»)\]]*\s+|[。！？]\s*")
_LINE = re.compile(r"[\n\r]+")
_WORD = re.compile(r"\s+")
# Boundaries in order of preference, and how full a chunk must be (share of its room) to be cut there.
_BOUNDARIES = ((_PARAGRAPH, 0.5), (_ITEM, 0.6), (_SENTENCE, 0.65), (_LINE, 0.65), (_WORD, 0.8))
_HEADING_FROM = 0.25
_SHORTEST_REST = 0.2
_CHECKSUM_CHARS = 32
_JOINERS = frozenset("\u200d\ufe0e\ufe0f") | {chr(code) for code in range(0x1F3FB, 0x1F400)}


@dataclass(frozen=True, slots=True)
class Piece:
    begin: int  # including the lead-in, which repeats the end of the previous piece
    start: int  # of what is new
    end: int


def split(
    text: str, start: int, end: int, measure: Measure, room: int, overlap: int, marks: Outline
) -> Iterator[Piece]:
    """Yields pieces of text[start:end], each at most `room` long including its lead-in of at most `overlap`."""
    begin = start
    while measure.size(begin, end) > room or end > measure.reach(begin, room):
        cut = _cut(text, begin, start, end, measure, room, marks)
        yield Piece(begin, start, cut)
        after, start = start, _skip_space(text, cut, end)
        begin = start
        if overlap and not marks.within(start, start + 1):
            begin = _lead_in(text, after, start, measure, overlap)
    yield Piece(begin, start, end)


def _skip_space(text: str, position: int, end: int) -> int:
    while position < end and text[position].isspace():
        position += 1
    return position


def _lead_in(text: str, after: int, start: int, measure: Measure, overlap: int) -> int:
    """Returns a start up to `overlap` before `start`: at a sentence, else at a word, always after `after`."""
    low = max(after, start - overlap * CHARS_PER_TOKEN_LIMIT)
    while measure.size(low, start) > overlap:
        low = min(start, measure.reach(low, measure.size(low, start) - overlap))
    for pattern in (_SENTENCE, _WORD):
        match_end = next((match.end() for match in pattern.finditer(text, low, start)), start)
        if match_end < start:
            return match_end
    return start


def _cut(text: str, begin: int, start: int, end: int, measure: Measure, room: int, marks: Outline) -> int:
    limit = min(end - 1, measure.reach(begin, room))
    heads = marks.within(max(start + 1, measure.reach(begin, int(room * _HEADING_FROM))), limit + 1)
    if heads:
        level = min(head.level for head in heads)
        return _choose(text, [head.start for head in heads if head.level == level], end, measure, room)
    for pattern, share in _BOUNDARIES:
        low = max(start + 1, measure.reach(begin, int(room * share)))
        ends = [match.end() for match in pattern.finditer(text, low, limit)]
        if pattern is _PARAGRAPH:
            ends = [position for position in ends if not _fenced(position, marks)]
        if ends:
            return _choose(text, ends, end, measure, room)
    return _between_characters(text, start, limit)


def _choose(text: str, positions: list[int], end: int, measure: Measure, room: int) -> int:
    """Returns the position with the smallest checksum, preferably among those that do not leave a tiny rest."""
    if measure.size(positions[0], end) < 2 * room:
        least = int(room * _SHORTEST_REST)
        positions = [p for p in positions if measure.size(p, end) >= least] or positions[:1]
    return min(positions, key=lambda p: zlib.crc32(text[p : p + _CHECKSUM_CHARS].encode("utf-8", "surrogatepass")))


def _fenced(position: int, marks: Outline) -> bool:
    index = bisect_right(marks.fences, (position, 0)) - 1
    return index >= 0 and position < marks.fences[index][1]


def _between_characters(text: str, start: int, limit: int) -> int:
    """Returns the last position up to `limit` that does not separate a character from its accents, joiners or line
    feed."""
    position = limit
    while position > start + 1 and (
        unicodedata.combining(text[position])
        or text[position] in _JOINERS
        or text[position - 1] == "\u200d"
        or text[position - 1 : position + 1] == "\r\n"
    ):
        position -= 1
    return position if position > start + 1 else limit
