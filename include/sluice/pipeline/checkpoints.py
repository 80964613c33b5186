"""A run in tasks that run apart: each reads one numbered artefact of a batch and writes the next.

A task that is retried finds its input where it was and overwrites its own output; nothing depends on memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sluice.encryption import ciphers
from sluice.model.run import BatchRef, Run
from sluice.pipeline import artefacts
from sluice.pipeline.artefacts import Artefact, folder
from sluice.pipeline.batching import Batch, batches
from sluice.pipeline.planning import plan as planned
from sluice.pipeline.requests import IngestRequest
from sluice.pipeline.stages import Stage
from sluice.ports.tools import Tools

_NO_ERROR = "Stopped: its tasks did not come to their end. Clear them to go on, or start a run anew"


def plan(tools: Tools, request: IngestRequest) -> list[BatchRef]:
    """Write what needs work as batches. Returns one reference a batch; none where nothing changed. Raises as
    `planning.plan`."""
    scanned = planned(tools, request)
    run, refs = scanned.run, []
    size = request.batch_size
    most, slots = (size, None) if size else (tools.batch_size, tools.task_slots)
    for number, part in enumerate(batches(scanned.items, most, slots)):
        size_bytes = sum(item.entry.size_bytes for item in part)
        uri = tools.blobs.uri(folder(run.run_id, number))
        ref = BatchRef(str(run.run_id), number, uri, len(part), size_bytes)
        refs.append(_write(tools, run, ref, artefacts.SCANNED, part))
    return refs


def carry_out(tools: Tools, run: Run, stage: Stage, ref: BatchRef) -> BatchRef:
    """One stage of one batch, from its artefact to the next."""
    rows = _read(tools, run, ref, stage.reads)
    done = stage.work(tools, run, Batch(ref.batch, ref.documents), rows)
    return _write(tools, run, ref, stage.writes, done) if stage.writes else replace(ref, documents=len(done))


def record_error(tools: Tools, run_id: UUID, task: str, error: BaseException | None) -> None:
    """A task failed for good. The run goes on, because other batches may be at work; the ledger keeps its first
    error."""
    tools.ledger.runs.record_error(
        tools.ledger.runs.get(run_id), {"task": task, "error": f"{type(error).__name__}: {error}"}
    )


def close(tools: Tools, run_id: UUID) -> int | None:
    """When no task is at work any more: a run that `finish` did not close is closed as failed, and its source is free.
    Returns how many chunks are still to be removed from the stores; None where the run had ended already."""
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
