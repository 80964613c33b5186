"""Reads streams and storages of an OLE container (MS-CFB) without recursion. Runs in the worker, under its limits."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from sluice.model.reasons import unreadable

_HEADER = struct.Struct("<30xHH10xII4x5I")  # from the sector sizes to the number of DIFAT sectors
_ENTRY = struct.Struct("<64sHBx3I36xIQ")
_IN_HEADER = 109  # FAT sector numbers in the header; the others are in sectors of their own
_LAST = 0xFFFFFFFA  # numbers from here on are not sectors
_NONE = 0xFFFFFFFF
_STORAGE, _STREAM = 1, 2
_MOST_READ = 4  # times the size of the file; more means a bomb of streams that share sectors


@dataclass(slots=True)
class Storage:
    streams: dict[str, bytes] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)


def read_ole(content: bytes) -> Storage:
    """Returns the root storage. Raises ExtractionError (corrupt)."""
    try:
        return _Container(content).root()
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise unreadable("corrupt") from error


class _Container:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._left = _MOST_READ * len(content)
        shift, mini, fats, self._first, self._cutoff, mini_fat, mini_fats, difat, difats = _HEADER.unpack_from(content)
        if not (7 <= shift <= 16 and 2 <= mini < shift):
            raise ValueError("impossible sector sizes")
        self._size, self._mini_size = 1 << shift, 1 << mini
        numbers = array("I", content[76 : 76 + 4 * _IN_HEADER])
        for _ in range(min(difats, len(content) >> shift)):
            if difat >= _LAST:
                break
            more = array("I", self._sector(difat))
            difat = more.pop()
            numbers.extend(more)
        self._fat = array("I", b"".join(self._sector(number) for number in numbers[:fats] if number < _LAST))
        self._mini_fat = array("I", self._chain(mini_fat) if mini_fats else b"")
        self._mini = b""

    def root(self) -> Storage:
        directory = self._chain(self._first)
        entries = list(_ENTRY.iter_unpack(directory[: len(directory) // 128 * 128]))
        self._mini = self._chain(entries[0][6])  # the root entry holds the small streams
        root = Storage()
        seen: set[int] = set()
        waiting = [(entries[0][5], root)]
        while waiting:
            number, storage = waiting.pop()
            if number == _NONE or number in seen or number >= len(entries):
                continue
            seen.add(number)
            name_bytes, length, kind, left, right, child, start, size = entries[number]
            name = name_bytes[: max(0, min(length, 64) - 2)].decode("utf-16-le", "replace")
            waiting += [(left, storage), (right, storage)]
            if kind == _STREAM:
                storage.streams[name] = self._stream(start, size & 0xFFFFFFFF)
            elif kind == _STORAGE:
                storage.storages[name] = inner = Storage()
                waiting.append((child, inner))
        return root

    def _stream(self, start: int, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise ValueError("streams are longer than the file")
        if size >= self._cutoff:
            return self._chain(start)[:size]
        places = (number * self._mini_size for number in _numbers(self._mini_fat, start))
        return b"".join(self._mini[place : place + self._mini_size] for place in places)[:size]

    def _chain(self, start: int) -> bytes:
        return b"".join(map(self._sector, _numbers(self._fat, start)))

    def _sector(self, number: int) -> bytes:
        place = (number + 1) * self._size
        sector = self._content[place : place + self._size]
        return sector.ljust(self._size, b"\0") if sector else b""


def _numbers(table: array[int], number: int) -> Iterator[int]:
    for _ in range(len(table)):  # bounded: a chain may be circular
        if number >= len(table):
            return
        yield number
        number = table[number]
