"""The flow's verbs for tasks that run apart: each reads one numbered artefact of a batch and writes the next.

A task that is retried finds its input where it was and overwrites its own output; nothing depends on memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sluice.encryption import ciphers
from sluice.model.run import BatchRef, Mode, Run
from sluice.model.source import SourceSpec
from sluice.pipeline import artefacts, batching, finishing, removed_documents, replay, stages
from sluice.ports.tools import Tools

_NO_ERROR = "Stopped: its tasks did not come to their end. Clear them to go on, or start a run anew"
_STAGES = ("0-scanned", "1-extracted", "2-validated", "3-chunked", "4-embedded")


def plan(
    tools: Tools,
    spec: SourceSpec,
    mode: Mode,
    *,
    run_id: UUID,
    orchestrator: str,
    batch_size: int | None = None,
    max_documents: int | None = None,
    max_tokens: int | None = None,
    max_cost: float | None = None,
    approve_shrink: bool = False,
) -> list[BatchRef]:
    """Scan, and write what needs work as batches. Returns one reference a batch; none where nothing changed."""
    scanned = stages.scan(
        tools,
        spec,
        mode,
        run_id=run_id,
        orchestrator=orchestrator,
        max_documents=max_documents,
        max_tokens=max_tokens,
        max_cost=max_cost,
        approve_shrink=approve_shrink,
    )
    return _planned(tools, scanned, batch_size)


def plan_replay(
    tools: Tools,
    spec: SourceSpec,
    document_ids: Sequence[UUID],
    *,
    run_id: UUID,
    orchestrator: str,
    batch_size: int | None = None,
    max_tokens: int | None = None,
    max_cost: float | None = None,
) -> list[BatchRef]:
    """The same for what quarantine keeps of a source: these documents, or (empty) all."""
    replayed = replay.plan_replay(
        tools,
        spec,
        document_ids or None,
        run_id=run_id,
        orchestrator=orchestrator,
        max_tokens=max_tokens,
        max_cost=max_cost,
    )
    return _planned(tools, replayed, batch_size)


def _planned(tools: Tools, planned: stages.Plan, batch_size: int | None) -> list[BatchRef]:
    run_id, refs = planned.run.run_id, []
    most, slots = (batch_size, None) if batch_size else (tools.batch_size, tools.task_slots)
    for number, items in enumerate(batching.batches(planned.items, most, slots)):
        folder = f"runs/{run_id}/{number:05d}"
        size_bytes = sum(item.entry.size_bytes for item in items)
        ref = BatchRef(str(run_id), number, tools.blobs.uri(folder), len(items), size_bytes)
        refs.append(_write(tools, planned.run, ref, 0, items, artefacts.dump_items))
    return refs


def extract(tools: Tools, ref: BatchRef) -> BatchRef:
    run = _run(tools, ref)
    items = _read(tools, run, ref, 0, artefacts.load_items)
    documents = stages.extract(tools, run, ref.batch, items, erased=ref.documents - len(items))
    return _write(tools, run, ref, 1, documents, artefacts.dump_documents)


def validate(tools: Tools, ref: BatchRef) -> BatchRef:
    run = _run(tools, ref)
    documents = stages.validate(tools, run, ref.batch, _read(tools, run, ref, 1, artefacts.load_documents))
    return _write(tools, run, ref, 2, documents, artefacts.dump_documents)


def chunk(tools: Tools, ref: BatchRef) -> BatchRef:
    run = _run(tools, ref)
    chunked = stages.chunk(tools, run, ref.batch, _read(tools, run, ref, 2, artefacts.load_documents))
    return _write(tools, run, ref, 3, chunked, artefacts.dump_chunked)


def embed(tools: Tools, ref: BatchRef) -> BatchRef:
    run = _run(tools, ref)
    embedded = stages.embed(tools, run, ref.batch, _read(tools, run, ref, 3, artefacts.load_chunked))
    return _write(tools, run, ref, 4, embedded, artefacts.dump_embedded)


def load(tools: Tools, ref: BatchRef) -> BatchRef:
    run = _run(tools, ref)
    embedded = _read(tools, run, ref, 4, artefacts.load_embedded)
    with removed_documents.reporting_pending_removals(tools, run):
        if embedded:
            stages.ensure(tools, run.source.generation)
        stages.load(tools, run, ref.batch, embedded)
    return replace(ref, documents=len(embedded))


def finish(tools: Tools, run_id: UUID) -> dict[str, Any]:
    """Close the run. Its artefacts stay: they are sealed, and a cleared task may still want them."""
    return finishing.finish(tools, tools.ledger.runs.get(run_id))


def record_error(tools: Tools, run_id: UUID, task: str, error: BaseException | None) -> None:
    """A task failed for good. The run goes on, because other batches may be at work; its first error is the one that
    is told."""
    told = {"task": task, "error": f"{type(error).__name__}: {error}"}
    tools.ledger.runs.record_error(tools.ledger.runs.get(run_id), told)


def close(tools: Tools, run_id: UUID) -> int | None:
    """When no task is at work any more: a run that `finish` did not close is closed as failed, and its source is free.
    Returns how many chunks are still to be removed from the stores; None where the run had ended already."""
    run = tools.ledger.runs.get(run_id)
    if not tools.ledger.runs.close(run, {"error": _NO_ERROR}):
        return None
    return tools.ledger.outbox.queued(run.source.generation)


# --- details ------------------------------------------------------------------------------------------------


def _run(tools: Tools, ref: BatchRef) -> Run:
    return tools.ledger.runs.get(UUID(ref.run_id))


def _path(ref: BatchRef, stage: int) -> str:
    return f"runs/{ref.run_id}/{ref.batch:05d}/{_STAGES[stage]}.parquet"


def _read(tools: Tools, run: Run, ref: BatchRef, stage: int, load_rows: Callable[..., list[Any]]) -> list[Any]:
    path = _path(ref, stage)
    content = tools.blobs.read(path)
    keys = tools.keyring.get(artefacts.document_ids(content))
    return load_rows(content, ciphers(run.source.spec.tenant, keys), path)


def _write(
    tools: Tools, run: Run, ref: BatchRef, stage: int, rows: Sequence[Any], dump_rows: Callable[..., bytes]
) -> BatchRef:
    path = _path(ref, stage)
    keys = tools.keyring.get([getattr(row, "document", row).document_id for row in rows])
    tools.blobs.write(path, dump_rows(rows, ciphers(run.source.spec.tenant, keys), path))
    return replace(ref, documents=len(rows))
