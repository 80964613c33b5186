"""Numeric features of documents, which the gate checks instead of their texts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sluice.model.document import Document
from sluice.model.metadata import RECOVERED, paths_cut
from sluice.quality.mojibake import mojibake

_RUN = re.compile(r"[!-~]+")
# Good texts contain shorter runs (links, identifiers).
_RUN_FROM_CHARS = 1000
_REPEATED_FROM_CHARS = 100
_WRONG_FROM_CHARS = 2  # one stray byte does not prove a wrong encoding of a short text
_SORT_UP_TO_CHARS = 20_000

_SPACE, _LETTER, _OTHER, _UNPRINTABLE, _REPLACEMENT = range(5)


def features(documents: Sequence[Document]) -> dict[str, list[Any]]:
    """Returns columns of equal length, one row for each document; shares (0 to 1) are of all non-space characters."""
    rows = [_row(document) for document in documents]
    return {column: [row[column] for row in rows] for column in rows[0]} if rows else {}


def _row(document: Document) -> dict[str, Any]:
    text = document.text
    values, counts = _histogram(text)
    kinds = np.array([_kind(value) for value in values.tolist()], np.int64)
    by_kind = np.bincount(kinds, counts, minlength=5)
    visible = int(by_kind.sum() - by_kind[_SPACE])
    most = int(counts[kinds != _SPACE].max(initial=0))
    of = max(visible, 1)
    lost = int(by_kind[_REPLACEMENT])
    return {
        "document_id": str(document.document_id),
        "title": 1 if document.title.strip() else None,
        "mime": 1 if document.mime.strip() else None,
        "metadata_cut": len(paths_cut(document.metadata)),
        "chars": len(text),
        "visible_chars": visible,
        "printable_share": 1 - float(by_kind[_UNPRINTABLE]) / of,
        "replacements": lost,
        "replacement_share": lost / of if lost >= _WRONG_FROM_CHARS else 0.0,
        "letter_share": float(by_kind[_LETTER]) / of if visible else 1.0,
        "repeated_share": most / of if visible >= _REPEATED_FROM_CHARS else 0.0,
        "mojibake": mojibake(text),
        "words_recovered": _recovered(document),
        "unbroken_share": _longest_run(text) / of,
    }


def _recovered(document: Document) -> int:
    """Counts the words that the parser had left out (`parsing/coverage.py`)."""
    words = document.metadata.get(RECOVERED)
    return words if isinstance(words, int) else 0


def _histogram(text: str) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Returns the code points of a text and their counts."""
    if text.isascii():
        counted = np.bincount(np.frombuffer(text.encode(), np.uint8), minlength=1)
    else:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        if len(codes) <= _SORT_UP_TO_CHARS:
            return np.unique(codes, return_counts=True)
        counted = np.bincount(codes)
    values = np.flatnonzero(counted)
    return values.astype(np.uint32), counted[values]


@lru_cache(maxsize=70_000)
def _kind(code: int) -> int:
    char = chr(code)
    if char.isspace():
        return _SPACE
    if char == "\ufffd":
        return _REPLACEMENT
    category = unicodedata.category(char)
    if category[0] in "LMN":
        return _LETTER
    # Control, surrogate, private use (fonts without a letter map) and unassigned; but not format (joiners).
    return _UNPRINTABLE if category in ("Cc", "Cs", "Co", "Cn") else _OTHER


def _longest_run(text: str) -> int:
    """Returns the length of the longest ASCII run without a space; 0 if it is short. Scripts without spaces do not
    count."""
    if len(text) < _RUN_FROM_CHARS:
        return 0
    runs = text.split() if text.isascii() else _RUN.findall(text)
    longest = max(map(len, runs), default=0)
    return longest if longest >= _RUN_FROM_CHARS else 0
