"""What has expired goes, by the way that deletions at a source go: one ledger transaction, then the outbox.

A purge is a run of each source that has something expired. It holds the source as an ingest does, so that neither sees
the other half-way; where one is at work the source is left for the next time. Batches are whole: a purge that breaks
off has taken out some, and one that is started again empties the outbox first and goes on with the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID, uuid4

from sluice.errors import Busy
from sluice.model.retention import ExpiredDocument
from sluice.model.run import Run
from sluice.model.source import Source, SourceSpec
from sluice.pipeline.generations import live_generations
from sluice.pipeline.quarantine import delete_retained
from sluice.pipeline.recording import WHOLE_RUN, drained, failing, recorded
from sluice.ports.tools import Tools

BATCH_DOCUMENTS = 500


@dataclass(slots=True)
class SourcePurge:
    """What a purge took out of one source."""

    run_id: UUID
    tenant: str
    uri: str
    collection: str
    documents: int = 0
    chunks: int = 0  # out of all stores
    left: str | None = None  # why some of it is still there; None: all went

    def to_json(self) -> dict[str, Any]:
        told = {**asdict(self), "run_id": str(self.run_id)}
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True, slots=True)
class PurgeReport:
    as_of: datetime
    sources: list[SourcePurge]

    @property
    def documents(self) -> int:
        return sum(each.documents for each in self.sources)

    @property
    def chunks(self) -> int:
        return sum(each.chunks for each in self.sources)

    @property
    def left(self) -> list[str]:
        """Why sources were left, one entry a source."""
        return [each.left for each in self.sources if each.left is not None]

    def to_json(self) -> dict[str, Any]:
        """`left` is the number of sources that were left."""
        return {
            "as_of": self.as_of.isoformat(),
            "documents": self.documents,
            "chunks": self.chunks,
            "left": len(self.left),
            "sources": [each.to_json() for each in self.sources],
        }


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
) -> PurgeReport:
    """Take out what had expired then and has still.

    `listed`: nothing but these, whatever else has expired by now; None: all. `on_batch(gone)` is told after every
    batch, in documents of the source. Raises NotFound where there is no such collection.
    """
    for generation in live_generations(tools, collection):  # what an earlier purge, or an ingest, left queued
        drained(tools, generation)
    sources = tools.ledger.retention.expired_sources(as_of, collection)
    return PurgeReport(as_of, [_source(tools, each, as_of, orchestrator, listed, on_batch) for each in sources])


def _source(
    tools: Tools,
    source: Source,
    as_of: datetime,
    orchestrator: str,
    listed: Container[UUID] | None,
    on_batch: Callable[[int], object],
) -> SourcePurge:
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
) -> SourcePurge:
    source = run.source
    report = SourcePurge(run.run_id, source.spec.tenant, source.spec.uri, source.spec.collection)
    try:
        with failing(tools, run):
            with recorded(tools, run, WHOLE_RUN, "purge") as counts:
                for page in _pages(tools, source, as_of):
                    page = [each for each in page if listed is None or each.document_id in listed]
                    report.documents += _batch(tools, run, page, as_of)
                    report.chunks += drained(tools, source.generation)
                    on_batch(report.documents)
                counts |= {"purged": report.documents, "removed": report.chunks}
            tools.ledger.runs.finish(run, "succeeded", report.to_json())
    except Busy as error:
        report.left = str(error)
    return report


def _batch(tools: Tools, run: Run, page: list[ExpiredDocument], as_of: datetime) -> int:
    purged = tools.ledger.retention.purge(run, [each.document_id for each in page], as_of)
    delete_retained(tools, run)
    return len(purged)


def _pages(tools: Tools, source: Source, as_of: datetime) -> Iterator[list[ExpiredDocument]]:
    after: ExpiredDocument | None = None
    while page := tools.ledger.retention.expired(source, as_of, after, BATCH_DOCUMENTS):
        yield page
        after = page[-1]
