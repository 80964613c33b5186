"""Whose bytes quarantine keeps, in a ledger in memory."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sluice.model.run import Run
from sluice.model.scan import Entry, Item
from sluice.testing.state import MemoryState, QuarantineRow


class MemoryRefusals:
    """The part of `sluice.ports.ledger.Ledger` that is about kept bytes."""

    state: MemoryState

    def refused(self, run: Run, document_ids: Sequence[UUID] | None = None) -> list[Item]:
        with self.state.lock:
            records = sorted(self.state.quarantine.items())
            return [
                self._refused(document_id, record)
                for document_id, record in records
                if record.source.source_id == run.source.source_id
                and record.kept_bytes is not None
                and (document_ids is None or document_id in document_ids)
            ]

    def _refused(self, document_id: UUID, record: QuarantineRow) -> Item:
        document = self.state.documents[document_id]
        entry = Entry(document.external_id, document.uri, record.fingerprint, record.kept_bytes or 0)
        versions = self.state.versions.get(document_id, {}).values()
        return Item(document_id, entry, all(version.number is None for version in versions))

    def released(self, source_id: UUID, limit: int) -> list[UUID]:
        with self.state.lock:
            wanted = {each for each, record in self.state.quarantine.items() if record.kept_bytes is not None}
            found = [each for each, source in self.state.released.items() if source == source_id]
            return sorted(set(found) - wanted)[:limit]

    def let_go(self, document_ids: Sequence[UUID]) -> None:
        with self.state.lock:
            for document_id in document_ids:
                self.state.released.pop(document_id, None)
