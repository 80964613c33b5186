"""Rows as a Markdown table, and delimited text as rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from sluice.parsing.text import decode

_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 50


def markdown_table(rows: Iterable[Sequence[str]]) -> str:
    """Returns a table with the first row as header. Short rows are padded; empty rows and trailing empty columns are
    left out."""
    clean = [[_cell(value) for value in row] for row in rows]
    width = max((n for row in clean for n, value in enumerate(row, start=1) if value), default=0)
    padded = [[*row[:width], *[""] * (width - len(row))] for row in clean if any(row)]
    if not padded:
        return ""
    lines = [f"| {' | '.join(row)} |" for row in padded]
    return "\n".join([lines[0], f"|{' --- |' * width}", *lines[1:]])


def delimited_text(content: bytes) -> str:
    """Returns CSV or TSV (UTF-8) as a Markdown table; unchanged if it does not look like one."""
    text = decode(content) or ""
    delimiter = _delimiter(text)
    if delimiter is None:
        return text
    try:
        return markdown_table(list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))) + "\n"
    except csv.Error:  # a field of more than 128 KiB: its quote is never closed
        return text


def _delimiter(text: str) -> str | None:
    """Returns the delimiter in most of the first lines; of equals, the most frequent one."""
    lines = [line for line in text[:65_536].splitlines() if line.strip()][:_SAMPLE_LINES]
    if len(lines) < 2 or not lines[0].strip():
        return None
    counts = {delimiter: sum(delimiter in line for line in lines) for delimiter in _DELIMITERS if delimiter in lines[0]}
    best = max(counts, key=lambda delimiter: (counts[delimiter], lines[0].count(delimiter)), default=None)
    return best if best is not None and counts[best] > 0.6 * len(lines) else None


def _cell(value: str) -> str:
    return " ".join(value.replace("|", "\\|").split())
