"""Retention in a ledger in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sluice.adapters.postgres.rules import check_retention, no_such
from sluice.model.retention import ExpiredDocument, Retention, RetentionScope, RetentionSetting
from sluice.model.run import Run
from sluice.model.source import Source
from sluice.testing.state import DocumentRow, MemoryState, SourceRow, now


class MemoryRetention:
    """`sluice.ports.retention.RetentionLedger`. Documents in quarantine are those that are there now."""

    state: MemoryState
    _fence: Callable[[Run], None]
    _retire: Callable[[UUID], None]

    def set_retention(self, scope: RetentionScope, wanted: Retention | None) -> int:
        if wanted is not None:
            check_retention(wanted)
        with self.state.lock:
            documents = self._set(scope, wanted)
            renewed = self.state.renew_expiry(documents)
            self.state.changed(self.state.collections[self._collection(scope)].collection_id)
            return renewed

    def _collection(self, scope: RetentionScope) -> str:
        if scope.document_id is None:
            return scope.collection
        return self.state.documents[scope.document_id].source.spec.collection

    def _set(self, scope: RetentionScope, wanted: Retention | None) -> Iterable[DocumentRow]:
        """Returns the documents that it may concern."""
        if scope.document_id is not None:
            if scope.document_id not in self.state.documents:
                raise no_such(scope)
            document = self.state.documents[scope.document_id]
            document.retention = wanted
            return [document]
        if scope.source:
            row = self._source(scope)
            row.spec = replace(row.spec, retention_days=wanted.days if wanted else None)
            row.until = wanted.until if wanted else None
            return [each for each in self.state.documents.values() if each.source is row]
        if scope.collection not in self.state.collections:
            raise no_such(scope)
        collection_id = self.state.collections[scope.collection].collection_id
        self.state.retentions.pop(collection_id, None)
        if wanted is not None:
            self.state.retentions[collection_id] = wanted
        return [each for each in self.state.documents.values() if each.source.generation.collection_id == collection_id]

    def _source(self, scope: RetentionScope) -> SourceRow:
        place = (scope.tenant, scope.collection, scope.source)
        for row in self.state.sources.values():
            if (row.spec.tenant, row.spec.collection, row.spec.uri) == place:
                return row
        raise no_such(scope)

    def retentions(self, collection: str | None = None) -> list[RetentionSetting]:
        with self.state.lock:
            names = [name for name in sorted(self.state.collections) if collection in (None, name)]
            found = [(RetentionScope(name), self._of_collection(name)) for name in names]
            sources = [row for row in self.state.sources.values() if row.spec.collection in names]
            found += [(_scope(row), row.retention) for row in sorted(sources, key=_place)]
            documents = [each for each in self.state.documents.values() if each.source.spec.collection in names]
            documents.sort(key=lambda each: (*_place(each.source), each.document_id))
            found += [
                (replace(_scope(each.source), document_id=each.document_id), each.retention) for each in documents
            ]
            return [RetentionSetting(scope, retention) for scope, retention in found if retention is not None]

    def _of_collection(self, name: str) -> Retention | None:
        return self.state.retentions.get(self.state.collections[name].collection_id)

    def clock(self) -> datetime:
        return now()

    def expired_sources(self, as_of: datetime, collection: str | None = None) -> list[Source]:
        with self.state.lock:
            rows = {
                each.source.source_id: each.source for each in self.state.documents.values() if self._due(each, as_of)
            }
            chosen = [row for row in rows.values() if collection in (None, row.spec.collection)]
            return [Source(row.source_id, row.spec, row.generation) for row in sorted(chosen, key=_place)]

    def expired(
        self, source: Source, as_of: datetime, after: ExpiredDocument | None, limit: int
    ) -> list[ExpiredDocument]:
        with self.state.lock:
            own = [each for each in self.state.documents.values() if each.source.source_id == source.source_id]
            rows = sorted((self._expired(each) for each in own if self._due(each, as_of)), key=_age)
            return [each for each in rows if after is None or _age(each) > _age(after)][:limit]

    def _due(self, document: DocumentRow, as_of: datetime) -> bool:
        if document.expires_at is None or document.expires_at > min(as_of, now()) or document.purged_hash:
            return False
        versions = self.state.versions.get(document.document_id, {}).values()
        staged = any(each.state == "pending" and self.state.alive(self.state.runs[each.run_id]) for each in versions)
        return document.served_since is not None and not staged

    def _expired(self, document: DocumentRow) -> ExpiredDocument:
        versions = self.state.versions.get(document.document_id, {}).values()
        return ExpiredDocument(
            document_id=document.document_id,
            external_id=document.external_id,
            collection=document.source.spec.collection,
            tenant=document.source.spec.tenant,
            expired_at=document.expires_at or now(),
            chunks=sum(len(each.sealed.chunks) for each in versions if each.state == "active"),
        )

    def purge(self, run: Run, document_ids: Sequence[UUID], as_of: datetime) -> list[UUID]:
        with self.state.lock:
            self._fence(run)
            own = [self.state.documents[each] for each in sorted(document_ids) if each in self.state.documents]
            taken = [each for each in own if each.source.source_id == run.source.source_id and self._due(each, as_of)]
            for document in taken:
                self.state.runs[run.run_id].purged[document.document_id] = self._expired(document)
                last = self.state.last(document.document_id)
                document.purged_hash = last.sealed.raw_hash if last else None
                self._retire(document.document_id)
                for version in self.state.versions[document.document_id].values():
                    version.sealed = replace(version.sealed, sealed_title=b"", sealed_text=b"", sealed_metadata=b"")
            if taken:
                self.state.changed(run.source.generation.collection_id)
            return [each.document_id for each in taken]

    def purged(self, run: Run) -> list[UUID]:
        with self.state.lock:
            return sorted(self.state.runs[run.run_id].purged)


def _scope(row: SourceRow) -> RetentionScope:
    return RetentionScope(row.spec.collection, row.spec.tenant, row.spec.uri)


def _place(row: SourceRow) -> tuple[str, str, str]:
    return row.spec.collection, row.spec.tenant, row.spec.uri


def _age(document: ExpiredDocument) -> tuple[datetime, UUID]:
    return document.expired_at, document.document_id
