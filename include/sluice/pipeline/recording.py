"""What every stage does beside its work: it records itself, isolates documents that fail and closes failed runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from sluice.errors import LostLease, SluiceError, Terminal
from sluice.indexing import loading
from sluice.model.gates import GateRule
from sluice.model.generation import Generation
from sluice.model.quarantine import QuarantineEntry
from sluice.model.run import Run, StageStat
from sluice.pipeline.quarantine import refuse
from sluice.ports.projections import GraphIndex
from sluice.ports.tools import Tools
from sluice.quality.gates import Verdict
from sluice.quality.rules import merged

T = TypeVar("T")
D = TypeVar("D")
log = logging.getLogger(__name__)

WHOLE_RUN = -1


def graph_of(tools: Tools, generation: Generation) -> GraphIndex | None:
    """The graph where this generation has one. Raises Terminal where it should be there and is switched off."""
    if generation.profile.entities == "off":
        return None
    if tools.graph is None:
        raise Terminal(
            f"Collection {generation.collection} was made with the graph on, and SLUICE_GRAPH is off now: the graph "
            "would fall behind. Set SLUICE_GRAPH=on, or ingest into another collection. Nothing was changed."
        )
    return tools.graph


def drained(tools: Tools, generation: Generation) -> int:
    """Chunks that went from the stores: all whose removal is queued for the collection."""
    return loading.drain(generation, ledger=tools.ledger, vectors=tools.vectors, graph=graph_of(tools, generation))


def drop_stores(tools: Tools, generation: Generation) -> None:
    """The generation goes from vectors and graph. Safe to repeat."""
    tools.vectors.drop(generation)
    if graph := graph_of(tools, generation):
        graph.drop(generation)


@contextmanager
def failing(tools: Tools, run: Run) -> Iterator[None]:
    """The ledger's run is closed as failed, whatever went wrong; what is served is as before."""
    try:
        yield
    except BaseException as error:
        with suppress(SluiceError):  # the ledger may be what is down: the first error is the one to tell
            tools.ledger.runs.finish(run, "failed", {"error": f"{type(error).__name__}: {error}"})
        raise


@contextmanager
def leased(tools: Tools, run: Run) -> Iterator[None]:
    """The run alone works on its source: its lease is renewed while the body lasts. Raises Busy, and LostClaim where
    the claim was lost meanwhile.

    A renewal that fails is not the body's trouble: should another run take over, the ledger refuses to write.
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
    """What the stage did goes to the ledger at its end; while it works, its run holds the source. Raises Busy."""
    counts: dict[str, int] = {}
    started_s = time.perf_counter()
    with leased(tools, run):
        yield counts
    if left := counts.get("superseded"):
        log.warning(
            "%s: documents left, because a later run knows more of them: run=%s count=%d", stage, run.run_id, left
        )
    tools.ledger.runs.record_stage(run, StageStat(batch, stage, time.perf_counter() - started_s, counts))


def gate_rules(tools: Tools, generation: Generation) -> dict[tuple[str, str], GateRule]:
    """What holds for the collection: its own rules before the settings'."""
    return merged(tools.gate_rules, tools.ledger.quality.rules(generation))


def gated(tools: Tools, run: Run, batch: int, stage: str, verdict: Verdict[T], counts: dict[str, int]) -> list[T]:
    """Record what a gate found, quarantine what it kept out → what goes on."""
    tools.ledger.quality.record_gates(run, batch, stage, verdict.results, verdict.rows)
    left = refuse(tools, run, verdict.failures)
    counts["superseded"] = counts.get("superseded", 0) + left
    counts["documents"] = len(verdict.passed)
    counts["quarantined"] = counts.get("quarantined", 0) + len(verdict.failures) - left
    counts["flagged"] = len({row.document_id for row in verdict.rows})
    counts["gx_import_ms"] = round(verdict.import_seconds * 1000)
    return verdict.passed


def isolate_failures(
    verb: Callable[[Sequence[Any]], list[Any]], documents: Sequence[Any], stage: str, *, terminal: bool = False
) -> tuple[list[Any], list[QuarantineEntry]]:
    """All at once; where that breaks on something unforeseen, one by one, so that one document costs only itself.

    What breaks every document is not the documents' fault and is raised, as is every error of our own. `terminal`:
    except Terminal where there are several documents, as a store raises it that refuses the data of one.
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
        log.exception("Stage %s broke on a batch of %d; it is tried document by document", stage, len(documents))
        first = error
    done: list[Any] = []
    failures: list[QuarantineEntry] = []
    for each in documents:
        try:
            done += verb([each])
        except Exception as error:
            if raised(error):
                raise
            failures.append(_broken(each, stage, error))
    if not done and len(documents) > 1:
        raise first
    return done, failures


def leave_out_failing(
    verb: Callable[[Sequence[D]], T], documents: Sequence[D], stage: str
) -> tuple[T, list[QuarantineEntry]]:
    """For a verb that looks at documents side by side: those on which it breaks alone are left out. Raises as
    `isolate_failures`."""
    try:
        return verb(documents), []
    except SluiceError:
        raise
    except Exception:
        log.exception("Stage %s broke on a batch of %d; each document is tried alone", stage, len(documents))
        rest, failures = isolate_failures(lambda part: [verb(part), *part][1:], documents, stage)
        return verb(rest), failures


def _broken(document: Any, stage: str, error: Exception) -> QuarantineEntry:
    reason = f"Stage {stage} broke on it ({type(error).__name__}). The next run tries again; tell us if it stays."
    judged = getattr(document, "document", document)
    return QuarantineEntry(judged.item, stage, f"{stage}_failed", reason, retry=True, raw_hash=judged.raw_hash)
