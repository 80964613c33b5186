"""Limits the rate of requests to one host, over all processes of this machine."""

from __future__ import annotations

import fcntl
import os
import re
import time
from pathlib import Path


class Pace:
    """`folder` has one file per host, locked while a process waits for its turn. None: only this object limits the
    rate."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._last_s: dict[str, float] = {}

    def wait(self, host: str, delay_s: float) -> None:
        """Blocks until `delay_s` after the previous request to the host."""
        if delay_s <= 0:
            return
        if self._folder is not None:
            try:
                return self._wait_in_turn(self._folder, host, delay_s)
            except OSError:  # if the folder cannot be written, this process limits its own rate
                self._folder = None
        now = time.time()
        start_s = max(now, self._last_s.get(host, 0.0) + delay_s)
        self._last_s[host] = start_s
        time.sleep(start_s - now)

    def _wait_in_turn(self, folder: Path, host: str, delay_s: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / re.sub(r"[^a-z0-9.-]", "_", host)[:200]
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            now = time.time()
            # If the clock was set back, do not wait for the old time.
            last_s = min(_seconds(os.pread(descriptor, 40, 0), now), now + delay_s)
            start_s = max(now, last_s + delay_s)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{start_s:.6f}".encode(), 0)
        finally:
            os.close(descriptor)
        time.sleep(max(0.0, start_s - time.time()))


def _seconds(written: bytes, otherwise: float) -> float:
    """Returns `otherwise` for an incomplete number, left by a process that was killed."""
    try:
        return float(written or b"0")
    except ValueError:
        return otherwise
