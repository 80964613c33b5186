"""Sizes in words, and as limits of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import TypeVar

T = TypeVar("T")


def size_in_words(size_bytes: int) -> str:
    """Formats a size as `1.2 MB`, in decimal units."""
    value, unit = float(size_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{size_bytes} bytes" if unit == "bytes" else f"{value:.1f} {unit}"


def split_by_size(
    items: Sequence[T], size_of: Callable[[T], int], most: int, most_items: float = inf
) -> Iterator[Sequence[T]]:
    """Yields parts of `items`, in order, of at most `most` in size and `most_items` in number; a larger item alone."""
    start = size = 0
    for position, item in enumerate(items):
        own = size_of(item)
        if position > start and (size + own > most or position - start >= most_items):
            yield items[start:position]
            start, size = position, 0
        size += own
    if start < len(items):
        yield items[start:]
