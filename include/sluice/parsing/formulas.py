"""Writes formulas without a computed value as text into a workbook; the parser would give empty cells.

Programs that write workbooks without computing them leave such formulas. Runs in the worker, under its limits.
"""

from __future__ import annotations

import io
import re
import zipfile
from xml.etree import ElementTree  # under the worker's limits

from sluice.parsing.containers import BROKEN_ZIP

_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml")
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")
_DOCTYPE = b"<!DOCTYPE"  # not part of the format; nested entities can expand without end


def with_formulas(content: bytes) -> bytes:
    """Returns the workbook with `(not computed: =SUM(A1:A2))` in such cells; unchanged if there are none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            changed = {
                name: markup
                for name in filter(_SHEET.fullmatch, archive.namelist())
                if (markup := _shown(archive.read(name))) is not None
            }
            if not changed:
                return content
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as copy:
                for name in dict.fromkeys(archive.namelist()):
                    copy.writestr(name, changed[name] if name in changed else archive.read(name))
    except BROKEN_ZIP:
        return content  # the parser reports the error
    return buffer.getvalue()


def _shown(markup: bytes) -> bytes | None:
    if not _FORMULA.search(markup) or _DOCTYPE in markup[:4096]:
        return None
    try:
        root = ElementTree.fromstring(markup)  # noqa: S314
    except ElementTree.ParseError:
        return None
    space = root.tag.rpartition("}")[0] + "}" if "}" in root.tag else ""
    changed = False
    for cell in root.iter(f"{space}c"):
        formula, value = cell.find(f"{space}f"), cell.find(f"{space}v")
        if formula is None or (value is not None and value.text) or cell.find(f"{space}is") is not None:
            continue
        written = f": ={' '.join(formula.text.split())}" if formula.text else ""
        for child in list(cell):
            cell.remove(child)
        cell.set("t", "inlineStr")
        ElementTree.SubElement(
            ElementTree.SubElement(cell, f"{space}is"), f"{space}t"
        ).text = f"(not computed{written})"
        changed = True
    return ElementTree.tostring(root, "utf-8") if changed else None
