"""An object of a server as a file that can be read at any place, by parts."""

from __future__ import annotations

import os
from collections.abc import Callable

_PART_BYTES = 256 << 10  # at a time: the directory of a zip, or some small members


class Ranges:
    """`get(start, stop)` gives these bytes of an object of `size` bytes. One part is held."""

    def __init__(self, get: Callable[[int, int], bytes], size: int) -> None:
        self._get = get
        self._size = size
        self._place = self._start = 0
        self._part = b""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes from the current place; all that follow where it is negative. Raises what `get`
        raises."""
        begin = min(self._place, self._size)
        end = self._size if size < 0 else min(begin + size, self._size)
        if begin < self._start or end > self._start + len(self._part):
            # What lies near the end is wanted together: a zip ends with its directory.
            start = min(begin, max(0, self._size - _PART_BYTES))
            # Where this raises, what is held stays as it is.
            self._part = self._get(start, max(end, min(start + _PART_BYTES, self._size)))
            self._start = start
        self._place = end
        return self._part[begin - self._start : end - self._start]

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """`offset` in bytes, from the beginning, the current place or the end; the place from the beginning. Raises
        ValueError before the beginning."""
        place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        if place < 0:
            raise ValueError("a place before the beginning")
        self._place = place
        return place

    def tell(self) -> int:
        """Bytes from the beginning."""
        return self._place

    def close(self) -> None:
        """Frees the part that is held."""
        self._part = b""
