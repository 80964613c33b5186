"""A plain reading of HTML by a scanner without recursion, so that nesting and syntax errors lose no text.

The parser's result is compared with this reading (`coverage.py`), and replaced by it if the parser lost much. This
module also removes non-text from a page before the parser sees it. Time is linear in the length of the page: all
quantifiers of the patterns are possessive, and a tag that never ends stops the scan. Runs in the worker, under its
limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape, unescape

from sluice.parsing.markdown_tables import markdown_table

_NAME = re.compile(r"/?+[a-zA-Z][^\s/>]*+")
_ATTRIBUTE = re.compile(r"""[\s/]*+([^\s/>=]++)(?:\s*+=\s*+("[^"]*+"|'[^']*+'|[^\s>]*+))?+""")
_SPACE = re.compile(r"[\s/=]*+")
# Their content is not text, or repeats text beside it; the scanner only looks for their end tag.
_RAW = ("script", "style", "template", "noscript", "iframe", "noembed", "annotation", "annotation-xml", "metadata")
_END_OF = {name: re.compile(f"</{name}", re.I | re.A) for name in (*_RAW, "svg", "math")}
_CDATA = "<![CDATA["
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
)
_INLINE = frozenset(
    (
        *("abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i"),
        *("ins", "kbd", "label", "mark", "nobr", "q", "rp", "rt", "ruby", "s", "samp", "small", "span", "strike"),
        *("strong", "sub", "sup", "time", "tt", "u", "var", "wbr", "math", "mi", "mn", "mo", "mrow", "mtext", "ms"),
        *("semantics", "mfrac", "msup", "msub", "msubsup", "msqrt", "mroot", "mstyle", "mfenced", "mspace", "tspan"),
        *("annotation", "annotation-xml"),
    )
)
_LINKED = frozenset(("src", "href", "srcset", "style", "poster", "data", "background", "xlink:href", "content"))
_HIDING = re.compile(r"display\s*+:\s*+none", re.I)
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}


@dataclass(frozen=True, slots=True)
class _Token:
    """`name` is "" for text, and begins with "/" for an end tag. `start` and `end` are positions in the page."""

    name: str
    start: int
    end: int
    attributes: dict[str, str] = field(default_factory=dict)


class _Ends:
    """Finds the end tags of a page. A name without an end tag is not searched again."""

    def __init__(self, page: str) -> None:
        self._page = page
        self._absent: set[str] = set()

    def after(self, name: str, place: int) -> int | None:
        match = None if name in self._absent else _END_OF[name].search(self._page, place)
        if match is None:
            self._absent.add(name)
        return match.start() if match else None


def html_blocks(page: str) -> list[str]:
    """Returns paragraphs, headings, list items and tables as Markdown, in order, without hidden content."""
    reading = _Reading()
    for token in _tokens(page):
        if not token.name:
            reading.text(unescape(page[token.start : token.end]))
        elif token.name.startswith("/"):
            reading.end(token.name[1:])
        else:
            reading.start(token.name, token.attributes)
    return reading.close()


def html_for_parser(page: str) -> str:
    """Returns the page without `data:` addresses; drawings (SVG) and formulas (MathML) become their text."""
    lowered = page.casefold()
    if not any(sign in lowered for sign in ("data:", "<svg", "<math")):
        return page
    ends = _Ends(page)
    parts: list[str] = []
    done = 0
    for token in _tokens(page):
        if token.start < done:
            continue
        replaced = _replaced(page, token, ends)
        if replaced is not None:
            parts += [page[done : token.start], replaced[0]]
            done = replaced[1]
    return "".join([*parts, page[done:]])


def _replaced(page: str, token: _Token, ends: _Ends) -> tuple[str, int] | None:
    """Returns the replacement of a token and the position after it, or None if the token stays."""
    if token.name in ("svg", "math") and (closing := ends.after(token.name, token.end)) is not None:
        end = page.find(">", closing)
        words = " ".join(html_blocks(page[token.start : closing]))
        return f"<span>{escape(words)}</span>", end + 1 if end >= 0 else len(page)
    if any(_is_data(name, value) for name, value in token.attributes.items()):
        attributes = (
            f' {name}="{escape(value)}"' for name, value in token.attributes.items() if not _is_data(name, value)
        )
        return f"<{token.name}{''.join(attributes)}>", token.end
    return None


def _is_data(name: str, value: str) -> bool:
    return name in _LINKED and "data:" in value.casefold()


def _tokens(page: str) -> Iterator[_Token]:
    ends = _Ends(page)
    place = 0
    while (start := page.find("<", place)) >= 0:
        if page.startswith(_CDATA, start) and (cdata_end := page.find("]]>", start)) >= 0:
            yield _Token("", place, start)
            yield _Token("", start + len(_CDATA), cdata_end)
            place = cdata_end + 3
            continue
        token = _markup(page, start)
        if token is None:  # a less-than sign, or a tag that never ends
            token = _Token("", start, start + 1 if start + 1 < len(page) and _never(page, start) else len(page))
        if start > place:
            yield _Token("", place, start)
        yield token
        place = token.end
        if token.name in _RAW and (closing := ends.after(token.name, place)) is not None:
            place = closing
    if place < len(page):
        yield _Token("", place, len(page))


