"""The reading side of the ledger in memory."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sluice.adapters.postgres.rules import check_tenant, no_collection, no_run, not_refused
from sluice.errors import NotFound
from sluice.model.catalog import CollectionInfo, DocumentInfo
from sluice.model.gates import RunGates
from sluice.model.generation import Generation
from sluice.model.grants import ALL_GROUPS, Grant, Principal
from sluice.model.passage import PassageLineage
from sluice.model.points import SealedChunk
from sluice.model.quarantine import Refusal
from sluice.model.search import Hydrated
from sluice.model.source import SavedSource
from sluice.testing import judged, passages
from sluice.testing.saved import saved
from sluice.testing.state import DocumentRow, MemoryState, SourceRow, VersionRow, now, same


class MemoryCatalog:
    """`sluice.ports.catalog.Catalog`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    def live(self, collection: str, principal: Principal) -> tuple[Generation, tuple[UUID, ...]]:
        with self._state.lock:
            generation = self._visible(collection, principal)
            rows = [row for row in self._sources(principal) if same(row.generation, generation)]
            return generation, tuple(sorted(row.source_id for row in rows))

    def _sources(self, principal: Principal) -> list[SourceRow]:
        """A document's own groups may open it to someone who may not read the rest of its source."""
        own = {
            document.source.source_id
            for document in self._state.documents.values()
            if document.access_groups is not None
            and document.deleted_at is None
            and _may(principal, document.access_groups)
        }
        return [
            row
            for row in self._state.sources.values()
            if row.spec.tenant == principal.tenant and (_may(principal, row.spec.access_groups) or row.source_id in own)
        ]

    def hydrate(self, generation: Generation, chunk_ids: Sequence[UUID], principal: Principal) -> list[Hydrated]:
        wanted = set(chunk_ids)
        found = {}
        with self._state.lock:
            for version in self._state.all_versions():
                if version.state != "active" or not same(version.generation, generation):
                    continue
                document = self._state.documents[version.sealed.document_id]
                for chunk in version.sealed.chunks:
                    if chunk.chunk_id in wanted and _readable(principal, document):
                        found[chunk.chunk_id] = _hydrated(document, version, chunk)
        return [found[chunk_id] for chunk_id in chunk_ids if chunk_id in found]

    def collections(self, principal: Principal) -> list[CollectionInfo]:
        with self._state.lock:
            names = {row.spec.collection for row in self._sources(principal)}
            return [self._info(self._state.collections[name], principal) for name in sorted(names)]

    def sources(self, principal: Principal, collection: str | None = None) -> list[SavedSource]:
        with self._state.lock:
            rows = [
                row
                for row in self._state.sources.values()
                if row.spec.tenant == principal.tenant
                and collection in (None, row.spec.collection)
                and _may(principal, row.spec.access_groups)
                and self._state.is_there(row)
            ]
            return saved(self._state, rows)

    def documents(
        self, principal: Principal, collection: str, limit: int, after: UUID | None = None
    ) -> list[DocumentInfo]:
        with self._state.lock:
            generation = self._visible(collection, principal)
            ids = sorted(
                document.document_id
                for document in self._state.documents.values()
                if same(document.source.generation, generation) and _readable(principal, document)
            )
            page = [each for each in ids if after is None or each > after][:limit]
            return [self._document(self._state.documents[each]) for each in page]

    def document(self, principal: Principal, document_id: UUID) -> DocumentInfo:
        with self._state.lock:
            document = self._state.documents.get(document_id)
            if document is None or not _readable(principal, document):
                raise NotFound(f"There is no document {document_id} that you may read.")
            return self._document(document)

    def lineage(self, principal: Principal, chunk_id: UUID) -> PassageLineage:
        with self._state.lock:
            for version in self._state.all_versions():
                live = self._state.collections[version.generation.collection]
                document = self._state.documents[version.sealed.document_id]
                holds = any(chunk.chunk_id == chunk_id for chunk in version.sealed.chunks)
                served = version.state == "active" and same(version.generation, live)
                if holds and served and _readable(principal, document):
                    return passages.lineage(self._state, document, version, chunk_id)
        raise NotFound(f"There is no passage {chunk_id} that you may read.")

    def refusals(
        self,
        principal: Principal,
        collection: str | None = None,
        code: str | None = None,
        *,
        run_id: UUID | None = None,
        limit: int,
        after: UUID | None = None,
    ) -> list[Refusal]:
        with self._state.lock:
            found = [
                judged.refusal(self._state, record)
                for document_id, record in sorted(self._state.quarantine.items())
                if _readable(principal, self._state.documents[document_id])
                and collection in (None, record.source.spec.collection)
                and code in (None, record.code)
                and run_id in (None, record.run_id)
                and (after is None or document_id > after)
            ]
            return found[:limit]

    def refusal(self, principal: Principal, document_id: UUID) -> Refusal:
        with self._state.lock:
            record = self._state.quarantine.get(document_id)
            if record is None or not _readable(principal, self._state.documents[document_id]):
                raise not_refused(document_id)
            return judged.refusal_with_rows(self._state, record)

    def run_gates(self, principal: Principal, run_id: UUID, *, limit: int, offset: int = 0) -> RunGates:
        with self._state.lock:
            run = self._state.runs.get(run_id)
            spec = self._state.sources[run.source_id].spec if run else None
            if (
                run is None
                or spec is None
                or spec.tenant != principal.tenant
                or not _may(principal, spec.access_groups)
            ):
                raise no_run(run_id)
            readable = {each.document_id for each in self._state.documents.values() if _readable(principal, each)}
            return judged.run_gates(self._state, run, readable, limit, offset)

    def grants(self, principal: str) -> list[Grant]:
        with self._state.lock:
            found = [grant for grant in self._state.grants.values() if grant.principal == principal]
            return sorted(found, key=lambda grant: grant.tenant)

    def all_grants(self, tenant: str | None = None) -> list[Grant]:
        with self._state.lock:
            found = [each for each in self._state.grants.values() if tenant in (None, each.tenant)]
            return sorted(found, key=lambda each: (each.principal, each.tenant))

    def grant(self, grant: Grant) -> None:
        check_tenant(grant.tenant)
        with self._state.lock:
            self._state.tenants.add(grant.tenant)
            self._state.grants[grant.principal, grant.tenant] = grant

    def revoke(self, principal: str, tenant: str) -> bool:
        with self._state.lock:
            return self._state.grants.pop((principal, tenant), None) is not None

    def ping(self) -> str:
        return "memory"

    def _visible(self, collection: str, principal: Principal) -> Generation:
        if any(row.spec.collection == collection for row in self._sources(principal)):
            return self._state.collections[collection]
        raise no_collection(principal.tenant, collection)

    def _info(self, generation: Generation, principal: Principal) -> CollectionInfo:
        readable = [
            document
            for document in self._state.documents.values()
            if document.source.generation.collection_id == generation.collection_id and _readable(principal, document)
        ]
        served = [self._state.active(document.document_id, generation) for document in readable]
        versions = [version for version in served if version]
        return CollectionInfo(
            generation.collection,
            generation.number,
            generation.profile,
            len(versions),
            sum(len(version.sealed.chunks) for version in versions),
            sum(1 for document in readable if document.document_id in self._state.quarantine),
        )

    def _document(self, document: DocumentRow) -> DocumentInfo:
        collection = document.source.spec.collection
        version = self._state.active(document.document_id, self._state.collections[collection])
        refused = self._state.quarantine.get(document.document_id)
        return DocumentInfo(
            document.document_id,
            document.external_id,
            document.uri,
            collection,
            version.number if version else None,
            version.generation.number if version else None,
            version.run_id if version else None,
            version.sealed.mime if version else None,
            version.sealed.size_bytes if version else None,
            len(version.sealed.chunks) if version else 0,
            document.first_seen_at,
            version.activated_at if version else None,
            document.expires_at,
            refused.reason if refused else None,
            version.sealed.sealed_title if version else None,
        )


def _may(principal: Principal, groups: Sequence[str] | None) -> bool:
    return not groups or ALL_GROUPS in principal.groups or not principal.groups.isdisjoint(groups)


def _readable(principal: Principal, document: DocumentRow) -> bool:
    groups = document.source.spec.access_groups if document.access_groups is None else document.access_groups
    return (
        document.source.spec.tenant == principal.tenant
        and document.deleted_at is None
        and (document.expires_at is None or document.expires_at > now())
        and document.purged_hash is None
        and _may(principal, groups)
    )


def _hydrated(document: DocumentRow, version: VersionRow, chunk: SealedChunk) -> Hydrated:
    return Hydrated(
        chunk.chunk_id,
        document.document_id,
        document.external_id,
        document.uri,
        version.number or 0,
        version.generation.number,
        version.run_id,
        chunk.start,
        chunk.end,
        chunk.page,
        version.sealed.mime,
        chunk.sealed_text,
        chunk.sealed_headings,
        version.sealed.sealed_title,
        version.sealed.sealed_metadata,
    )
