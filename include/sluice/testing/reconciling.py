"""What the projections of a generation must hold: the reconciler's side of the ledger in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sluice.adapters.postgres.rules import storable_json
from sluice.model.generation import Generation
from sluice.model.points import LedgerChunk, SealedChunk, SourceDocument
from sluice.testing.state import MemoryState, RunRow, VersionRow, now, same


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

    def documents_from(
        self, scheme: str, collection: str | None, after: UUID | None, limit: int
    ) -> list[SourceDocument]:
        with self.state.lock:
            found = [
                SourceDocument(each.document_id, spec.tenant, spec.collection, each.external_id)
                for each in self.state.documents.values()
                if (spec := each.source.spec).uri.startswith(f"{scheme}://")
                and collection in (None, spec.collection)
                and each.deleted_at is None
                and self.state.active(each.document_id, each.source.generation)
                and (after is None or each.document_id > after)
            ]
        return sorted(found, key=lambda each: each.document_id)[:limit]

    def last_signs(self, run_ids: Sequence[UUID]) -> dict[UUID, datetime]:
        with self.state.lock:
            return {run_id: self._last_sign(self.state.runs[run_id]) for run_id in run_ids if run_id in self.state.runs}

    def _last_sign(self, run: RunRow) -> datetime:
        claim = self.state.claims.get(run.source_id)
        lease = claim.lapses_at if claim is not None and claim.run_id == run.run_id else None
        known = [run.started_at, run.scanned_at, run.finished_at, run.recorded_at, lease]
        return max(each for each in known if each is not None)

    def in_quarantine(self, document_ids: Sequence[UUID]) -> set[UUID]:
        with self.state.lock:
            known = self.state.documents
            held = {source_id for source_id, claim in self.state.claims.items() if claim.lapses_at > now()}
            return {
                each
                for each in document_ids
                if each not in known or each in self.state.quarantine or known[each].source.source_id in held
            }

    def record_reconciliation(
        self, generation: Generation, started_at: datetime, repair: bool, found: Mapping[str, Any]
    ) -> bool:
        with self.state.lock:
            known = {each.collection_id for each in self.state.collections.values()} - self.state.dropping
            if generation.collection_id not in known:
                return False
            self.state.reconciliations.append((generation, started_at, repair, storable_json(found)))
            return True

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
            changing=any(self.state.alive(self.state.runs[each.run_id]) for each in pending),
            relations=tuple(sorted(chunk.relations)),
        )
