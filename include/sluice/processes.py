"""Child processes."""

from __future__ import annotations

from contextlib import suppress
from subprocess import Popen, TimeoutExpired

END_TIMEOUT_S = 5.0


def reap(process: Popen[bytes]) -> None:
    """Closes the pipes of a process that was killed, and waits until it has ended, at most five seconds.

    The pipes are closed first: another process may have inherited one and keep it open."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    with suppress(TimeoutExpired):
        process.wait(END_TIMEOUT_S)
