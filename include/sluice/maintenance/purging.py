"""What has expired goes, by the way that deletions at a source go: one ledger transaction, then the outbox.

A purge is a run of each source that has something expired. It holds the source as an ingest does, so that neither sees
the other half-way; where one is at work the source is left for the next time. Batches are whole: a purge that breaks
off has taken out some, and one that is started again empties the outbox first and goes on with the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID, uuid4

from sluice.errors import Busy
from sluice.model.retention import ExpiredDocument
from sluice.model.run import Run
from sluice.model.source import Source, SourceSpec
from sluice.pipeline.generations import live_generations
from sluice.pipeline.quarantine import let_go
from sluice.pipeline.recording import WHOLE_RUN, drained, failing, recorded
from sluice.ports.tools import Tools

BATCH_DOCUMENTS = 500


def expired(
    tools: Tools,
    as_of: datetime,
    collection: str | None = None,
    *,
    may: Callable[[SourceSpec], bool] = lambda spec: True,
) -> Iterator[ExpiredDocument]:
    """Exactly what a purge as of that moment takes out, source by source; in bounded memory. Changes nothing.
    `may`: sources that whoever asks may write to. Raises NotFound where there is no such collection."""
    live_generations(tools, collection)
    for source in tools.ledger.retention.expired_sources(as_of, collection):
        if may(source.spec):
            for page in _pages(tools, source, as_of):
                yield from page


def digest(document_ids: Iterable[UUID]) -> str:
    """Of a list of documents, in any order: 16 hexadecimal digits."""
    return blake2b(b"".join(sorted(each.bytes for each in document_ids)), digest_size=8).hexdigest()


def purge(
    tools: Tools,
    as_of: datetime,
    *,
    collection: str | None = None,
    orchestrator: str = "cli",
    listed: Container[UUID] | None = None,
    on_batch: Callable[[int], object] = lambda gone: None,
) -> dict[str, Any]:
    """Take out what had expired then and has still. Returns counts, and what each source gave or why it was left.

    `listed`: nothing but these, whatever else has expired by now; None: all. `on_batch(gone)` is told after every
    batch, in documents of the source. Raises NotFound where there is no such collection.
    """
    for generation in live_generations(tools, collection):  # what an earlier purge, or an ingest, left queued
        drained(tools, generation)
    report: dict[str, Any] = {"as_of": as_of.isoformat(), "documents": 0, "chunks": 0, "left": 0, "sources": []}
    for source in tools.ledger.retention.expired_sources(as_of, collection):
        told = _source(tools, source, as_of, orchestrator, listed, on_batch)
        report["sources"].append(told)
        report["documents"] += told["documents"]
        report["chunks"] += told["chunks"]
        report["left"] += "left" in told
    return report


def _source(
    tools: Tools,
    source: Source,
    as_of: datetime,
    orchestrator: str,
    listed: Container[UUID] | None,
    on_batch: Callable[[int], object],
) -> dict[str, Any]:
    run_id = uuid4()
    with tools.ledger.runs.session(run_id):
        run = tools.ledger.runs.start(source, "purge", run_id, orchestrator)
        return _purged(tools, run, as_of, listed, on_batch)


def _purged(
    tools: Tools,
    run: Run,
    as_of: datetime,
    listed: Container[UUID] | None,
    on_batch: Callable[[int], object],
) -> dict[str, Any]:
    source = run.source
    told: dict[str, Any] = {"run_id": str(run.run_id), "tenant": source.spec.tenant, "uri": source.spec.uri}
    told |= {"collection": source.spec.collection, "documents": 0, "chunks": 0}
    try:
        with failing(tools, run):
            with recorded(tools, run, WHOLE_RUN, "purge") as counts:
                for page in _pages(tools, source, as_of):
                    page = [each for each in page if listed is None or each.document_id in listed]
                    told["documents"] += _batch(tools, run, page, as_of)
                    told["chunks"] += drained(tools, source.generation)
                    on_batch(told["documents"])
                counts |= {"purged": told["documents"], "removed": told["chunks"]}
            tools.ledger.runs.finish(run, "succeeded", told)
    except Busy as error:
        told["left"] = str(error)
    return told


def _batch(tools: Tools, run: Run, page: list[ExpiredDocument], as_of: datetime) -> int:
    purged = tools.ledger.retention.purge(run, [each.document_id for each in page], as_of)
    let_go(tools, run)
    return len(purged)


def _pages(tools: Tools, source: Source, as_of: datetime) -> Iterator[list[ExpiredDocument]]:
    after: ExpiredDocument | None = None
    while page := tools.ledger.retention.expired(source, as_of, after, BATCH_DOCUMENTS):
        yield page
        after = page[-1]
