"""Deletions by hand in a ledger in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from sluice.adapters.postgres.rules import narrows, no_document, not_empty, not_saved
from sluice.model.deletion import Deletion
from sluice.model.generation import Generation
from sluice.model.retention import Retention, RetentionScope
from sluice.model.run import Counts, Run
from sluice.model.source import Source, SourceSpec
from sluice.testing.state import DocumentRow, MemoryState, SourceRow, now, same


class MemoryDeletions:
    """`sluice.ports.deletions.DeletionLedger`."""

    state: MemoryState
    _fence: Callable[[Run], None]
    _retire: Callable[[UUID], None]
    set_retention: Callable[[RetentionScope, Retention | None], int]

    def sources_of(self, document_ids: Sequence[UUID], *, deleted: bool = False) -> dict[UUID, Source]:
        with self.state.lock:
            return {each: self._source_of(each, deleted) for each in document_ids}

    def _source_of(self, document_id: UUID, deleted: bool) -> Source:
        document = self.state.documents.get(document_id)
        if document is None or document.deleted_at or bool(document.removed_at) != deleted:
            raise no_document(document_id)
        return _source(document.source)

    def source_at(self, tenant: str, collection: str, uri: str) -> Source:
        with self.state.lock:
            if (row := self._saved_row(tenant, collection, uri)) is None:
                raise not_saved(tenant, collection, uri)
            return _source(row)

    def deletable(self, source: Source, after: UUID | None, limit: int) -> list[UUID]:
        with self.state.lock:
            ids = sorted(each.document_id for each in self.state.living(source.source_id).values())
            return [each for each in ids if after is None or each > after][:limit]

    def gone(self, document_ids: Sequence[UUID]) -> set[UUID]:
        with self.state.lock:
            return {each for each in document_ids if self.state.documents[each].gone_hash is not None}

    def names_of(self, source: Source, document_ids: Sequence[UUID]) -> list[str]:
        with self.state.lock:
            return [each.external_id for each in self._there(source, document_ids)]

    def keyed_in(self, generation: Generation, source_id: UUID | None, limit: int) -> list[UUID]:
        with self.state.lock:
            gone = {
                each.document_id: each
                for each in self.state.documents.values()
                if each.deleted_at is not None
                and each.source.generation.collection_id == generation.collection_id
                and source_id in (None, each.source.source_id)
            }
            ids = [document_id for document_id, each in gone.items() if each.key_destroyed_at is None]
            moves = (move for run in self.state.runs.values() for moved, move in run.moves.items() if moved in gone)
            return [*ids, *(move.placeholder_id for move in moves if move.placeholder_id)][:limit]

    def held(self, source: Source, document_ids: Sequence[UUID] | None = None) -> Counts:
        with self.state.lock:
            found = self._there(source, document_ids)
            ids = {each.document_id for each in found}
            active = [each for each in self.state.all_versions() if each.state == "active"]
            chunks = sum(len(each.sealed.chunks) for each in active if each.sealed.document_id in ids)
            return Counts(len(found), chunks, len(ids & set(self.state.quarantine)))

    def delete_documents(
        self, run: Run, document_ids: Sequence[UUID], *, listed: bool, actor: str | None = None
    ) -> list[UUID]:
        with self.state.lock:
            self._fence(run)
            living = self.state.living(run.source.source_id).values()
            taken = sorted(
                (each for each in living if each.document_id in set(document_ids) and not (listed and each.removed_at)),
                key=lambda each: each.document_id,
            )
            for document in taken:
                if actor is not None:
                    self._record(document, actor)
                self._take(run, document, listed)
            if taken:
                self.state.changed(run.source.generation.collection_id)
            return [each.document_id for each in taken]

    def _record(self, document: DocumentRow, actor: str) -> None:
        spec = document.source.spec
        chunks = self.held(_source(document.source), [document.document_id]).chunks
        name = str(document.document_id)
        self.state.deletions.append(Deletion("document", name, actor, spec.tenant, spec.collection, 1, chunks))

    def _take(self, run: Run, document: DocumentRow, listed: bool) -> None:
        if listed:
            record = self.state.quarantine.get(document.document_id)
            document.removed_at = now()
            if record:
                document.fingerprint = record.fingerprint
            refused = record and record.raw_hash
            document.purged_hash = refused or self._last_hash(document) or document.purged_hash or b""
        else:
            document.deleted_at, document.deleted_by = now(), run.run_id
        self._retire(document.document_id)
        for version in self.state.versions.get(document.document_id, {}).values():
            version.sealed = replace(version.sealed, sealed_title=b"", sealed_text=b"", sealed_metadata=b"")

    def _last_hash(self, document: DocumentRow) -> bytes | None:
        last = self.state.last(document.document_id)
        return last.sealed.raw_hash if last else None

    def restore(self, document_id: UUID) -> Source:
        with self.state.lock:
            document = self.state.documents.get(document_id)
            if document is None or document.removed_at is None or document.deleted_at:
                raise no_document(document_id)
            document.removed_at = document.fingerprint = None
            expired = document.expires_at is not None and document.expires_at <= now()
            document.purged_hash = self._last_hash(document) if expired else None
            return _source(document.source)

    def remove_source(self, run: Run) -> None:
        with self.state.lock:
            self._fence(run)
            row = self.state.sources[run.source.source_id]
            row.removed_at, row.schedule = now(), replace(row.schedule, paused=True)
            self.state.changed(run.source.generation.collection_id)

    def begin_drop(self, generation: Generation) -> None:
        with self.state.lock:
            self._check_empty(generation)
            if any(self.state.sources[each].removed_at is None for each in self._sources_in(generation)):
                raise not_empty(generation.collection)
            self.state.dropping.add(generation.collection_id)

    def _check_empty(self, generation: Generation) -> None:
        with self.state.lock:
            versions = [each for each in self.state.all_versions() if same(each.generation, generation)]
            queued = [each for each in self.state.outbox.values() if same(each.generation, generation)]
            sources = self._sources_in(generation)
            living = [each for source_id in sources for each in self.state.living(source_id)]
            claimed = [each for each in sources & set(self.state.claims) if self.state.claims[each].lapses_at > now()]
            if queued or living or claimed or any(each.state != "superseded" for each in versions):
                raise not_empty(generation.collection)

    def _sources_in(self, generation: Generation) -> set[UUID]:
        rows = self.state.sources.values()
        return {each.source_id for each in rows if each.generation.collection_id == generation.collection_id}

    def drop_collection(self, generation: Generation) -> None:
        with self.state.lock:
            self._check_empty(generation)
            sources = self._sources_in(generation)
            documents = {each.document_id for each in self.state.documents.values() if each.source.source_id in sources}
            runs = {each for each, row in self.state.runs.items() if row.source_id in sources}
            for rows, gone in (
                (self.state.versions, documents),
                (self.state.documents, documents),
                (self.state.released, documents),
                (self.state.runs, runs),
                (self.state.claims, sources),
                (self.state.sources, sources),
                (self.state.gate_rules, {generation.collection_id}),
                (self.state.retentions, {generation.collection_id}),
            ):
                _forget(rows, gone)
            self.state.collections.pop(generation.collection, None)

    def record_deletion(self, deletion: Deletion) -> None:
        with self.state.lock:
            self.state.deletions.append(deletion)

    def hidden_by(self, spec: SourceSpec) -> int:
        with self.state.lock:
            row = self._saved_row(spec.tenant, spec.collection, spec.uri)
            if row is None:
                return 0
            readable = [each for each in self.state.documents.values() if each.source is row and self._readable(each)]
            wanted, narrowed = spec.over(row.spec), narrows(row.spec.access_groups, spec.access_groups)
            own = [each for each in readable if narrowed and each.access_groups is None]
            ended = []
            if wanted.retention_days and wanted.retention_days != row.spec.retention_days:
                ended = [each for each in readable if each.retention is None and _ended(each, wanted.retention_days)]
            return len({each.document_id for each in (*own, *ended)})

    def hidden_by_retention(self, scope: RetentionScope, wanted: Retention | None) -> int:
        with self.state.lock:
            before = {each.document_id for each in self.state.documents.values() if self._readable(each)}
            kept = self._retentions()
            self.set_retention(scope, wanted)
            after = {each.document_id for each in self.state.documents.values() if self._readable(each)}
            self._put_back(kept)
            return len(before - after)

    def _retentions(self) -> list[tuple[object, str, object]]:
        rows: list[tuple[object, str, object]] = [(self.state, "retentions", dict(self.state.retentions))]
        for source in self.state.sources.values():
            rows += [(source, "spec", source.spec), (source, "until", source.until)]
        for document in self.state.documents.values():
            rows += [(document, "retention", document.retention), (document, "expires_at", document.expires_at)]
        return rows

    def _put_back(self, rows: Iterable[tuple[object, str, object]]) -> None:
        for row, name, value in rows:
            setattr(row, name, value)

    def _readable(self, document: DocumentRow) -> bool:
        active = any(each.state == "active" for each in self.state.versions.get(document.document_id, {}).values())
        current = document.expires_at is None or document.expires_at > now()
        return active and current and document.deleted_at is None and document.purged_hash is None

    def _saved_row(self, tenant: str, collection: str, uri: str) -> SourceRow | None:
        for row in self.state.sources.values():
            if (row.spec.tenant, row.spec.collection, row.spec.uri) == (tenant, collection, uri):
                return row
        return None

    def _there(self, source: Source, document_ids: Sequence[UUID] | None) -> list[DocumentRow]:
        return [
            each
            for each in self.state.living(source.source_id).values()
            if each.removed_at is None and (document_ids is None or each.document_id in set(document_ids))
        ]


def _forget(rows: dict[UUID, Any], gone: Iterable[UUID]) -> None:
    for each in gone:
        rows.pop(each, None)


def _source(row: SourceRow) -> Source:
    return Source(row.source_id, row.spec, row.generation)


def _ended(document: DocumentRow, days: int) -> bool:
    return document.served_since is not None and document.served_since + timedelta(days=days) <= now()
