"""Limits metadata from any source or parser and makes it storable.

`checked` rejects values beyond the limits and names their paths: for a sender who can correct them. `cleaned` cuts them
and lists the paths under `metadata_cut`: for sources that cannot be asked. `readable` is for stored metadata.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from sluice.model.text import storable

MAX_DEPTH = 32  # of nested objects and lists, including the metadata's own object
MAX_KEYS = 1000  # of all objects together
MAX_KEY_CHARS = 200
MAX_BYTES = 65_536  # as JSON in UTF-8: it is encrypted with every version and shown with every passage
MAX_TITLE_CHARS = 1000
CUT = "metadata_cut"
"""Metadata key that lists the paths at which something was cut, replaced or left out."""
RECOVERED = "words_recovered"
"""Metadata key with the number of words that a second reading of an HTML or Office file found."""
FLAGS = "gate_flags"
"""Metadata key that lists the checks for which gates flagged the document."""
OWN = (CUT, RECOVERED, FLAGS)  # set by Sluice only

_READABLE_DEPTH = 100  # less than the nesting that JSON of a response can have
_MAX_PATHS = 20
_MAX_PATH_CHARS = 100
INTEGERS = range(-(2**63), 2**63)  # integers that every store accepts


def checked(metadata: Mapping[str, Any], *, letters: bool = False) -> dict[str, Any]:
    """Returns the metadata, made storable. Raises ValueError with the path of a value beyond the limits; with `letters`
    also where NUL or a lone surrogate would be replaced."""
    if own := next((key for key in OWN if key in metadata), None):
        raise ValueError(f"metadata.{own}: Sluice sets this key itself; give it another name")
    walk = _Walk(MAX_DEPTH, refusing=True, letters=letters)
    clean: dict[str, Any] = walk.clean(metadata, (), MAX_DEPTH)
    if _size(clean) > MAX_BYTES:
        raise ValueError(f"metadata: it is larger than {MAX_BYTES >> 10} KiB")
    return clean


def cleaned(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the storable part of the metadata; never raises. Where something was changed, `metadata_cut` lists the
    paths. Where the whole is too large, the largest values are left out first."""
    return _cleaned(metadata, ())


def described(title: str | None, metadata: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Returns title and metadata within the limits, as `cleaned` does."""
    cut_title = None if title is None else storable(title)[:MAX_TITLE_CHARS]
    return cut_title, _cleaned(metadata, () if cut_title == title else ("title",))


def _cleaned(metadata: Mapping[str, Any], cut: Sequence[str]) -> dict[str, Any]:
    walk = _Walk(MAX_DEPTH)
    clean: dict[str, Any] = walk.clean(metadata, (), MAX_DEPTH)
    before = [each[-_MAX_PATH_CHARS:] for each in paths_cut(clean)]
    clean.pop(CUT, None)
    paths = list(dict.fromkeys([*before, *walk.cut, *cut]))
    sizes = {key: _size({key: value}) for key, value in clean.items()}
    size = sum(sizes.values())  # as JSON: each pair has two characters around it, or a comma and a space
    for key in sorted(sizes, key=lambda each: -sizes[each]):
        if size + _size_of_cut(paths) <= MAX_BYTES:
            break
        del clean[key]
        size -= sizes[key]
        paths = list(dict.fromkeys([*paths, _shown((key,))]))
    if paths:
        clean[CUT] = paths[:_MAX_PATHS]
    return clean


def _size_of_cut(paths: Sequence[str]) -> int:
    return _size({CUT: paths[:_MAX_PATHS]}) if paths else 0


def paths_cut(metadata: Mapping[str, Any]) -> list[str]:
    """Returns the paths that `cleaned` listed."""
    paths = metadata.get(CUT)
    return [each for each in paths if isinstance(each, str)] if isinstance(paths, list) else []


def readable(metadata: Any) -> dict[str, Any]:
    """Returns stored metadata in a form that a response can contain; never raises."""
    if not isinstance(metadata, Mapping):
        return {}
    clean: dict[str, Any] = _Walk(_READABLE_DEPTH).clean(metadata, (), _READABLE_DEPTH)
    return clean


Path = tuple[str | int, ...]


class _Walk:
    def __init__(self, depth: int, *, refusing: bool = False, letters: bool = False) -> None:
        self._depth, self._refusing, self._letters = depth, refusing, letters
        self._keys = 0
        self.cut: list[str] = []

    def clean(self, value: Any, path: Path, depth: int) -> Any:
        if isinstance(value, str):
            return self._text(value, path)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return value if value in INTEGERS else self._beyond(path, "it is an integer beyond 64 bits", _digits(value))
        if isinstance(value, float):
            return value if math.isfinite(value) else self._beyond(path, "it is not a finite number")
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            if depth == 0:
                return self._beyond(path, f"it is nested deeper than {self._depth} levels")
            if isinstance(value, Mapping):
                return self._object(value, path, depth)
            return [self.clean(each, (*path, place), depth - 1) for place, each in enumerate(value)]
        return self._text(value.isoformat() if isinstance(value, date) else str(value), path)

    def _object(self, value: Mapping[Any, Any], path: Path, depth: int) -> dict[str, Any]:
        cleaned_object: dict[str, Any] = {}
        for key, each in value.items():
            name = self._text(str(key), (*path, str(key)))
            place = (*path, name)
            self._keys += 1
            if len(name) > MAX_KEY_CHARS:
                self._beyond(place, f"its name is longer than {MAX_KEY_CHARS} characters")
            elif self._keys > MAX_KEYS:
                self._beyond(place, f"there are more than {MAX_KEYS:,} keys")
            elif name in cleaned_object:
                self._beyond(place, "the key is there twice")
            else:
                cleaned_object[name] = self.clean(each, place, depth - 1)
        return cleaned_object

    def _text(self, text: str, path: Path) -> str:
        stored = storable(text)
        if stored != text and (self._letters or not self._refusing):
            self._beyond(path, "it holds NUL or half of a surrogate pair")
        return stored

    def _beyond(self, path: Path, why: str, instead: Any = None) -> Any:
        if self._refusing:
            raise ValueError(f"{_shown(('metadata', *path))}: {why}")
        if len(self.cut) < _MAX_PATHS:
            self.cut.append(_shown(path))
        return instead


def unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Builds a JSON object (`object_pairs_hook`). Raises ValueError on a duplicate key."""
    unique_pairs: dict[str, Any] = {}
    for key, value in pairs:
        if key in unique_pairs:
            raise ValueError(f"{_shown((key,))}: the key is there twice")
        unique_pairs[key] = value
    return unique_pairs


def _size(metadata: Mapping[str, Any]) -> int:
    return len(json.dumps(metadata, ensure_ascii=False).encode())


def _digits(value: int) -> str | None:
    """Returns the digits; None where there are too many for Python to convert."""
    return str(value) if value.bit_length() < 1000 else None


def _shown(path: Path) -> str:
    """Formats a path as `a.b[3]`; only its end where it is long."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{storable(part)}" for part in path).removeprefix(".")
    return text if len(text) <= _MAX_PATH_CHARS else "…" + text[1 - _MAX_PATH_CHARS :]
