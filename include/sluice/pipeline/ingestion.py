"""A run in one process: plan → extract → validate → chunk → embed → load → finish.

The next batch is extracted while the previous one is embedded. Airflow tasks run the same stages batch by batch
(`checkpoints.py`, in the order of `stages.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

from sluice.errors import SluiceError, Transient
from sluice.indexing.stores import Stores
from sluice.model.chunk import ChunkedDocument
from sluice.model.run import Run
from sluice.model.scan import WorkItem
from sluice.pipeline.batching import Batch, batches
from sluice.pipeline.planning import Plan
from sluice.pipeline.recording import Recorder
from sluice.pipeline.requests import IngestRequest
from sluice.pipeline.stages import Pipeline
from sluice.pipeline.summary import RunSummary
from sluice.pipeline.vanished_documents import VanishedDocuments
from sluice.ports.renames import Renames
from sluice.ports.runs import Runs
from sluice.quality.evaluation import prepare
from sluice.retry import retried

T = TypeVar("T")
U = TypeVar("U")
# Documents per batch in one process. Batches are small so that the first one is soon ready; the next one is chunked
# while one is loaded. In Airflow batches are larger, because each starts five tasks.
_OVERLAPPING = 400


@dataclass(frozen=True, slots=True)
class Ingestion:
    """Runs in one process."""

    runs: Runs
    renames: Renames
    pipeline: Pipeline
    stores: Stores
    recorder: Recorder
    vanished_documents: VanishedDocuments
    batch_size: int  # documents, at most

    def ingest(self, request: IngestRequest, on_batch: Callable[[int, int], None] | None = None) -> RunSummary:
        """Brings a collection up to date with one source, or replays its quarantine. Returns the run's summary.

        `on_batch(done, planned)` is called after every batch, with numbers of documents. Raises Busy where another run
        works on the source, and NotFound for a replay of a source that is not saved.
        """
        with self.runs.session(request.run_id):
            return self._carry_out(self.pipeline.planning.plan(request), on_batch)

    def _carry_out(self, planned: Plan, on_batch: Callable[[int, int], None] | None) -> RunSummary:
        run, items, done, broken = planned.run, planned.items, 0, False

        def cut(numbered: tuple[int, list[WorkItem]]) -> tuple[Batch, list[ChunkedDocument]]:
            number, part = numbered
            batch = Batch(number, len(part))
            documents = self.pipeline.extraction.extract(run, batch, part)
            if not documents or broken:
                return batch, []
            passed = self.pipeline.validation.validate(run, batch, documents)
            return batch, self.pipeline.chunking.chunk(run, batch, passed)

        parts = enumerate(batches(items, min(_OVERLAPPING, self.batch_size)))
        # The thread ends before the run is closed: no work of this run continues once another run may claim the source.
        with (
            self.recorder.failing(run),
            self.vanished_documents.reporting_pending(run),
            closing(ahead(cut, parts)) as chunked_batches,
        ):
            try:
                if items:
                    prepare()
                    self.stores.ensure(run.source.generation)
                for batch, chunked in chunked_batches:
                    if chunked:
                        embedded = self.pipeline.embedding.embed(run, batch, chunked)
                        retried(partial(self.pipeline.loading.load, run, batch, embedded))
                    done += batch.documents
                    if on_batch:
                        on_batch(done, len(items))
            except Transient as error:
                broken = True
                error.add_note(f"{done} of {len(items)} documents are complete. To continue, run it again.")
                self._read_on(run, chunked_batches)
                raise
            return self.pipeline.finishing.finish(run)

    def _read_on(self, run: Run, chunked_batches: Iterable[object]) -> None:
        """If documents vanished, reads the remaining batches although a store is down: only then is it known which of
        them were renamed.

        Deleted documents are then not served while the store is down."""
        with suppress(SluiceError):
            if self.renames.vanished(run):
                for _ in chunked_batches:
                    pass


def ahead(work: Callable[[T], U], inputs: Iterable[T]) -> Generator[U, None, None]:
    """Yields results in order. The next one is computed in a thread while the caller uses the previous one, so that at
    most two are in memory."""
    remaining = iter(inputs)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        coming = [pool.submit(work, each) for each in islice(remaining, 1)]
        for each in remaining:
            ready = coming.pop().result()
            coming.append(pool.submit(work, each))
            yield ready
        for last in coming:
            yield last.result()
