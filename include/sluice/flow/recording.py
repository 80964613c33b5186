"""What every stage does beside its work: it records itself, spares the innocent and closes the run that failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from sluice.errors import SluiceError, Terminal
from sluice.model import Failure, Generation, Run, StageStat
from sluice.ports import GraphIndex, Tools

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


@contextmanager
def failing(tools: Tools, run: Run) -> Iterator[None]:
    """The ledger's run is closed as failed, whatever went wrong; what is served is as before."""
    try:
        yield
    except BaseException as error:
        with suppress(SluiceError):  # the ledger may be what is down: the first error is the one to tell
            tools.ledger.finish_run(run, "failed", {"error": f"{type(error).__name__}: {error}"})
        raise


@contextmanager
def recorded(tools: Tools, run: Run, batch: int, stage: str) -> Iterator[dict[str, int]]:
    counts: dict[str, int] = {}
    started_s = time.perf_counter()
    yield counts
    tools.ledger.record_stage(run, StageStat(batch, stage, time.perf_counter() - started_s, counts))


def sparing(
    verb: Callable[[Sequence[Any]], list[Any]], documents: Sequence[Any], stage: str
) -> tuple[list[Any], list[Failure]]:
    """All at once; where that breaks on something unforeseen, one by one, so that one document costs only itself.

    What breaks every document is not the documents' fault and is raised, as is every error of our own.
    """
    try:
        return verb(documents), []
    except SluiceError:
        raise
    except Exception as error:
        log.exception("Stage %s broke on a batch of %d; it is tried document by document", stage, len(documents))
        first = error
    done: list[Any] = []
    failures: list[Failure] = []
    for each in documents:
        try:
            done += verb([each])
        except SluiceError:
            raise
        except Exception as error:
            reason = (
                f"Stage {stage} broke on it ({type(error).__name__}). The next run tries again; tell us if it stays."
            )
            item = getattr(each, "document", each).item
            failures.append(Failure(item, stage, f"{stage}_failed", reason, retry=True))
    if not done and len(documents) > 1:
        raise first
    return done, failures
