"""The flow, top to bottom: scan → extract → validate → chunk → embed → load → finish.

Each verb takes the previous stage's noun and returns the next, records what it did and sends what fails to quarantine,
so that the rest goes on (`stages.py`, `finishing.py`). `ingest` is the whole chain in one process, where the next batch
is extracted while the one before is embedded; the Airflow tasks call the same verbs batch by batch
(`checkpoints.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID, uuid4

from sluice.errors import SluiceError, Transient
from sluice.model.chunk import ChunkedDocument
from sluice.model.run import Mode, Run
from sluice.model.scan import Item
from sluice.model.source import SourceSpec
from sluice.pipeline.batching import batches
from sluice.pipeline.finishing import finish
from sluice.pipeline.recording import failing
from sluice.pipeline.removed_documents import reporting_pending_removals
from sluice.pipeline.replay import plan_replay
from sluice.pipeline.stages import Plan, chunk, embed, ensure, extract, load, scan, validate
from sluice.ports.tools import Tools
from sluice.quality.expectations import prepare

T = TypeVar("T")
U = TypeVar("U")
# Documents of a batch in one process: the next is cut while one is loaded, and the first of many small ones is soon
# there. In Airflow batches are larger: each starts five tasks.
_OVERLAPPING = 400


def ingest(
    tools: Tools,
    spec: SourceSpec,
    mode: Mode = "incremental",
    orchestrator: str = "cli",
    on_batch: Callable[[int, int], None] | None = None,
    approve_shrink: bool = False,
    max_tokens: int | None = None,
    max_cost: float | None = None,
) -> dict[str, Any]:
    """Bring a collection up to date with one source. Returns the run's summary.

    `on_batch(done, planned)` is told after every batch, in documents. `approve_shrink`: much may vanish at once.
    `max_tokens`, `max_cost` (US dollars): what embedding may take; the summary says where that stopped the run.
    Raises Busy where another run works on the source.
    """
    run_id = uuid4()
    with tools.ledger.runs.session(run_id):
        plan = scan(
            tools,
            spec,
            mode,
            run_id=run_id,
            orchestrator=orchestrator,
            max_tokens=max_tokens,
            max_cost=max_cost,
            approve_shrink=approve_shrink,
        )
        return _carried_out(tools, plan, on_batch)


def replay(
    tools: Tools,
    spec: SourceSpec,
    document_ids: Sequence[UUID] | None = None,
    orchestrator: str = "cli",
    on_batch: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Work once more on what quarantine keeps of one source (all, or these documents), under the rules of now: each is
    served, or refused anew. Returns the run's summary. Raises NotFound, Busy."""
    run_id = uuid4()
    with tools.ledger.runs.session(run_id):
        plan = plan_replay(tools, spec, document_ids, run_id=run_id, orchestrator=orchestrator)
        return _carried_out(tools, plan, on_batch)


def _carried_out(tools: Tools, plan: Plan, on_batch: Callable[[int, int], None] | None) -> dict[str, Any]:
    run, done, broken = plan.run, 0, False

    def cut(batch: tuple[int, list[Item]]) -> tuple[int, int, list[ChunkedDocument]]:
        number, items = batch
        documents = extract(tools, run, number, items)
        cut_up = bool(documents) and not broken
        chunked = chunk(tools, run, number, validate(tools, run, number, documents)) if cut_up else []
        return number, len(items), chunked

    planned = enumerate(batches(plan.items, min(_OVERLAPPING, tools.batch_size)))
    # Closed before the run is: nothing of it is at work any more when another may take the source over.
    with failing(tools, run), reporting_pending_removals(tools, run), closing(ahead(cut, planned)) as made:
        try:
            if plan.items:
                prepare()
                ensure(tools, run.source.generation)
            for number, size, chunked in made:
                if chunked:
                    embedded = embed(tools, run, number, chunked)
                    load(tools, run, number, embedded)
                done += size
                if on_batch:
                    on_batch(done, len(plan.items))
        except Transient:
            broken = True
            _read_on(tools, run, made)
            raise
        return finish(tools, run)


def _read_on(tools: Tools, run: Run, made: Iterable[object]) -> None:
    """A store is down. What is new is read all the same where that decides which documents are gone, so that these are
    not served meanwhile."""
    with suppress(SluiceError):
        if tools.ledger.moves.vanished(run):
            for _ in made:
                pass


def ahead(work: Callable[[T], U], inputs: Iterable[T]) -> Generator[U, None, None]:
    """Results in order; the next one is made while the caller uses the one before, so that two are held at most."""
    remaining = iter(inputs)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        coming = [pool.submit(work, each) for each in islice(remaining, 1)]
        for each in remaining:
            ready = coming.pop().result()
            coming.append(pool.submit(work, each))
            yield ready
        for last in coming:
            yield last.result()
