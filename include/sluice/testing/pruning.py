"""What a ledger in memory removes of its history. It keeps no resolved records, vectors or lineage events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sluice.model.retention import Prunable
from sluice.testing.state import MemoryState, RunRow, VersionRow, now, same


class MemoryPruning:
    """`sluice.ports.pruning.PruneLedger`."""

    state: MemoryState

    def prunable(self, kind: Prunable, before: datetime) -> int:
        with self.state.lock:
            return len(self._prunable(kind, before))

    def prune(self, kind: Prunable, before: datetime, limit: int) -> int:
        with self.state.lock:
            found = self._prunable(kind, before)[:limit]
            for remove in found:
                remove()
            return len(found)

    def mark_unused(self) -> None:
        pass

    def keyed(self, before: datetime, limit: int) -> list[UUID]:
        with self.state.lock:
            gone = [
                each
                for each in self.state.documents.values()
                if each.deleted_at is not None
                and each.deleted_at < before
                and each.key_destroyed_at is None
                and each.document_id not in self.state.released
                and not any(v.sealed.sealed_text for v in self.state.versions.get(each.document_id, {}).values())
            ]
            ids = [each.document_id for each in sorted(gone, key=lambda each: (each.deleted_at, each.document_id))]
            ended = (each for each in self.state.runs.values() if each.finished_at and each.finished_at < before)
            names = [move.placeholder_id for run in ended for move in run.moves.values() if move.placeholder_id]
            return [*ids, *names][:limit]

    def key_destroyed(self, document_ids: Sequence[UUID]) -> None:
        with self.state.lock:
            for document_id in document_ids:
                if document_id in self.state.documents:
                    self.state.documents[document_id].key_destroyed_at = now()
            for run in self.state.runs.values():
                for moved, move in run.moves.items():
                    if move.placeholder_id in document_ids:
                        run.moves[moved] = replace(move, placeholder_id=None)

    def _prunable(self, kind: Prunable, before: datetime) -> list[Callable[[], Any]]:
        if kind == "versions":
            old = [each for each in self.state.all_versions() if self._superseded_before(each, before)]
            return [lambda each=each: self._blank(each) for each in old]  # type: ignore[misc]
        if kind == "runs":
            runs = [each for each in self.state.runs.values() if self._is_over(each, before)]
            return [lambda each=each: self._forget_run(each) for each in runs]  # type: ignore[misc]
        if kind == "reconciliations":
            rows = self.state.reconciliations
            latest = {row[0].collection_id: row for row in rows}
            old_rows = [row for row in rows if row[1] < before and row is not latest[row[0].collection_id]]
            return [lambda row=row: rows.remove(row) for row in old_rows]  # type: ignore[misc]
        return []

    def _superseded_before(self, version: VersionRow, before: datetime) -> bool:
        if version.state != "superseded" or not version.sealed.sealed_text:
            return False
        document = self.state.documents[version.sealed.document_id]
        later = [
            each
            for each in self.state.versions[document.document_id].values()
            if same(each.generation, version.generation) and (each.number or 0) > (version.number or 0)
        ]
        ends = [document.deleted_at, *(each.activated_at for each in later)]
        return any(end is not None and end < before for end in ends)

    def _blank(self, version: VersionRow) -> None:
        version.sealed = replace(version.sealed, sealed_title=b"", sealed_text=b"", sealed_metadata=b"")

    def _is_over(self, run: RunRow, before: datetime) -> bool:
        if run.state == "running" or run.finished_at is None or run.finished_at >= before:
            return False
        later = [
            each
            for each in self.state.runs_of(run.source_id)
            if each.started_at > run.started_at and each.state == "succeeded" and each.scanned_at is not None
        ]
        serves = any(each.state == "active" and each.run_id == run.run_id for each in self.state.all_versions())
        parts = (run.stages, run.gates, run.gate_rows, run.costs, run.vanished)
        return bool(later) and not serves and (any(parts) or not self._referred(run))

    def _referred(self, run: RunRow) -> bool:
        return (
            bool(run.moves or run.purged)
            or any(each.run_id == run.run_id for each in self.state.all_versions())
            or any(each.run_id == run.run_id for each in self.state.quarantine.values())
            or any(each.deleted_by == run.run_id for each in self.state.documents.values())
            or any(run_id == run.run_id for run_id, _ in self.state.signatures.values())
        )

    def _forget_run(self, run: RunRow) -> None:
        for part in (run.stages, run.gates, run.gate_rows, run.costs, run.vanished):
            part.clear()  # type: ignore[attr-defined]
        if not self._referred(run):
            del self.state.runs[run.run_id]
