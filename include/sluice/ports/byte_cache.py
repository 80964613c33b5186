"""A cache that several processes share. It may lose any entry at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class ByteCache(Protocol):
    """Bytes by key. Every method raises Unavailable within a short time if the cache cannot be used."""

    def get(self, key: str) -> bytes | None:
        """Returns the value; None: there is none."""

    def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Stores or replaces a value for at most `ttl_s`."""

    def lock(self, key: str, ttl_s: float) -> Callable[[], None] | None:
        """Takes the lock of this name and returns the function that releases it. None: another caller holds it. The
        lock ends after `ttl_s`, also if its holder died; to release it later is a no-op."""

    def close(self) -> None:
        """Closes the connections."""
