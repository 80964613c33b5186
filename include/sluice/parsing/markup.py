"""The text of any XML: the text between the tags, and tables (CALS and HTML) as Markdown.

Reads a stream, so that depth costs no memory. Runs in the worker, under its limits.
"""

from __future__ import annotations

import contextlib
import re
from html.entities import html5
from xml.etree import ElementTree  # under the worker's limits
from xml.parsers import expat
from xml.sax.saxutils import escape

from sluice.model.reasons import unreadable
from sluice.parsing.coverage import completed
from sluice.parsing.markdown_tables import markdown_table

# ISO 8879 "Greek letters" (ISOgrk1): used by journals and patents, unknown in HTML.
_GREEK_NAMES = ("a b g d e z ee th i k l m n x o", "p r s sf t u ph kh ps oh")
_GREEK = dict(zip(" ".join(_GREEK_NAMES).split(), "αβγδεζηθικλμνξοπρσςτυφχψω", strict=True))
_ENTITIES = {
    **{f"{name}gr": letter for name, letter in _GREEK.items()},
    **{f"{name.capitalize()}gr": letter.upper() for name, letter in _GREEK.items()},
    **{name[:-1]: value for name, value in html5.items() if name.endswith(";")},
}
_DECLARATION = re.compile(r"<!ENTITY\s+([\w.-]+)")
_ENTITY = re.compile(r"&([A-Za-z][\w.-]{0,30});")
_ROWS, _CELLS, _TABLES = frozenset({"row", "tr"}), frozenset({"entry", "td", "th"}), frozenset({"table", "tgroup"})
MAX_DEPTH = 1000  # nested elements; documents reach a few dozen
# Attributes that people read. The others are used only if a document has no text except attributes.
_SAID = frozenset(("alt", "title", "label", "caption", "description", "summary", "tooltip", "placeholder", "text"))
_UNSAID = frozenset(
    ("id", "class", "style", "href", "src", "type", "version", "encoding", "lang", "ref", "rel", "xmlns")
)
_NO_TEXT = frozenset({"script", "style"})


def xml_text(content: bytes) -> str:
    """UTF-8 → its text, one paragraph for each element that holds text of its own.

    Titles, labels and descriptions in attributes follow; if there is no other text, all attributes. Element names are
    not text. Undeclared entities are those of HTML and ISO's Greek; any other is replaced by its name.

    Raises ExtractionError: zip_bomb (entities that expand without end; expat measures them), too_deep, corrupt.
    """
    parser = ElementTree.XMLParser(target=_Text())  # noqa: S314
    text = content.decode("utf-8")
    declared = {"lt", "gt", "amp", "quot", "apos", *_DECLARATION.findall(text)}
    try:
        parser.feed(_ENTITY.sub(lambda match: match[0] if match[1] in declared else _shown(match[1]), text))
        return str(parser.close())
    except ElementTree.ParseError as error:
        raise unreadable("zip_bomb" if "amplification" in str(error) else "corrupt") from error


def _shown(entity: str) -> str:
    return escape(_ENTITIES.get(entity, entity))


def check_depth(markup: bytes) -> None:
    """Checks XML for a parser that recurses. Raises ExtractionError (too_deep); content that is not XML passes."""
    depth = 0

    def start(_name: str, _attributes: object) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise unreadable("too_deep")

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    with contextlib.suppress(expat.ExpatError, ValueError):
        parser.Parse(markup, True)


class _Text:
    """Collects text. An element is in its parent's line if text of the parent stands before it or directly after it."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._line: list[str] = []
        self._has_text: list[bool] = []
        self._rows: list[list[str]] = []
        self._in_cell = self._silent = 0
        self._said: list[str] = []
        self._other: list[str] = []
        self._ended = False  # an element just ended; the next text shows if the line ended, too

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = _local(tag)
        for key, value in attributes.items():
            if any(map(str.isalpha, value)) and "://" not in value and not key.endswith("schemaLocation"):
                self._attribute(key, value)
        if not (self._has_text and self._has_text[-1]):
            self._break()
        self._has_text.append(False)
        self._silent += name in _NO_TEXT
        if self._in_cell:
            self._line.append(" ")
        elif name in _ROWS:
            self._break()
            self._rows.append([])
        self._in_cell += name in _CELLS

    def _attribute(self, name: str, value: str) -> None:
        if name.lower() in _SAID:  # only without a namespace: an XLink label is an identifier
            self._said.append(value)
        elif _local(name) not in _UNSAID:
            self._other.append(value)

    def data(self, text: str) -> None:
        if self._silent:
            return
        shown = text.strip()
        if self._ended and not shown:
            self._line.append(" ")
            return
        mixed = bool(self._has_text and self._has_text[-1])
        if self._ended and not mixed and "\n" in text[: len(text) - len(text.lstrip())]:
            self._break()
        self._ended = False
        if shown and self._has_text:
            self._has_text[-1] = True
        self._line.append(text)

    def end(self, tag: str) -> None:
        name = _local(tag)
        inline = self._has_text.pop() if self._has_text else False
        self._silent -= name in _NO_TEXT
        if name in _CELLS and self._in_cell:
            self._in_cell -= 1
            if not self._in_cell and self._rows:
                self._rows[-1].append(self._taken())
        elif name in _TABLES and not self._in_cell:
            self._table()
        self._ended = self._ended or inline

    def close(self) -> str:
        self._table()
        if not self._blocks and not self._said:
            return "\n".join(self._other)
        return completed("\n\n".join(self._blocks), self._said).text.rstrip("\n")

    def _break(self) -> None:
        if self._in_cell:
            return
        self._ended = False
        text = self._taken()
        if text:
            self._table_only()
            self._blocks.append(text)

    def _taken(self) -> str:
        text, self._line = " ".join("".join(self._line).split()), []
        return text

    def _table(self) -> None:
        self._break()
        self._table_only()

    def _table_only(self) -> None:
        rows, self._rows = self._rows, []
        if table := markdown_table(rows):
            self._blocks.append(table)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2].lower()
