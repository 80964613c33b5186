"""Logs the progress of a stage every ten seconds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

EVERY_S = 10.0
log = logging.getLogger("sluice.progress")  # the command line shows it; in Airflow it is part of the task's log


class Progress:
    """One stage of one batch: `done` of `total` units of work."""

    def __init__(self, stage: str, batch: int, total: int, unit: str) -> None:
        self.stage, self.batch, self.total, self.unit = stage, batch, total, unit
        self.done = 0.0
        self._began_s = time.monotonic()

    def step(self, count: float = 1) -> None:
        """Adds units of work. `count` may be a fraction: after one of four checks a quarter is done."""
        # Limited, because the documents of a batch that fails are counted again when they are retried one by one.
        self.done = min(self.done + count, self.total)

    def __str__(self) -> str:
        took_s = time.monotonic() - self._began_s
        where = f"{self.stage}, batch {self.batch}"
        done = f"{where}: {self.done:.0f} of {self.total} {self.unit}"
        if not self.done or self.done >= self.total:  # before the first one, and while the stage ends
            return f"{done}, running for {took_s:.0f} s"
        rate = self.done / max(took_s, 0.001)
        shown = f"{rate:.1f}" if rate >= 1 else f"{rate:.2g}"
        return f"{done}, {shown}/s, {(self.total - self.done) / rate:.0f} s left"


@contextmanager
def progressing(stage: str, batch: int, total: int, unit: str = "documents") -> Iterator[Progress]:
    """Logs the progress while the body runs, from a thread, so that progress is also logged during one slow call."""
    progress, ended = Progress(stage, batch, total, unit), threading.Event()

    def report() -> None:
        while not ended.wait(EVERY_S):
            log.info("%s", str(progress))  # formatted now, because a handler may write it later

    reporter = threading.Thread(target=report, name=f"progress-{stage}-{batch}", daemon=True)
    reporter.start()
    try:
        yield progress
    finally:
        ended.set()
        reporter.join()
