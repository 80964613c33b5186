"""A plain reading of office documents (OOXML, ODF) and EPUB: all text of their members.

Returns headers and footers, notes, comments, text boxes, diagrams, axis titles and the body, by paragraph. Text deleted
in a tracked change is left out. Reads a stream, so that depth costs no memory. Runs in the worker, under its limits;
the container was checked before (`containers.py`).
"""

from __future__ import annotations

import contextlib
import io
import re
import zipfile
from dataclasses import dataclass
from xml.parsers import expat

from sluice.parsing.containers import BROKEN_ZIP, EPUB, ODP, ODS, ODT, OOXML
from sluice.parsing.html import html_blocks
from sluice.parsing.text import decode

# Parts with text of their own. Left out: placeholders of masters and layouts, building blocks, unused sheet strings.
_OOXML_PARTS = re.compile(
    r"word/(?!(?:styles|settings|numbering|fontTable|webSettings|stylesWithEffects|people|comments[A-Z])\w*\.xml)\w+\.xml"
    r"|ppt/(?:slides|notesSlides|comments)/\w+\.xml"
    r"|xl/(?:(?:worksheets|drawings|threadedComments)/|comments)\w+\.xml"
    r"|(?:word|ppt|xl)/(?:diagrams/data|charts/chart)\d*\.xml"
)
_PAGE = re.compile(r".*\.x?html?", re.I | re.S)
_NUMBER = re.compile(r"\d+")
_SHEET_CODES = re.compile(
    r'&(?:K[0-9A-Fa-f]{6}|[A-Z]|"[^"]*+"|\d++)'
)  # codes in a sheet's header: position, font, size, page number
_STAND_IN = "[Threaded comment]"  # for programs without threaded comments; the threads are in another part
_HEADERS = frozenset(f"{pages}{place}" for pages in ("odd", "even", "first") for place in ("Header", "Footer"))
_SPACES = frozenset(("tab", "br", "cr", "line-break", "s", "noBreakHyphen"))


@dataclass(frozen=True, slots=True)
class _Names:
    """Element names: blocks, elements that hold text in a block (None: all), and elements to leave out."""

    blocks: frozenset[str]
    texts: frozenset[str] | None
    left_out: frozenset[str]


_OOXML = _Names(
    frozenset({"p", "text", "threadedComment", *_HEADERS}),
    frozenset({"t", "text", *_HEADERS}),
    frozenset({"Fallback", "del", "moveFrom", "sheetData", "oMath"}),
)
_ODF = _Names(
    frozenset({"p", "h"}), None, frozenset({"tracked-changes", "page-number", "page-count", "sheet-name", "creator"})
)


def office_blocks(content: bytes, mime: str) -> list[str]:
    """Returns paragraphs in the order of the parts. Unreadable parts are skipped: the parser reports such documents."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if mime in OOXML:
                parts = sorted(filter(_OOXML_PARTS.fullmatch, archive.namelist()), key=_rank)
                return [block for name in parts for block in _blocks(archive.read(name), _OOXML)]
            if mime == EPUB:
                pages = [name for name in archive.namelist() if _PAGE.fullmatch(name)]
                return [block for name in pages for block in html_blocks(decode(archive.read(name)) or "")]
            names = ("content.xml", "styles.xml") if mime == ODT else ("content.xml",)
            parts = [name for name in names if name in archive.namelist()]
            return [block for name in parts for block in _blocks(archive.read(name), _ODF)]
    except BROKEN_ZIP:
        return []


def has_office_blocks(mime: str) -> bool:
    """Returns whether `office_blocks` can read a file of this MIME type."""
    return mime in (*OOXML, EPUB, ODT, ODS, ODP)


def _rank(name: str) -> tuple[bool, bool, int, str]:
    """Sorts the body first, then notes and comments, then headers and footers; by number, not by letter."""
    number = _NUMBER.search(name)
    return (
        "/document" not in name and "/slides/" not in name,
        "header" in name or "footer" in name,
        int(number[0]) if number else 0,
        name,
    )


def _blocks(markup: bytes, names: _Names) -> list[str]:
    reader = _Paragraphs(names)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.data
    with contextlib.suppress(expat.ExpatError, ValueError, LookupError):
        parser.Parse(markup, True)  # damaged, or endless entities: uses the text read so far
    return reader.paragraphs


class _Paragraphs:
    def __init__(self, names: _Names) -> None:
        self.paragraphs: list[str] = []
        self._names = names
        self._open: list[list[str]] = []
        self._texts = self._left_out = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        if self._left_out or name in self._names.left_out:
            self._left_out += 1
            return
        if name in self._names.blocks:
            self._open.append([])
        if self._names.texts and name in self._names.texts:
            self._texts += 1
        elif name in _SPACES and self._open:
            self._open[-1].append(" ")

    def data(self, text: str) -> None:
        if self._open and not self._left_out and (self._texts or self._names.texts is None):
            self._open[-1].append(text)

    def end(self, tag: str) -> None:
        if self._left_out:
            self._left_out -= 1
            return
        name = tag.rpartition(":")[2]
        if self._names.texts and name in self._names.texts:
            self._texts -= 1
        if name in self._names.blocks:
            text = "".join(self._open.pop())
            text = " ".join((_SHEET_CODES.sub(" ", text) if name in _HEADERS else text).split())
            if any(map(str.isalpha, text)) and not text.startswith(_STAND_IN):  # not a page number
                self.paragraphs.append(text)
