"""Rows as a Markdown table, and delimited text as rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from sluice.parsing.text import decode

_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 50


def markdown_table(rows: Iterable[Sequence[str]]) -> str:
    """The first row is the header; short rows are filled up. Empty rows and columns at the end are left out."""
    clean = [[_cell(value) for value in row] for row in rows]
    width = max((n for row in clean for n, value in enumerate(row, start=1) if value), default=0)
    kept = [[*row[:width], *[""] * (width - len(row))] for row in clean if any(row)]
    if not kept:
        return ""
    lines = [f"| {' | '.join(row)} |" for row in kept]
    return "\n".join([lines[0], f"|{' --- |' * width}", *lines[1:]])


def delimited_text(content: bytes) -> str:
    """CSV or TSV (UTF-8) as a Markdown table; as it is where it does not look like one."""
    text = decode(content) or ""
    delimiter = _delimiter(text)
    if delimiter is None:
        return text
    try:
        return markdown_table(list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))) + "\n"
    except csv.Error:  # a field of more than 128 KiB: its quote was never closed
        return text


def _delimiter(text: str) -> str | None:
    """The one that most of the first lines hold; the most frequent of several."""
    lines = [line for line in text[:65_536].splitlines() if line.strip()][:_SAMPLE_LINES]
    if len(lines) < 2 or not lines[0].strip():
        return None
    counts = {each: sum(each in line for line in lines) for each in _DELIMITERS if each in lines[0]}
    best = max(counts, key=lambda each: (counts[each], lines[0].count(each)), default=None)
    return best if best is not None and counts[best] > 0.6 * len(lines) else None


def _cell(value: str) -> str:
    return " ".join(value.replace("|", "\\|").split())
