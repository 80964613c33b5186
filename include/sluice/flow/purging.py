"""What has expired goes, by the way that deletions at a source go: one ledger transaction, then the outbox.

A purge is a run of each source that has something expired. It holds the source as an ingest does, so that neither sees
the other half-way; where one is at work the source is left for the next time. Batches are whole: a purge that breaks
off has taken out some, and one that is started again empties the outbox first and goes on with the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from uuid import uuid4

from sluice import load as loading
from sluice.errors import Busy, NotFound, Terminal
from sluice.flow.keeping import let_go
from sluice.flow.recording import WHOLE_RUN, failing, graph_of, recorded
from sluice.model import ExpiredDocument, Generation, Run, Source
from sluice.ports import Tools

BATCH_DOCUMENTS = 500


def expired(tools: Tools, as_of: datetime, collection: str | None = None) -> Iterator[ExpiredDocument]:
    """Exactly what a purge as of that moment takes out, source by source; in bounded memory. Changes nothing.
    Raises NotFound where there is no such collection."""
    _chosen(tools, collection)
    for source in tools.ledger.expired_sources(as_of, collection):
        for page in _pages(tools, source, as_of):
            yield from page


def purge(
    tools: Tools,
    as_of: datetime,
    *,
    collection: str | None = None,
    orchestrator: str = "cli",
    at_most: int | None = None,
    on_batch: Callable[[int], object] = lambda gone: None,
) -> dict[str, Any]:
    """Take out what had expired then and has still. Returns counts, and what each source gave or why it was left.

    `at_most`: documents that were approved; where more have expired by now, nothing is removed and Terminal is raised.
    `on_batch(gone)` is told after every batch, in documents of the source. Raises NotFound where there is no such
    collection.
    """
    chosen = _chosen(tools, collection)
    _check_approved(tools, as_of, collection, at_most)
    for generation in chosen:  # what an earlier purge, or an ingest, left queued
        _drain(tools, generation)
    report: dict[str, Any] = {"as_of": as_of.isoformat(), "documents": 0, "chunks": 0, "left": 0, "sources": []}
    for source in tools.ledger.expired_sources(as_of, collection):
        told = _source(tools, source, as_of, orchestrator, on_batch)
        report["sources"].append(told)
        report["documents"] += told["documents"]
        report["chunks"] += told["chunks"]
        report["left"] += "left" in told
    return report


def _source(
    tools: Tools, source: Source, as_of: datetime, orchestrator: str, on_batch: Callable[[int], object]
) -> dict[str, Any]:
    run = tools.ledger.start_run(source, "purge", uuid4(), orchestrator)
    told: dict[str, Any] = {"run_id": str(run.run_id), "tenant": source.spec.tenant, "uri": source.spec.uri}
    told |= {"collection": source.spec.collection, "documents": 0, "chunks": 0}
    try:
        with failing(tools, run):
            with recorded(tools, run, WHOLE_RUN, "purge") as counts:
                for page in _pages(tools, source, as_of):
                    told["documents"] += _batch(tools, run, page, as_of)
                    told["chunks"] += _drain(tools, source.generation)
                    on_batch(told["documents"])
                counts |= {"purged": told["documents"], "removed": told["chunks"]}
            tools.ledger.finish_run(run, "succeeded", told)
    except Busy as error:
        told["left"] = str(error)
    return told


def _batch(tools: Tools, run: Run, page: list[ExpiredDocument], as_of: datetime) -> int:
    purged = tools.ledger.purge(run, [each.document_id for each in page], as_of)
    let_go(tools, run.source.source_id)
    return len(purged)


def _pages(tools: Tools, source: Source, as_of: datetime) -> Iterator[list[ExpiredDocument]]:
    after: ExpiredDocument | None = None
    while page := tools.ledger.expired(source, as_of, after, BATCH_DOCUMENTS):
        yield page
        after = page[-1]


def _check_approved(tools: Tools, as_of: datetime, collection: str | None, at_most: int | None) -> None:
    if at_most is None:
        return
    found = sum(1 for _ in expired(tools, as_of, collection))
    if found > at_most:
        raise Terminal(
            f"{found} documents have expired, and no more than {at_most} were listed: a retention was shortened "
            "meanwhile. Nothing was removed. Run it again and look at the new list."
        )


def _drain(tools: Tools, generation: Generation) -> int:
    graph = graph_of(tools, generation)
    return loading.drain(generation, ledger=tools.ledger, vectors=tools.vectors, graph=graph)


def _chosen(tools: Tools, collection: str | None) -> list[Generation]:
    chosen = [each for each in tools.ledger.generations() if collection in (None, each.collection)]
    if collection is not None and not chosen:
        raise NotFound(f"There is no collection {collection}.")
    return chosen
