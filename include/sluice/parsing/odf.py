"""OpenDocument text and presentations as Markdown, from their `content.xml` (OASIS ODF 1.3, part 3).

Not read by kreuzberg, because its text lacks lists in table cells, formatted runs and presentations. Runs in the
worker, under its limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree  # under the worker's limits

from sluice.model.reasons import unreadable
from sluice.parsing.containers import opened, xml_member, xml_tree
from sluice.parsing.markdown_tables import markdown_table

_MAX_DEPTH = 60  # nested lists, tables and frames; below it only the words remain
_MAX_REPEATED = 200
_LEFT_OUT = frozenset({"tracked-changes", "annotation", "annotation-end", "sequence-decls", "forms", "note-citation"})


def odf_text(content: bytes) -> str:
    """Returns headings, paragraphs, lists and tables; for a presentation one heading per slide, with its notes after
    it.

    Raises ExtractionError (corrupt).
    """
    return "\n\n".join(_blocks(_tree(content), 0))


def odf_markup(content: bytes) -> bytes:
    """Returns `content.xml`. Raises ExtractionError (corrupt)."""
    with opened(content) as archive:
        return xml_member(archive, "content.xml")


def _tree(content: bytes) -> ElementTree.Element:
    with opened(content) as archive:
        root = xml_tree(archive, "content.xml")
    for child in root:
        if _name(child) == "body":
            return child
    raise unreadable("corrupt")


def _blocks(element: ElementTree.Element, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        words = " ".join("".join(element.itertext()).split())
        yield from [words] if words else []
        return
    for child in element:
        name = _name(child)
        if name in _LEFT_OUT:
            continue
        if name in ("h", "p"):
            yield from _paragraph(child, depth)
        elif name == "list":
            if list_text := "\n".join(_items(child, depth)):
                yield list_text
        elif name == "table":
            if table := markdown_table(_rows(child, depth)):
                yield table
        elif name == "page":
            yield from _slide(child, depth)
        else:
            yield from _blocks(child, depth + 1)


def _paragraph(element: ElementTree.Element, depth: int) -> Iterator[str]:
    text = _inline(element, depth).strip()
    if text and _name(element) == "h":
        level = _attribute(element, "outline-level")
        text = f"{'#' * (min(int(level), 6) if level.isdigit() else 1)} {' '.join(text.split())}"
    if text:
        yield text
    for child in element.iter():
        if child is not element and _name(child) == "text-box":
            yield from _blocks(child, depth + 1)
            break


def _items(element: ElementTree.Element, depth: int) -> Iterator[str]:
    for item in element:
        first = True
        for block in _blocks(item, depth + 1):
            lines = block.split("\n")
            yield from [("- " if first else "  ") + lines[0], *("  " + line for line in lines[1:])]
            first = False


def _slide(page: ElementTree.Element, depth: int) -> Iterator[str]:
    for shape in page:
        blocks = list(_blocks(shape, depth + 1))
        if _attribute(shape, "class") == "title" and blocks:
            yield f"# {' '.join(' '.join(blocks).split())}"
        else:
            yield from blocks


def _rows(table: ElementTree.Element, depth: int) -> Iterator[list[str]]:
    for row in table.iter():
        if _name(row) == "table-row" and _within(table, row):
            yield [text for cell in row for text in _cells(cell, depth)]


def _within(table: ElementTree.Element, row: ElementTree.Element) -> bool:
    """Returns True unless the row belongs to a table inside a cell."""
    groups = [table]
    while groups:
        group = groups.pop()
        for child in group:
            if child is row:
                return True
            if _name(child).startswith(("table-header-rows", "table-rows", "table-row-group")):
                groups.append(child)
    return False


def _cells(cell: ElementTree.Element, depth: int) -> list[str]:
    if _name(cell) not in ("table-cell", "covered-table-cell"):
        return []
    repeated = _attribute(cell, "number-columns-repeated")
    blocks = [block.replace("|", " ") if "\n| ---" in block else block for block in _blocks(cell, depth + 1)]
    return ["  ".join(blocks)] * (min(int(repeated), _MAX_REPEATED) if repeated.isdigit() else 1)


def _inline(element: ElementTree.Element, depth: int) -> str:
    parts = [element.text or ""]
    for child in element:
        name = _name(child)
        if name == "s":
            parts.append(" ")
        elif name in ("tab", "line-break"):
            parts.append("\n" if name == "line-break" else "\t")
        elif name == "note":
            parts.append(f" ({' '.join(''.join(child.itertext()).split())})")
        elif name not in _LEFT_OUT and name not in ("frame", "text-box"):
            parts.append(_inline(child, depth + 1) if depth < _MAX_DEPTH else "".join(child.itertext()))
        parts.append(child.tail or "")
    return "".join(parts)


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _attribute(element: ElementTree.Element, name: str) -> str:
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), "")
