"""The flow, top to bottom: scan → extract → validate → chunk → embed → load → finish.

Each verb takes the previous stage's noun and returns the next, records what it did and sends what fails to quarantine,
so that the rest goes on (`stages.py`, `finishing.py`). `ingest` is the whole chain in one process; the Airflow tasks
call the same verbs batch by batch (`sluice.batches`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from sluice.flow.finishing import agree, finish, summarise
from sluice.flow.reconcile import reconcile
from sluice.flow.recording import WHOLE_RUN, failing
from sluice.flow.stages import Plan, batches, chunk, embed, extract, load, scan, validate
from sluice.model import Item, Mode, Run, SourceSpec
from sluice.ports import Tools

__all__ = [
    "WHOLE_RUN",
    "Plan",
    "agree",
    "batches",
    "chunk",
    "embed",
    "extract",
    "finish",
    "ingest",
    "load",
    "reconcile",
    "scan",
    "summarise",
    "through",
    "validate",
]


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
    plan = scan(
        tools,
        spec,
        mode,
        run_id=uuid4(),
        orchestrator=orchestrator,
        max_tokens=max_tokens,
        max_cost=max_cost,
        approve_shrink=approve_shrink,
    )
    run, done = plan.run, 0
    with failing(tools, run):
        for number, items in enumerate(batches(plan.items, tools.batch_size)):
            through(tools, run, number, items)
            done += len(items)
            if on_batch:
                on_batch(done, len(plan.items))
        return finish(tools, run, plan.vanished)


def through(tools: Tools, run: Run, batch: int, items: Sequence[Item]) -> None:
    if not (documents := extract(tools, run, batch, items)):
        return
    documents = validate(tools, run, batch, documents)
    load(tools, run, batch, embed(tools, run, batch, chunk(tools, run, batch, documents)))
