"""One line of a JSON Lines file: `_id`, `title`, `text`; every other key is metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice.model.metadata import INTEGERS, checked
from sluice.model.names import is_external_id
from sluice.model.text import storable

RECORD_MIME = "application/vnd.sluice.record+json"  # `FetchedDocument.mime` of such a line


@dataclass(frozen=True, slots=True)
class Record:
    id: str
    title: str | None
    text: str
    metadata: Mapping[str, Any]


def parse_record(line: bytes) -> Record:
    """Parses one line. Raises only ValueError: where the line is not such an object, or has values that no store
    accepts. NUL is left out, lone surrogates become U+FFFD.
    """
    try:
        value = _DECODER.decode(line.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError("not an object")
    identifier = value.pop("_id", None)
    if type(identifier) is int and identifier in INTEGERS:
        identifier = str(identifier)
    if not isinstance(identifier, str) or not is_external_id(identifier):
        raise ValueError("no usable _id")
    text = value.pop("text", None)
    if not isinstance(text, str):
        raise ValueError("no text")
    title = checked({"title": value.pop("title", None)})["title"]
    return Record(identifier, str(title) if title is not None else None, storable(text), checked(value))


def _reject(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_reject)
