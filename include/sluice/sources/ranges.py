"""Reads an object on a server as a seekable file, in parts."""

from __future__ import annotations

import os
from collections.abc import Callable

_PART_BYTES = 256 << 10  # per request: the directory of a zip, or a few small members


class Ranges:
    """A seekable file over an object of `size` bytes. `get(start, stop)` returns its bytes. One part is cached."""

    def __init__(self, get: Callable[[int, int], bytes], size: int) -> None:
        self._get = get
        self._size = size
        self._position = self._start = 0
        self._part = b""

    def read(self, size: int = -1, /) -> bytes:
        """Returns at most `size` bytes from the current position; all remaining bytes if `size` is negative. Raises the
        errors of `get`."""
        begin = min(self._position, self._size)
        end = self._size if size < 0 else min(begin + size, self._size)
        if begin < self._start or end > self._start + len(self._part):
            # Reads the end in one request: a zip ends with its directory.
            start = min(begin, max(0, self._size - _PART_BYTES))
            # If this raises, the cached part stays valid.
            self._part = self._get(start, max(end, min(start + _PART_BYTES, self._size)))
            self._start = start
        self._position = end
        return self._part[begin - self._start : end - self._start]

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves by `offset` bytes from the beginning, the current position or the end, and returns the position from
        the beginning.

        Raises ValueError for a position before the beginning.
        """
        place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if place < 0:
            raise ValueError("a place before the beginning")
        self._position = place
        return place

    def tell(self) -> int:
        """Returns the position in bytes from the beginning."""
        return self._position

    def close(self) -> None:
        """Frees the cached part."""
        self._part = b""