def _never(page: str, start: int) -> bool:
    """Returns True if the text at `start` cannot be markup."""
    return not (page[start + 1] in "!?" or _NAME.match(page, start + 1))


def _markup(page: str, start: int) -> _Token | None:
    """Returns the tag, comment or declaration at `start`; None if there is none or it has no end."""
    if page.startswith(("<!", "<?"), start):
        sign = "-->" if page.startswith("<!--", start) else ">"
        end = page.find(sign, start + 2)
        return _Token("!", start, end + len(sign)) if end >= 0 else None
    name = _NAME.match(page, start + 1)
    if name is None:
        return None
    attributes: dict[str, str] = {}
    place = name.end()
    while True:
        place = _SPACE.match(page, place).end()  # type: ignore[union-attr]
        if place >= len(page):
            return None
        if page[place] == ">":
            return _Token(name[0].lower(), start, place + 1, attributes)
        attribute = _ATTRIBUTE.match(page, place)
        assert attribute is not None  # the next character is no space, slash, equals sign or end of the tag
        value = attribute[2] or ""
        attributes.setdefault(attribute[1].lower(), unescape(value[1:-1] if value[:1] in ("'", '"') else value))
        place = attribute.end()


_Block = tuple[str, str]  # Markdown prefix, words


@dataclass(slots=True)
class _Table:
    rows: list[list[list[_Block]]] = field(default_factory=list)  # rows of cells of blocks
    cell: list[_Block] = field(default_factory=list)
    is_layout: bool = False  # holds another table: its cells become blocks of the page


class _Reading:
    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._line: list[str] = []
        self._prefix = ""
        self._tables: list[_Table] = []
        self._hidden: tuple[str, int] | None = None  # hidden element, number of open elements of its name in it
        self._title = 0
        self._drawing = 0

    def text(self, text: str) -> None:
        if self._hidden is None and not self._title:
            self._line.append(text)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self._hidden is not None:
            if name == self._hidden[0]:
                self._hidden = (name, self._hidden[1] + 1)
            return
        if name not in _VOID and ("hidden" in attributes or _HIDING.search(attributes.get("style", ""))):
            self._hidden = (name, 1)
            return
        if name == "svg":
            self._drawing += 1
        elif name == "title" and not self._drawing:
            self._title = 1
        if alt := attributes.get("alt", "") if name in ("img", "area", "input") else "":
            self._line.append(f" {alt} ")
        self._open(name)

    def end(self, name: str) -> None:
        if self._hidden is not None:
            if name == self._hidden[0]:
                self._hidden = (name, self._hidden[1] - 1) if self._hidden[1] > 1 else None
            return
        if name == "svg":
            self._drawing = max(0, self._drawing - 1)
        elif name == "title":
            self._title = 0
        if name in ("td", "th", "tr"):
            self._cell()
        elif name == "table" and self._tables:
            self._cell()
            self._write(self._tables.pop())
        elif name == "a":
            self._line.append(" ")
        elif name not in _INLINE:
            self._break()

    def close(self) -> list[str]:
        self._cell()
        if self._tables:  # an unclosed table; the tables around it are for layout
            self._write(self._tables.pop())
        return self._blocks

    def _open(self, name: str) -> None:
        if name in _INLINE:
            return
        if name in ("a", "img"):  # links of a menu have no space between them
            self._line.append(" ")
            return
        if name == "table":
            self._break_for_table()
        elif name in ("tr", "td", "th") and self._tables:
            self._cell()
            if name == "tr":
                self._tables[-1].rows.append([])
        else:
            self._break()
            self._prefix = _HEADINGS.get(name, "- " if name == "li" else "")

    def _break_for_table(self) -> None:
        self._cell()
        if self._tables:  # the tables around it are already for layout
            self._tables[-1].is_layout = True
            self._write(self._tables[-1])
        self._tables.append(_Table())

    def _break(self) -> None:
        words, self._line = " ".join("".join(self._line).split()), []
        block, self._prefix = (self._prefix, words), ""
        if not words:
            return
        if self._tables and not self._tables[-1].is_layout:
            self._tables[-1].cell.append(block)
        else:
            self._blocks.append("".join(block))

    def _cell(self) -> None:
        self._break()
        table = self._tables[-1] if self._tables else None
        if table is not None and table.cell:
            table.rows = table.rows or [[]]
            table.rows[-1].append(table.cell)
            table.cell = []

    def _write(self, table: _Table) -> None:
        rows, table.rows = [row for row in table.rows if row], []
        if table.is_layout or max(map(len, rows), default=0) < 2:
            self._blocks.extend("".join(block) for row in rows for cell in row for block in cell)
        elif written := markdown_table([" ".join(words for _, words in cell) for cell in row] for row in rows):
            self._blocks.append(written)
