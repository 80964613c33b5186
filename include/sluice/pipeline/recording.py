"""Shared behaviour of all stages: recording, leases, gates, isolation of failing documents, closing failed runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from sluice.errors import LostLease, SluiceError, Terminal
from sluice.indexing import outbox
from sluice.model.gates import GateRule
from sluice.model.generation import Generation
from sluice.model.quarantine import QuarantineEntry
from sluice.model.run import Run, StageStat
from sluice.pipeline.quarantine import refuse
from sluice.ports.projections import GraphIndex
from sluice.ports.tools import Tools
from sluice.quality.gate_rules import merged
from sluice.quality.gates import Verdict

T = TypeVar("T")
D = TypeVar("D")
log = logging.getLogger(__name__)

WHOLE_RUN = -1


def graph_of(tools: Tools, generation: Generation) -> GraphIndex | None:
    """Returns the graph where this generation has one. Raises Terminal where it has one but the graph is off."""
    if not generation.has_graph:
        return None
    if tools.graph is None:
        raise Terminal(
            f"Collection {generation.collection} was created with the graph on, but SLUICE_GRAPH is off now, so the "
            "graph would become outdated. Set SLUICE_GRAPH=on, or ingest into another collection. Nothing was changed."
        )
    return tools.graph


def drained(tools: Tools, generation: Generation) -> int:
    """Processes the outbox of the collection. Returns how many chunks were removed from the stores."""
    return outbox.drain(generation, ledger=tools.ledger, vectors=tools.vectors, graph=graph_of(tools, generation))


def drop_stores(tools: Tools, generation: Generation) -> None:
    """Drops the generation from vectors and graph. Safe to repeat."""
    tools.vectors.drop(generation)
    if graph := graph_of(tools, generation):
        graph.drop(generation)


@contextmanager
def failing(tools: Tools, run: Run) -> Iterator[None]:
    """Closes the run as failed in the ledger on any error. What is served does not change."""
    try:
        yield
    except BaseException as error:
        with suppress(SluiceError):  # the ledger may be down, too: raise the first error
            tools.ledger.runs.finish(run, "failed", {"error": f"{type(error).__name__}: {error}"})
        raise


@contextmanager
def leased(tools: Tools, run: Run) -> Iterator[None]:
    """Claims the run's source and renews the lease while the body runs. Raises Busy; raises LostLease where the lease
    was lost meanwhile.

    A failed renewal does not interrupt the body: if another run takes the source over, the ledger rejects the writes.
    """
    tools.ledger.runs.claim(run, tools.lease_s)
    done, lost = threading.Event(), threading.Event()

    def renew() -> None:
        while not done.wait(tools.lease_s / 3):
            with suppress(SluiceError):
                if not tools.ledger.runs.renew(run, tools.lease_s):
                    lost.set()
                    return

    renewal = threading.Thread(target=renew, name=f"lease-{run.run_id}", daemon=True)
    renewal.start()
    try:
        yield
        if lost.is_set():
            with tools.ledger.runs.fenced(run):
                pass
    finally:
        done.set()
        renewal.join()


@contextmanager
def recorded(tools: Tools, run: Run, batch: int, stage: str) -> Iterator[dict[str, int]]:
    """Runs a stage under the lease of its source and records its counts in the ledger at its end. Raises Busy."""
    counts: dict[str, int] = {}
    started_s = time.perf_counter()
    with leased(tools, run):
        yield counts
    if superseded := counts.get("superseded"):
        log.warning(
            "%s: documents skipped, because a later run supersedes them: run=%s count=%d", stage, run.run_id, superseded
        )
    tools.ledger.runs.record_stage(run, StageStat(batch, stage, time.perf_counter() - started_s, counts))


def gate_rules(tools: Tools, generation: Generation) -> dict[tuple[str, str], GateRule]:
    """Returns the gate rules of the collection. Its own rules override those of the settings."""
    return merged(tools.gate_rules, tools.ledger.quality.rules(generation))


def gated(tools: Tools, run: Run, batch: int, stage: str, verdict: Verdict[T], counts: dict[str, int]) -> list[T]:
    """Records the results of a gate and quarantines what it blocked. Returns what passed."""
    tools.ledger.quality.record_gates(run, batch, stage, verdict.results, verdict.rows)
    superseded = refuse(tools, run, verdict.failures)
    counts["superseded"] = counts.get("superseded", 0) + superseded
    counts["documents"] = len(verdict.passed)
    counts["quarantined"] = counts.get("quarantined", 0) + len(verdict.failures) - superseded
    counts["flagged"] = len({row.document_id for row in verdict.rows})
    counts["gx_import_ms"] = round(verdict.import_seconds * 1000)
    return verdict.passed


def isolate_failures(
    verb: Callable[[Sequence[Any]], list[Any]], documents: Sequence[Any], stage: str, *, terminal: bool = False
) -> tuple[list[Any], list[QuarantineEntry]]:
    """Calls `verb` with the whole batch and, after an unexpected error, with one document at a time.

    Returns the results, and a quarantine entry for each document that fails. An error that every document causes is
    raised, because the documents are not its cause. A SluiceError is raised, too; with `terminal`, a Terminal error of
    a batch with several documents is not, because a store raises it where it rejects the data of one document.
    """

    def raised(error: Exception) -> bool:
        if not isinstance(error, SluiceError) or isinstance(error, LostLease):
            return isinstance(error, LostLease)
        return not (terminal and isinstance(error, Terminal) and len(documents) > 1)

    try:
        return verb(documents), []
    except Exception as error:
        if raised(error):
            raise
        log.exception("Stage %s failed on a batch of %d documents; retrying one by one", stage, len(documents))
        first = error
    results: list[Any] = []
    failures: list[QuarantineEntry] = []
    for document in documents:
        try:
            results += verb([document])
        except Exception as error:
            if raised(error):
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
