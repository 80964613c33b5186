"""A run in separate tasks: each reads one numbered artefact of a batch and writes the next.

A retried task reads the same input again and overwrites its own output. Nothing is passed in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sluice.encryption import ciphers
from sluice.model.run import BatchRef, Run
from sluice.pipeline import artefacts, planning
from sluice.pipeline.artefacts import Artefact
from sluice.pipeline.batching import Batch, batches
from sluice.pipeline.requests import IngestRequest
from sluice.pipeline.stages import Stage
from sluice.ports.tools import Tools

_NO_ERROR = "Stopped: not all of its tasks finished. Clear them to continue, or start a new run"


def plan(tools: Tools, request: IngestRequest) -> list[BatchRef]:
    """Writes the documents that need work as batches. Returns one reference per batch; none where nothing changed.
    Raises the same errors as `planning.plan`."""
    scanned = planning.plan(tools, request)
    run, refs = scanned.run, []
    size = request.batch_size
    most, slots = (size, None) if size else (tools.batch_size, tools.task_slots)
    for number, part in enumerate(batches(scanned.items, most, slots)):
        size_bytes = sum(item.entry.size_bytes for item in part)
        ref = BatchRef(str(run.run_id), number, len(part), size_bytes)
        refs.append(_write(tools, run, ref, artefacts.SCANNED, part))
    return refs


def carry_out(tools: Tools, run: Run, stage: Stage, ref: BatchRef) -> BatchRef:
    """Runs one stage of one batch, from its artefact to the next."""
    rows = _read(tools, run, ref, stage.reads)
    output = stage.work(tools, run, Batch(ref.batch, ref.documents), rows)
    return _write(tools, run, ref, stage.writes, output) if stage.writes else replace(ref, documents=len(output))


def record_error(tools: Tools, run_id: UUID, task: str, error: BaseException | None) -> None:
    """Records that a task failed after its last retry. The run continues, because other batches may be running. The
    ledger stores only the first error."""
    tools.ledger.runs.record_error(
        tools.ledger.runs.get(run_id), {"task": task, "error": f"{type(error).__name__}: {error}"}
    )


def close(tools: Tools, run_id: UUID) -> int | None:
    """Closes a run as failed, and frees its source, where `finish` did not close it. Call it when no task is running.
    Returns how many chunks are still to be removed from the stores; None where the run had already ended."""
    run = tools.ledger.runs.get(run_id)
    if not tools.ledger.runs.close(run, {"error": _NO_ERROR}):
        return None
    return tools.ledger.outbox.queued(run.source.generation)


def _read(tools: Tools, run: Run, ref: BatchRef, artefact: Artefact) -> list[Any]:
    path = artefact.path(run.run_id, ref.batch)
    content = tools.blobs.read(path)
    keys = tools.keyring.get(artefacts.document_ids(content))
    return artefact.load(content, ciphers(run.source.spec.tenant, keys), path)


def _write(tools: Tools, run: Run, ref: BatchRef, artefact: Artefact, rows: Sequence[Any]) -> BatchRef:
    path = artefact.path(run.run_id, ref.batch)
    keys = tools.keyring.get([getattr(row, "document", row).document_id for row in rows])
    tools.blobs.write(path, artefact.dump(rows, ciphers(run.source.spec.tenant, keys), path))
    return replace(ref, documents=len(rows))
