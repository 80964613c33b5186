"""Removes data written as letters inside text: `data:` addresses, and base64 blocks in mails and address books.

They would fill passages, and a short page with an embedded picture would look unprintable to the gate.
"""

from __future__ import annotations

import re

# Of any length in a Markdown link, longer ones anywhere.
_HEAD = r"data:(?:[a-z]{2,20}/[^\s,;\"'()<>]{1,200})?(?:;[^\s,;\"'()<>]{1,80}){0,4},"
_LINKED = re.compile(r"(\]\(<?)" + _HEAD + r"[^\s\"'()<>]*+", re.I)
_ANYWHERE = re.compile(_HEAD + r"[^\s\"'()<>]{40,}+", re.I)
_LINES = re.compile(r"(?:^[ \t]?[A-Za-z0-9+/]{56,100}\r?\n){3,}+(?:[ \t]?[A-Za-z0-9+/]{1,100}={0,2}(?=\s|\Z))?", re.M)
_RUN = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{200,}+={0,2}")
_FEWEST_LETTERS = 20  # distinct letters: base64 has nearly all 64, a DNA sequence 4, a protein sequence 20 capitals


def without_data_addresses(text: str) -> str:
    """Removes `data:` addresses. An image keeps its description: `![a duck]()`."""
    if "data:" not in text and "DATA:" not in text:
        return text
    return _ANYWHERE.sub("", _LINKED.sub(r"\1", text))


def without_blobs(text: str) -> str:
    """Removes base64 of at least three lines, or of 200 characters in a row."""
    return _RUN.sub(_left_out, _LINES.sub(_left_out, text))


def _left_out(match: re.Match[str]) -> str:
    letters = set(match[0])
    is_mixed = any(map(str.isdigit, letters)) and any(map(str.islower, letters)) and any(map(str.isupper, letters))
    return "" if is_mixed and len(letters) > _FEWEST_LETTERS else match[0]
