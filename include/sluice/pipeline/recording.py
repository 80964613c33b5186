"""Shared behaviour of all stages: recording, leases, isolation of failing documents, closing failed runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from sluice.errors import LostLease, SluiceError, Terminal, storable_text
from sluice.model.quarantine import QuarantineEntry
from sluice.model.run import Run, StageStat
from sluice.pipeline.progress import Progress, progressing
from sluice.ports.runs import Runs

T = TypeVar("T")
D = TypeVar("D")
log = logging.getLogger(__name__)

WHOLE_RUN = -1


@dataclass(frozen=True, slots=True)
class Recorder:
    """Records in the ledger what a run does, under the lease of its source."""

    runs: Runs
    lease_s: float  # of the source; another run may take it over when it expires

    @contextmanager
    def failing(self, run: Run) -> Iterator[None]:
        """Closes the run as failed in the ledger on any error. What is served does not change."""
        try:
            yield
        except BaseException as error:
            with suppress(SluiceError):  # the ledger may be down, too: raise the first error
                self.runs.finish(run, "failed", {"error": storable_text(error)})
            raise

    @contextmanager
    def leased(self, run: Run) -> Iterator[None]:
        """Claims the run's source and renews the lease while the body runs. Raises Busy; raises LostLease where the
        lease was lost meanwhile.

        A failed renewal does not interrupt the body: if another run takes the source over, the ledger rejects the
        writes.
        """
        self.runs.claim(run, self.lease_s)
        done, lost = threading.Event(), threading.Event()

        def renew() -> None:
            while not done.wait(self.lease_s / 3):
                with suppress(SluiceError):
                    if not self.runs.renew(run, self.lease_s):
                        lost.set()
                        return

        renewal = threading.Thread(target=renew, name=f"lease-{run.run_id}", daemon=True)
        renewal.start()
        try:
            yield
            if lost.is_set():
                with self.runs.fenced(run):
                    pass
        finally:
            done.set()
            renewal.join()

    @contextmanager
    def recorded(self, run: Run, batch: int, stage: str) -> Iterator[dict[str, int]]:
        """Runs a stage under the lease of its source and records its counts in the ledger at its end. Raises Busy."""
        counts: dict[str, int] = {}
        started_s = time.perf_counter()
        with self.leased(run):
            yield counts
        if superseded := counts.get("superseded"):
            skipped = "%s: documents skipped, because a later run supersedes them: run=%s count=%d"
            log.warning(skipped, stage, run.run_id, superseded)
        self.runs.record_stage(run, StageStat(batch, stage, time.perf_counter() - started_s, counts))

    @contextmanager
    def progressing(
        self, run: Run, batch: int, stage: str, total: int, unit: str = "documents"
    ) -> Iterator[tuple[dict[str, int], Progress]]:
        """Does the same as `recorded`, and logs the progress of the stage. `total`: its units of work."""
        with self.recorded(run, batch, stage) as counts, progressing(stage, batch, total, unit) as progress:
            yield counts, progress


def isolate_failures(
    verb: Callable[[Sequence[Any]], list[Any]], documents: Sequence[Any], stage: str, *, terminal: bool = False
) -> tuple[list[Any], list[QuarantineEntry]]:
    """Calls `verb` with the whole batch and, after an unexpected error, with one document at a time.

    Returns the results, and a quarantine entry for each document that fails. If every document fails, the first error
    is raised: its cause is then not a document. A SluiceError is raised at once. With `terminal`, the documents of a
    batch are tried one by one also after a Terminal error: a store may have rejected the data of one of them.
    """

    def must_raise(error: Exception) -> bool:
        if not isinstance(error, SluiceError) or isinstance(error, LostLease):
            return isinstance(error, LostLease)
        return not (terminal and isinstance(error, Terminal) and len(documents) > 1)

    try:
        return verb(documents), []
    except Exception as error:
        if must_raise(error):
            raise
        log.exception("Stage %s failed on a batch of %d documents; retrying one by one", stage, len(documents))
        first = error
    results: list[Any] = []
    failures: list[QuarantineEntry] = []
    for document in documents:
        try:
            results += verb([document])
        except Exception as error:
            if must_raise(error):
                raise
            failures.append(_stage_failure(document, stage, error))
    if not results and len(documents) > 1:
        raise first
    return results, failures


def leave_out_failing(
    verb: Callable[[Sequence[D]], T], documents: Sequence[D], stage: str
) -> tuple[T, list[QuarantineEntry]]:
    """Does the same for a verb that compares documents of a batch: calls it again without the documents on which it
    fails alone. Raises the same errors as `isolate_failures`."""
    try:
        return verb(documents), []
    except SluiceError:
        raise
    except Exception:
        log.exception("Stage %s failed on a batch of %d documents; trying each one alone", stage, len(documents))
        rest, failures = isolate_failures(lambda part: [verb(part), *part][1:], documents, stage)
        return verb(rest), failures


def _stage_failure(row: Any, stage: str, error: Exception) -> QuarantineEntry:
    reason = f"Stage {stage} failed on it ({type(error).__name__}). The next run tries again; report it if it stays."
    document = getattr(row, "document", row)
    return QuarantineEntry(document.item, stage, f"{stage}_failed", reason, retry=True, raw_hash=document.raw_hash)
