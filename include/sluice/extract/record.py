"""One line of a JSON Lines file: `_id`, `title`, `text`; every other key is metadata."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RECORD_MIME = "application/vnd.sluice.record+json"  # what `Raw.mime` says of such a line
MAX_ID_CHARS = 1000
MAX_DEPTH = 32  # of objects and lists in one another, the line's own object included
MAX_METADATA_BYTES = 65_536  # as JSON in UTF-8: it is sealed with every version and shown with every passage
_INTEGERS = range(-(2**63), 2**63)  # what a store can hold

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Record:
    id: str
    title: str | None
    text: str
    metadata: Mapping[str, Any]


def parse_record(line: bytes) -> Record:
    """Raises ValueError, and nothing else, where the line is not such an object or holds what no store takes.

    NUL is left out, lone surrogates become U+FFFD.
    """
    try:
        value = _DECODER.decode(line.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError("not an object")
    identifier = value.pop("_id", None)
    if type(identifier) is int and identifier in _INTEGERS:
        identifier = str(identifier)
    if not isinstance(identifier, str) or not 0 < len(identifier) <= MAX_ID_CHARS or not identifier.isprintable():
        raise ValueError("no usable _id")
    value = _clean(value, MAX_DEPTH)
    title, text = value.pop("title", None), value.pop("text", None)
    if not isinstance(text, str):
        raise ValueError("no text")
    if len(json.dumps(value, ensure_ascii=False).encode()) > MAX_METADATA_BYTES:
        raise ValueError("too much metadata")
    return Record(identifier, str(title) if title is not None else None, text, value)


def storable(text: str) -> str:
    """Without what neither Postgres nor UTF-8 can hold."""
    if not _UNSTORABLE.search(text):
        return text
    return _UNSTORABLE.sub("\ufffd", text.replace("\0", ""))


def _clean(value: Any, depth: int) -> Any:
    """Raises ValueError for more than `depth` levels, numbers that are not finite, and integers beyond 64 bits."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict | list):
        if depth == 0:
            raise ValueError("nested too deep")
        if isinstance(value, list):
            return [_clean(each, depth - 1) for each in value]
        return {storable(key): _clean(each, depth - 1) for key, each in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not a finite number")
    if type(value) is int and value not in _INTEGERS:
        raise ValueError("an integer beyond 64 bits")
    return value


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
