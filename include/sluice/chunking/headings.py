"""Headings and fenced code of a Markdown text, by offset. Grammar: CommonMark 0.31, sections 4.2, 4.3 and 4.5."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass

from sluice.model.document import Document

_MARK = re.compile(
    r"^ {0,3}(?:(?P<fence>`{3,}|~{3,})(?P<info>[^\r\n]*)"
    r"|(?P<hashes>\#{1,6})(?:[ \t]+(?P<atx>[^\r\n]*))?"
    r"|(?P<rule>={3,}|-{3,})[ \t]*)\r?$",
    re.MULTILINE,
)
_NO_HEADINGS = re.compile(r"text/(?:x-(?!.*markdown)|csv|tab-)|application/(?:json|x-ndjson|xml|yaml|x-yaml|toml)")
_NOT_A_TITLE = re.compile(r" {0,3}(?:[-*+>|#]|\d+[.)])[ \t]?|\t| {4,}")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)")
_MAX_HEADING_CHARS = 200


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading line (with its underline, if any) at text[start:end]; `path` ends with the heading itself."""

    start: int
    end: int
    level: int
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    headings: tuple[Heading, ...] = ()
    fences: tuple[tuple[int, int], ...] = ()  # start, end of fenced code

    def within(self, start: int, end: int) -> tuple[Heading, ...]:
        """Returns the headings that begin in text[start:end]."""
        first = bisect_left(self.headings, start, key=_start)
        return self.headings[first : bisect_left(self.headings, end, first, key=_start)]


def _start(heading: Heading) -> int:
    return heading.start


def headings_of(document: Document) -> Outline:
    """Returns the document's outline; empty for formats in which # begins a comment, or without lines."""
    return Outline() if _NO_HEADINGS.match(document.mime) else outline(document.text)


def outline(text: str) -> Outline:
    """Returns headings (ATX and setext) in order, without those inside fenced code."""
    headings: list[Heading] = []
    fences: list[tuple[int, int]] = []
    open_fence: tuple[int, str] | None = None
    above: list[tuple[int, str]] = []

    def add(start: int, end: int, level: int, raw: str) -> None:
        title = _plain(raw)
        if title:
            while above and above[-1][0] >= level:
                above.pop()
            above.append((level, title))
            headings.append(Heading(start, end, level, tuple(name for _, name in above)))

    def below_heading(line_start: int) -> bool:
        return bool(headings) and headings[-1].end >= line_start - 2

    for mark in _MARK.finditer(text):
        fence = mark["fence"]
        if open_fence is not None:
            if fence and fence[0] == open_fence[1][0] and len(fence) >= len(open_fence[1]) and not mark["info"].strip():
                fences.append((open_fence[0], mark.end()))
                open_fence = None
        elif fence:
            # A row of tildes right below a line is an underline of reStructuredText, not a fence.
            below_text = _line_before(text, mark.start())[1].strip() and not below_heading(mark.start())
            if fence[0] == "~" and below_text:
                continue
            if not (fence[0] == "`" and "`" in mark["info"]):
                open_fence = (mark.start(), fence)
        elif mark["hashes"]:
            add(mark.start(), mark.end(), len(mark["hashes"]), re.sub(r"(?:^|[ \t])#+[ \t]*$", "", mark["atx"] or ""))
        else:
            start, line = _line_before(text, mark.start())
            above_it = _line_before(text, start)[1].strip()
            framed = set(above_it) == {"="} and mark["rule"][0] == "="
            alone = not above_it or framed or below_heading(start)
            if line.strip() and alone and len(line) <= _MAX_HEADING_CHARS and not _NOT_A_TITLE.match(line):
                add(start, mark.end(), 1 if mark["rule"][0] == "=" else 2, line)
    if open_fence is not None:
        fences.append((open_fence[0], len(text)))
    return Outline(tuple(headings), tuple(fences))


def _line_before(text: str, line_start: int) -> tuple[int, str]:
    """Returns start and content of the line above the one that starts at `line_start`; empty for the first line."""
    if line_start <= 0:
        return 0, ""
    start = text.rfind("\n", 0, line_start - 1) + 1
    return start, text[start : line_start - 1].rstrip("\r")


def _plain(raw: str) -> str:
    title = " ".join(_LINK.sub(r"\1", raw).replace("*", "").replace("`", "").split())
    return title[:_MAX_HEADING_CHARS]
