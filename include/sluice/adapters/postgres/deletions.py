"""The ledger's deletions by hand: each method is one transaction; the work is in `deleting`."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sluice.adapters.postgres import deleting
from sluice.adapters.postgres.transactions import Transactions, transaction
from sluice.model.deletion import Deletion
from sluice.model.generation import Generation
from sluice.model.retention import Retention, RetentionScope
from sluice.model.run import Counts, Run
from sluice.model.source import Source, SourceSpec


class PostgresDeletions(Transactions):
    """`sluice.ports.deletions.DeletionLedger`."""

    def sources_of(self, document_ids: Sequence[UUID], *, deleted: bool = False) -> dict[UUID, Source]:
        with transaction(self._engine) as connection:
            return deleting.sources_of(connection, document_ids, deleted)

    def source_at(self, tenant: str, collection: str, uri: str) -> Source:
        with transaction(self._engine) as connection:
            return deleting.source_at(connection, tenant, collection, uri)

    def deletable(self, source: Source, after: UUID | None, limit: int) -> list[UUID]:
        with transaction(self._engine) as connection:
            return deleting.deletable(connection, source, after, limit)

    def gone(self, document_ids: Sequence[UUID]) -> set[UUID]:
        if not document_ids:
            return set()
        with transaction(self._engine) as connection:
            return deleting.gone(connection, document_ids)

    def names_of(self, source: Source, document_ids: Sequence[UUID]) -> list[str]:
        with transaction(self._engine) as connection:
            return deleting.names_of(connection, source, document_ids)

    def keyed_in(self, generation: Generation, source_id: UUID | None, limit: int) -> list[UUID]:
        with self._at_length() as connection:
            return deleting.keyed_in(connection, generation, source_id, limit)

    def held(self, source: Source, document_ids: Sequence[UUID] | None = None) -> Counts:
        with transaction(self._engine) as connection:
            return deleting.held(connection, source, document_ids)

    def delete_documents(
        self, run: Run, document_ids: Sequence[UUID], *, listed: bool, actor: str | None = None
    ) -> list[UUID]:
        if not document_ids:
            return []
        with self._writing(run) as connection:
            return deleting.delete_documents(connection, run, document_ids, listed=listed, actor=actor)

    def restore(self, document_id: UUID) -> Source:
        with transaction(self._engine) as connection:
            return deleting.restore(connection, document_id)

    def remove_source(self, run: Run) -> None:
        with self._writing(run) as connection:
            deleting.remove_source(connection, run.source)

    def begin_drop(self, generation: Generation) -> None:
        with self._at_length() as connection:
            deleting.begin_drop(connection, generation)

    def drop_collection(self, generation: Generation) -> None:
        with self._at_length() as connection:
            deleting.drop_collection(connection, generation)

    def record_deletion(self, deletion: Deletion) -> None:
        with transaction(self._engine) as connection:
            deleting.record(connection, deletion)

    def hidden_by(self, spec: SourceSpec) -> int:
        with transaction(self._engine) as connection:
            return deleting.hidden_by(connection, spec)

    def hidden_by_retention(self, scope: RetentionScope, wanted: Retention | None) -> int:
        with transaction(self._engine) as connection:
            return deleting.hidden_by_retention(connection, scope, wanted)
