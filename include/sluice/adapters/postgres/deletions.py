"""The ledger's deletions by hand: each method is one transaction; the work is in `deleting`."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sluice.adapters.postgres import deleting
from sluice.adapters.postgres.failures import translated
from sluice.adapters.postgres.transactions import Transactions, transaction
from sluice.model import Counts, Deletion, Generation, Retention, RetentionScope, Run, Source, SourceSpec


class PostgresDeletions(Transactions):
    """`sluice.ports.DeletionLedger`."""

    def source_of(self, document_id: UUID, *, deleted: bool = False) -> Source:
        with transaction(self._engine) as connection:
            return deleting.source_of(connection, document_id, deleted)

    def source_at(self, tenant: str, collection: str, uri: str) -> Source:
        with transaction(self._engine) as connection:
            return deleting.source_at(connection, tenant, collection, uri)

    def deletable(self, source: Source, after: UUID | None, limit: int) -> list[UUID]:
        with transaction(self._engine) as connection:
            return deleting.deletable(connection, source, after, limit)

    def names_of(self, document_ids: Sequence[UUID]) -> list[str]:
        with transaction(self._engine) as connection:
            return deleting.names_of(connection, document_ids)

    def held(self, source: Source, document_ids: Sequence[UUID] | None = None) -> Counts:
        with transaction(self._engine) as connection:
            return deleting.held(connection, source, document_ids)

    def delete_documents(self, run: Run, document_ids: Sequence[UUID], *, listed: bool) -> list[UUID]:
        if not document_ids:
            return []
        with self._writing(run) as connection:
            return deleting.delete_documents(connection, run, document_ids, listed=listed)

    def restore(self, document_id: UUID) -> Source:
        with transaction(self._engine) as connection:
            return deleting.restore(connection, document_id)

    def remove_source(self, source: Source) -> None:
        with transaction(self._engine) as connection:
            deleting.remove_source(connection, source)

    def drop_collection(self, generation: Generation) -> None:
        with transaction(self._engine) as connection:
            deleting.drop_collection(connection, generation)

    def record_deletion(self, deletion: Deletion) -> None:
        with transaction(self._engine) as connection:
            deleting.record(connection, deletion)

    def deletions(self, limit: int = 100) -> list[Deletion]:
        with transaction(self._engine) as connection:
            return deleting.deletions(connection, limit)

    def hidden_by(self, spec: SourceSpec) -> int:
        with transaction(self._engine) as connection:
            return deleting.hidden_by(connection, spec)

    def hidden_by_retention(self, scope: RetentionScope, wanted: Retention | None) -> int:
        with translated(), self._engine.connect() as connection:  # never committed
            return deleting.hidden_by_retention(connection, scope, wanted)
