"""A run in separate tasks: each reads one numbered artefact of a batch and writes the next.

A retried task reads the same input again and overwrites its own output. Nothing is passed in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sluice.encryption import ciphers
from sluice.errors import storable_text
from sluice.model.run import BatchRef, Run
from sluice.pipeline import artefacts
from sluice.pipeline.artefacts import Artefact
from sluice.pipeline.batching import Batch, batches
from sluice.pipeline.requests import IngestRequest
from sluice.pipeline.stages import Pipeline, Stage
from sluice.ports.content import Blobs, Keyring
from sluice.ports.outbox import Outbox
from sluice.ports.runs import Runs

_UNFINISHED = "Stopped: not all of its tasks finished. Clear them to continue, or start a new run"


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """A run in tasks."""

    runs: Runs
    outbox: Outbox
    blobs: Blobs
    keyring: Keyring
    pipeline: Pipeline
    batch_size: int  # documents, at most
    task_slots: int  # tasks of one stage that run at a time

    def plan(self, request: IngestRequest) -> list[BatchRef]:
        """Writes the documents that need work as batches. Returns one reference per batch; none where nothing changed.
        Raises the same errors as `planning.plan`."""
        scanned = self.pipeline.planning.plan(request)
        run, refs = scanned.run, []
        size = request.batch_size
        most, slots = (size, None) if size else (self.batch_size, self.task_slots)
        for number, part in enumerate(batches(scanned.items, most, slots)):
            size_bytes = sum(item.entry.size_bytes for item in part)
            ref = BatchRef(str(run.run_id), number, len(part), size_bytes)
            refs.append(self._write(run, ref, artefacts.SCANNED, part))
        return refs

    def carry_out(self, run: Run, stage: Stage, ref: BatchRef) -> BatchRef:
        """Runs one stage of one batch, from its artefact to the next."""
        rows = self._read(run, ref, stage.reads)
        output = stage.work(self.pipeline)(run, Batch(ref.batch, ref.documents), rows)
        return self._write(run, ref, stage.writes, output) if stage.writes else replace(ref, documents=len(output))

    def record_error(self, run_id: UUID, task: str, error: BaseException | None) -> None:
        """Records that a task failed after its last retry. The run continues, because other batches may be running. The
        ledger stores only the first error."""
        self.runs.record_error(self.runs.get(run_id), {"task": task, "error": storable_text(error)})

    def close(self, run_id: UUID) -> int | None:
        """Closes a run as failed, and frees its source, where `finish` did not close it. Call it when no task is
        running. Returns how many chunks are still to be removed from the stores; None where the run had already
        ended."""
        run = self.runs.get(run_id)
        if not self.runs.close(run, {"error": _UNFINISHED}):
            return None
        return self.outbox.queued(run.source.generation)

    def _read(self, run: Run, ref: BatchRef, artefact: Artefact) -> list[Any]:
        path = artefact.path(run.run_id, ref.batch)
        content = self.blobs.read(path)
        keys = self.keyring.get(artefacts.document_ids(content))
        return artefact.load(content, ciphers(run.source.spec.tenant, keys), path)

    def _write(self, run: Run, ref: BatchRef, artefact: Artefact, rows: Sequence[Any]) -> BatchRef:
        path = artefact.path(run.run_id, ref.batch)
        keys = self.keyring.get([getattr(row, "document", row).document_id for row in rows])
        self.blobs.write(path, artefact.dump(rows, ciphers(run.source.spec.tenant, keys), path))
        return replace(ref, documents=len(rows))
