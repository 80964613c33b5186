"""What the projections of a generation must hold: the reconciler's side of the ledger in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sluice.adapters.ledger_rules import storable_json
from sluice.adapters.memory.state import MemoryState, VersionRow, alive, same
from sluice.model import Generation, LedgerChunk, SealedChunk


class MemoryScan:
    """`reconciliations` may be looked at."""

    state: MemoryState

    def chunks_after(self, generation: Generation, after: UUID | None, limit: int) -> list[LedgerChunk]:
        return [each for each in self._served(generation) if after is None or each.chunk_id > after][:limit]

    def chunks_of(self, generation: Generation, chunk_ids: Sequence[UUID]) -> list[LedgerChunk]:
        wanted = set(chunk_ids)
        return [each for each in self._served(generation) if each.chunk_id in wanted]

    def claimed(self, generation: Generation, chunk_ids: Sequence[UUID]) -> set[UUID]:
        with self.state.lock:
            held = {
                chunk.chunk_id
                for version in self.state.all_versions()
                if same(version.generation, generation)
                for chunk in version.sealed.chunks
            }
            queued = {
                chunk_id
                for row in self.state.outbox.values()
                if same(row.generation, generation)
                for chunk_id in row.chunk_ids
            }
        return (held | queued) & set(chunk_ids)

    def record_reconciliation(
        self, generation: Generation, started_at: datetime, repair: bool, found: Mapping[str, Any]
    ) -> None:
        with self.state.lock:
            self.state.reconciliations.append((generation, started_at, repair, storable_json(found)))

    def _served(self, generation: Generation) -> list[LedgerChunk]:
        with self.state.lock:
            rows = [
                self._row(version, chunk)
                for version in self.state.all_versions()
                if version.state == "active" and same(version.generation, generation)
                for chunk in version.sealed.chunks
            ]
        return sorted(rows, key=lambda row: row.chunk_id)

    def _row(self, version: VersionRow, chunk: SealedChunk) -> LedgerChunk:
        sealed = version.sealed
        document = self.state.documents[sealed.document_id]
        pending = self.state.versions_of(sealed.document_id, version.generation, "pending")
        return LedgerChunk(
            chunk_id=chunk.chunk_id,
            version_id=sealed.version_id,
            document_id=sealed.document_id,
            source_id=document.source.source_id,
            tenant=document.source.spec.tenant,
            ordinal=chunk.ordinal,
            text_hash=chunk.text_hash,
            mime=sealed.mime,
            sealed_title=sealed.sealed_title,
            sealed_metadata=sealed.sealed_metadata,
            sealed_text=chunk.sealed_text,
            sealed_headings=chunk.sealed_headings,
            sealed_names=chunk.sealed_names,
            mentions=tuple(sorted(chunk.mentions)),
            changing=any(alive(self.state.runs[each.run_id]) for each in pending),
        )
