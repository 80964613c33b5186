"""Makes text storable in every store."""

from __future__ import annotations

import re

_SURROGATES = re.compile("[\ud800-\udfff]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Returns whether Postgres and UTF-8 can store the text: no NUL, no lone surrogates."""
    return not _UNSTORABLE.search(text)


def storable(text: str) -> str:
    """Removes NUL and replaces lone surrogates by U+FFFD: Postgres and UTF-8 cannot store them."""
    return text if is_storable(text) else _UNSTORABLE.sub("\ufffd", text.replace("\0", ""))


def encodable(text: str, instead: str = "?") -> str:
    """Replaces lone surrogates (odd file names, broken UTF-16), which UTF-8 cannot encode, by `instead`, one character,
    so that the length stays the same."""
    return text if text.isascii() else _SURROGATES.sub(instead, text)
