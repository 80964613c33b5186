"""DELETE documents, sources, collections and grants, and GET /access, which lists who may read what.

Each deletion needs a grant to write that holds every group of the documents to delete. Deleting a source or a
collection is a dry run unless the query says `dry_run=false`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from sluice.access import grant_changes
from sluice.access.policy import check_administrator, check_deleting, held, may_read, readable_by
from sluice.api.auth import Caller
from sluice.api.backend import in_thread
from sluice.api.problems import documented
from sluice.api.routes_quarantine import ReplayBody
from sluice.api.routes_search import collection_of
from sluice.errors import NotFound
from sluice.maintenance import deletion
from sluice.model.grants import Principal
from sluice.model.names import NAME_PATTERN
from sluice.model.source import Source
from sluice.sources.schemes import canonical
from sluice.wiring.application import Sluice

router = APIRouter(responses=documented(401, 403, 404, 422, 429, 503))

DryRun = Annotated[bool, Query(description="true: only report what would be deleted.")]
OfCollection = Annotated[str, Query(pattern=NAME_PATTERN)]


class Deleted(BaseModel):
    dry_run: bool = Field(description="true: nothing was changed.")
    documents: int = Field(description="Documents deleted, or that would be deleted.")
    chunks: int = Field(description="Chunks deleted from all stores, or that would be deleted.")
    left: list[str] = Field(description="Why some of it could not be deleted; try again later.")


class Restored(BaseModel):
    document_id: UUID
    source: str = Field(description="Its next run ingests the document again.")


class GrantedAccess(BaseModel):
    principal: str
    tenant: str
    groups: list[str]
    may_write: bool


class GrantRemoved(GrantedAccess):
    """The grant as it was."""

    dry_run: bool = Field(description="true: nothing was changed.")
    hidden: int = Field(description="Documents that the user can no longer read, or would no longer be able to.")


class ReadableSource(BaseModel):
    uri: str
    collection: str
    access_groups: list[str] = Field(description="Empty: everyone in the tenant.")
    readers: list[str] = Field(description="Users who may read it.")


class AccessList(BaseModel):
    tenant: str
    grants: list[GrantedAccess]
    sources: list[ReadableSource]


@router.delete("/documents/{document_id}", response_model=Deleted, tags=["documents"])
@in_thread
def delete_document(sluice: Sluice, document_id: UUID, caller: Caller, dry_run: DryRun = False) -> Any:
    """Delete one document from all stores; it is unreadable when this returns. A run of its source does not ingest it
    again until its content changes, or until `POST /documents/{document_id}/restore`."""
    sluice.catalog.document(caller, document_id)  # raises NotFound where the caller may not read it
    [(source, ids)] = sluice.deletion.by_source([document_id])
    check_deleting(caller, source.spec)
    if dry_run:
        return _preview(sluice, [(source, ids)])
    return _done(sluice.deletion.delete_documents(ids, actor=caller.name))


@router.post("/documents/{document_id}/restore", response_model=Restored, tags=["documents"])
@in_thread
def restore_document(sluice: Sluice, document_id: UUID, body: ReplayBody, caller: Caller) -> Any:
    """Undo a deletion: the next run of the document's source ingests it again."""
    check_deleting(caller, _source_of_deleted(sluice, document_id, caller).spec)
    return {"document_id": document_id, "source": sluice.deletion.restore(document_id).spec.uri}


@router.delete("/sources", response_model=Deleted, tags=["sources"])
@in_thread
def delete_source(
    sluice: Sluice,
    caller: Caller,
    uri: Annotated[str, Query(min_length=1, max_length=2000, description="As `GET /sources` shows it.")],
    collection: OfCollection,
    documents: Annotated[
        Literal["remove", "keep"],
        Query(description="keep: its documents stay served until they expire or are deleted."),
    ],
    dry_run: DryRun = True,
) -> Any:
    """Stop ingesting a source, and delete its documents from all stores or leave them served."""
    known = [each.spec for each in sluice.catalog.sources(caller, collection)]
    source = sluice.deletion.source_at(caller.tenant, collection, uri)
    if source.spec not in known:
        raise NotFound(f"There is no source {uri[:500]} in {collection} that you may read.")
    check_deleting(caller, source.spec)
    if dry_run:
        return _preview(sluice, [(source, None if documents == "remove" else [])])
    return _done(sluice.deletion.remove_source(source, with_documents=documents == "remove", actor=caller.name))


@router.delete("/collections/{collection}", response_model=Deleted, tags=["collections"])
@in_thread
def delete_collection(sluice: Sluice, collection: str, caller: Caller, dry_run: DryRun = True) -> Any:
    """Delete all documents and sources of the tenant in a collection, and the collection itself if no other tenant has
    documents in it. Needs a grant to write with all groups (`*`)."""
    with collection_of(collection):
        sluice.catalog.live(collection, caller)
    check_administrator(caller)
    if dry_run:
        return _preview(
            sluice, [(each, None) for each in sluice.deletion.collection_sources(collection, caller.tenant)]
        )
    return _done(sluice.deletion.delete_collection(collection, tenant=caller.tenant, actor=caller.name))


@router.delete("/grants/{principal}", response_model=GrantRemoved, tags=["access"])
@in_thread
def delete_grant(sluice: Sluice, principal: str, caller: Caller, dry_run: DryRun = False) -> Any:
    """Revoke a user's grant for the tenant. Needs a grant to write with all groups (`*`)."""
    check_administrator(caller)
    before = held(sluice.ledger.grants.of(principal), caller.tenant)
    hidden = grant_changes.hidden_from(sluice.catalog, before, None) if before else 0
    if before is None or not (dry_run or grant_changes.revoke(sluice.ledger, before, caller.name)):
        raise NotFound(f"{principal[:200]} has no grant for tenant {caller.tenant}.")
    return {**before.to_json(), "dry_run": dry_run, "hidden": hidden}


@router.get("/access", response_model=AccessList, tags=["access"])
@in_thread
def show_access(
    sluice: Sluice,
    caller: Caller,
    collection: Annotated[str | None, Query(pattern=NAME_PATTERN)] = None,
    source: Annotated[str | None, Query(min_length=1, max_length=2000)] = None,
) -> Any:
    """List who may read what: the tenant's grants, and for each source its groups and readers. Needs a grant to write
    with all groups (`*`)."""
    check_administrator(caller)
    grants = sluice.ledger.grants.all(caller.tenant)
    uri = None if source is None else canonical(source)
    saved = [each.spec for each in sluice.catalog.sources(caller, collection)]
    return {
        "tenant": caller.tenant,
        "grants": [each.to_json() for each in grants],
        "sources": [readable_by(spec, grants) for spec in saved if uri in (None, spec.uri)],
    }


def _source_of_deleted(sluice: Sluice, document_id: UUID, caller: Principal) -> Source:
    """Returns the source of a deleted document. Raises NotFound: with the same text, whether the document is unknown or
    not deleted, or the caller may not read its source."""
    with suppress(NotFound):
        source = sluice.ledger.sources.of([document_id], deleted=True)[document_id]
        if may_read(caller, source.spec):
            return source
    raise NotFound(f"There is no deleted document {document_id} that you may read.")


def _preview(sluice: Sluice, sources: list[tuple[Source, Any]]) -> Deleted:
    preview = sluice.deletion.preview(sources)
    return Deleted(dry_run=True, documents=preview.documents, chunks=preview.chunks, left=[])


def _done(report: deletion.DeletionReport) -> Deleted:
    return Deleted(dry_run=False, documents=report.documents, chunks=report.chunks, left=report.left)
