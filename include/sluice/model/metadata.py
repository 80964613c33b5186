"""Metadata that others wrote: limited and made storable in one place, whatever source or parser it comes from.

`checked` refuses what is beyond bounds and names its path: for a sender who can correct it. `cleaned` cuts it and says
so under `metadata_cut`: for what nobody can be asked about. `readable` is for metadata that is stored already.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from sluice.model.text import storable

MAX_DEPTH = 32  # of objects and lists in one another, the metadata's own object included
MAX_KEYS = 1000  # of all objects together
MAX_KEY_CHARS = 200
MAX_BYTES = 65_536  # as JSON in UTF-8: it is encrypted with every version and shown with every passage
MAX_TITLE_CHARS = 1000
CUT = "metadata_cut"
"""Key of the metadata that lists the paths at which something was cut, replaced or left out."""
RECOVERED = "words_recovered"
"""Key of the metadata that says how many words of an HTML or Office file a second reading found."""
FLAGS = "gate_flags"
"""Key of the metadata that names what the gates flagged the document for."""
_OWN = (CUT, RECOVERED, FLAGS)  # nobody else may set them

_READABLE_DEPTH = 100  # below what the JSON of an answer can be
_MAX_PATHS = 20
_MAX_PATH_CHARS = 100
INTEGERS = range(-(2**63), 2**63)  # what a store can hold


def checked(metadata: Mapping[str, Any], *, letters: bool = False) -> dict[str, Any]:
    """The metadata, made storable. Raises ValueError with the path of what is beyond bounds; with `letters` also where
    NUL or a lone surrogate would be replaced."""
    if own := next((key for key in _OWN if key in metadata), None):
        raise ValueError(f"metadata.{own}: Sluice sets this key itself; give it another name")
    walk = _Walk(MAX_DEPTH, refusing=True, letters=letters)
    found: dict[str, Any] = walk.clean(metadata, (), MAX_DEPTH)
    if _size(found) > MAX_BYTES:
        raise ValueError(f"metadata: it is larger than {MAX_BYTES >> 10} KiB")
    return found


def cleaned(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What of it can be stored; never raises. Where something was changed, `metadata_cut` lists the paths. The largest
    values go first where it is too large as a whole."""
    return _cleaned(metadata, ())


def described(title: str | None, metadata: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Title and metadata, `cleaned`."""
    kept = None if title is None else storable(title)[:MAX_TITLE_CHARS]
    return kept, _cleaned(metadata, () if kept == title else ("title",))


def _cleaned(metadata: Mapping[str, Any], cut: Sequence[str]) -> dict[str, Any]:
    walk = _Walk(MAX_DEPTH)
    found: dict[str, Any] = walk.clean(metadata, (), MAX_DEPTH)
    before = [each[-_MAX_PATH_CHARS:] for each in paths_cut(found)]
    found.pop(CUT, None)
    paths = list(dict.fromkeys([*before, *walk.cut, *cut]))
    sizes = {key: _size({key: value}) for key, value in found.items()}
    size = sum(sizes.values())  # as JSON: each pair has two characters around it, or a comma and a space
    for key in sorted(sizes, key=lambda each: -sizes[each]):
        if size + _size_of_cut(paths) <= MAX_BYTES:
            break
        del found[key]
        size -= sizes[key]
        paths = list(dict.fromkeys([*paths, _shown((key,))]))
    if paths:
        found[CUT] = paths[:_MAX_PATHS]
    return found


def _size_of_cut(paths: Sequence[str]) -> int:
    return _size({CUT: paths[:_MAX_PATHS]}) if paths else 0


def paths_cut(metadata: Mapping[str, Any]) -> list[str]:
    """The paths that `cleaned` has listed."""
    paths = metadata.get(CUT)
    return [each for each in paths if isinstance(each, str)] if isinstance(paths, list) else []


def readable(metadata: Any) -> dict[str, Any]:
    """Stored metadata as an answer can carry it; never raises."""
    if not isinstance(metadata, Mapping):
        return {}
    found: dict[str, Any] = _Walk(_READABLE_DEPTH).clean(metadata, (), _READABLE_DEPTH)
    return found


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
        found: dict[str, Any] = {}
        for key, each in value.items():
            name = self._text(str(key), (*path, str(key)))
            place = (*path, name)
            self._keys += 1
            if len(name) > MAX_KEY_CHARS:
                self._beyond(place, f"its name is longer than {MAX_KEY_CHARS} characters")
            elif self._keys > MAX_KEYS:
                self._beyond(place, f"there are more than {MAX_KEYS:,} keys")
            elif name in found:
                self._beyond(place, "the key is there twice")
            else:
                found[name] = self.clean(each, place, depth - 1)
        return found

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
    """An object of JSON (`object_pairs_hook`). Raises ValueError where a key is there twice."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{_shown((key,))}: the key is there twice")
        found[key] = value
    return found


def _size(metadata: Mapping[str, Any]) -> int:
    return len(json.dumps(metadata, ensure_ascii=False).encode())


def _digits(value: int) -> str | None:
    """Python writes no integer of thousands of digits."""
    return str(value) if value.bit_length() < 1000 else None


def _shown(path: Path) -> str:
    """`a.b[3]`, with its end where it is long."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{storable(part)}" for part in path).removeprefix(".")
    return text if len(text) <= _MAX_PATH_CHARS else "…" + text[1 - _MAX_PATH_CHARS :]
