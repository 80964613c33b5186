"""Makes text storable in every store."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

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


def storable_json(value: Any) -> Any:
    """Returns JSON that a database can store: NaN and infinity become their names, unknown types their text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {storable(str(key)): storable_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [storable_json(each) for each in value]
    return storable(str(value))


def json_text(value: Any) -> str:
    """Returns the value as JSON text that a database can store; see `storable_json`."""
    return json.dumps(storable_json(value), ensure_ascii=False)
