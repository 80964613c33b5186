"""Politeness: the time between two requests to one host, over all processes of this machine."""

from __future__ import annotations

import fcntl
import os
import re
import time
from pathlib import Path


class Pace:
    """`folder` holds one file a host, locked while somebody waits for a turn; None: this object alone keeps time."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._last_s: dict[str, float] = {}

    def wait(self, host: str, delay_s: float) -> None:
        """Returns when the host may be asked, `delay_s` after the last time it was."""
        if delay_s <= 0:
            return
        if self._folder is not None:
            try:
                return self._wait_in_turn(self._folder, host, delay_s)
            except OSError:  # a folder that cannot be written: better one's own pace than none
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
            # A clock that was set back must not stop everything.
            last_s = min(_seconds(os.pread(descriptor, 40, 0), now), now + delay_s)
            start_s = max(now, last_s + delay_s)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{start_s:.6f}".encode(), 0)
        finally:
            os.close(descriptor)
        time.sleep(max(0.0, start_s - time.time()))


def _seconds(written: bytes, otherwise: float) -> float:
    """`otherwise` for half a number, which a process left that was killed."""
    try:
        return float(written or b"0")
    except ValueError:
        return otherwise
