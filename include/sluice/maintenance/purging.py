"""Purges expired documents. It uses the same path as deletions at a source: one ledger transaction, then the outbox.

A purge is a run of each source with expired documents. It claims the source as an ingest does, so that neither sees the
other's intermediate state; a source with a run in progress is skipped until the next purge. Each batch is one
transaction: a purge that fails has purged some batches, and a new one processes the outbox first and then the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID, uuid4

from sluice.errors import Busy
from sluice.indexing.stores import Stores
from sluice.model.retention import ExpiredDocument
from sluice.model.run import Run
from sluice.model.source import Source, SourceSpec
from sluice.pipeline.generations import live_generations
from sluice.pipeline.quarantine import Quarantine
from sluice.pipeline.recording import WHOLE_RUN, Recorder
from sluice.ports.collections import Collections
from sluice.ports.retention import RetentionRules
from sluice.ports.runs import Runs

BATCH_DOCUMENTS = 500


@dataclass(slots=True)
class SourcePurge:
    """Counts of what a purge deleted of one source."""

    run_id: UUID
    tenant: str
    uri: str
    collection: str
    documents: int = 0
    chunks: int = 0  # from all stores
    left: str | None = None  # why the source was skipped; None: all was purged

    def to_json(self) -> dict[str, Any]:
        """Returns the counts as JSON values, without `left` where it is None."""
        values = {**asdict(self), "run_id": str(self.run_id)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """The result of a purge, by source."""

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
        """Returns why sources were skipped, one entry per source."""
        return [each.left for each in self.sources if each.left is not None]

    def to_json(self) -> dict[str, Any]:
        """Returns the report as JSON values; `left` is the number of skipped sources."""
        return {
            "as_of": self.as_of.isoformat(),
            "documents": self.documents,
            "chunks": self.chunks,
            "left": len(self.left),
            "sources": [each.to_json() for each in self.sources],
        }


@dataclass(frozen=True, slots=True)
class Purging:
    """Purges expired documents."""

    runs: Runs
    collections: Collections
    retention: RetentionRules
    stores: Stores
    recorder: Recorder
    quarantine: Quarantine

    def expired(
        self, as_of: datetime, collection: str | None = None, *, may: Callable[[SourceSpec], bool] = lambda spec: True
    ) -> Iterator[ExpiredDocument]:
        """Yields exactly the documents that a purge as of that moment deletes, source by source, in bounded memory.

        Changes nothing. `may`: whether the caller may write to a source. Raises NotFound where the collection does not
        exist."""
        live_generations(self.collections, collection)
        for source in self.retention.expired_sources(as_of, collection):
            if may(source.spec):
                for page in self._pages(source, as_of):
                    yield from page

    def purge(
        self,
        as_of: datetime,
        *,
        collection: str | None = None,
        orchestrator: str = "cli",
        only: Container[UUID] | None = None,
        on_batch: Callable[[int], object] = lambda purged: None,
    ) -> PurgeReport:
        """Deletes the documents that had expired at `as_of` and are still expired.

        `only`: only these documents; None: all. `on_batch(purged)` is called after every batch with the number of
        purged documents of the source. Raises NotFound where the collection does not exist.
        """
        for generation in live_generations(self.collections, collection):
            self.stores.drain(generation)  # entries of an earlier purge or ingest
        sources = self.retention.expired_sources(as_of, collection)
        return PurgeReport(as_of, [self._purge_source(each, as_of, orchestrator, only, on_batch) for each in sources])

    def _purge_source(
        self,
        source: Source,
        as_of: datetime,
        orchestrator: str,
        only: Container[UUID] | None,
        on_batch: Callable[[int], object],
    ) -> SourcePurge:
        run_id = uuid4()
        with self.runs.session(run_id):
            run = self.runs.start(source, "purge", run_id, orchestrator)
            return self._purge_run(run, as_of, only, on_batch)

    def _purge_run(
        self, run: Run, as_of: datetime, only: Container[UUID] | None, on_batch: Callable[[int], object]
    ) -> SourcePurge:
        source = run.source
        report = SourcePurge(run.run_id, source.spec.tenant, source.spec.uri, source.spec.collection)
        try:
            with self.recorder.failing(run):
                with self.recorder.recorded(run, WHOLE_RUN, "purge") as counts:
                    for page in self._pages(source, as_of):
                        ids = [each.document_id for each in page if only is None or each.document_id in only]
                        report.documents += len(self.retention.purge(run, ids, as_of))
                        self.quarantine.delete_retained(run)
                        report.chunks += self.stores.drain(source.generation)
                        on_batch(report.documents)
                    counts |= {"purged": report.documents, "removed": report.chunks}
                self.runs.finish(run, "succeeded", report.to_json())
        except Busy as error:
            report.left = str(error)
        return report

    def _pages(self, source: Source, as_of: datetime) -> Iterator[list[ExpiredDocument]]:
        after: ExpiredDocument | None = None
        while page := self.retention.expired(source, as_of, after, BATCH_DOCUMENTS):
            yield page
            after = page[-1]


def digest(document_ids: Iterable[UUID]) -> str:
    """Returns a digest of document ids, independent of their order: 16 hexadecimal digits."""
    return blake2b(b"".join(sorted(each.bytes for each in document_ids)), digest_size=8).hexdigest()
