"""Text as every store can hold it."""

from __future__ import annotations

import re

_SURROGATES = re.compile("[\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Whether Postgres and UTF-8 can hold it: no NUL, no lone surrogates."""
    return not _UNSTORABLE.search(text)


def storable(text: str) -> str:
    """Without what neither Postgres nor UTF-8 can hold: NUL goes, lone surrogates become U+FFFD."""
    return text if is_storable(text) else _UNSTORABLE.sub("\ufffd", text.replace("\0", ""))


def encodable(text: str, instead: str = "?") -> str:
    """Halves of surrogate pairs (odd file names, broken UTF-16) have no UTF-8 form: `instead`, one character, takes the
    place of each, so that lengths stay."""
    return text if text.isascii() else _SURROGATES.sub(instead, text)
