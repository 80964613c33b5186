"""GET /collections and GET /documents: the collections and documents that the caller may read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from sluice.api.auth import Caller, Grants
from sluice.api.backend import in_thread
from sluice.api.problems import documented
from sluice.api.routes_search import collection_of
from sluice.api.schemas import CollectionDetail, CollectionList, DocumentList, DocumentSummary
from sluice.encryption import Cipher, ciphers
from sluice.errors import NotFound, Terminal
from sluice.indexing.counts import counted, counters
from sluice.model.catalog import CollectionInfo, DocumentInfo
from sluice.model.languages import language_warning
from sluice.model.text import encodable
from sluice.ports.content import Keyring
from sluice.wiring.application import Sluice

router = APIRouter(responses=documented(401, 403, 429, 503))


@router.get("/collections", response_model=CollectionList, responses=documented(422), tags=["collections"])
@in_thread
def list_collections(sluice: Sluice, caller: Caller, grants: Grants) -> dict[str, Any]:
    """The collections of one tenant."""
    infos = [{**asdict(info), **_warned(info)} for info in sluice.catalog.collections(caller)]
    return {"collections": infos, "tenant": caller.tenant, "tenants": [grant.tenant for grant in grants]}


@router.get(
    "/collections/{collection}", response_model=CollectionDetail, responses=documented(404, 422), tags=["collections"]
)
@in_thread
def show_collection(sluice: Sluice, collection: str, caller: Caller) -> dict[str, Any]:
    """One collection with its chunk counts per store."""
    with collection_of(collection):
        generation = sluice.catalog.live(collection, caller).generation
        info = next((info for info in sluice.catalog.collections(caller) if info.name == collection), None)
        if info is None:
            raise NotFound(collection)
    counts: dict[str, int | None] = {}
    if caller.holds_all_groups:
        counts = counted(counters(generation, vectors=sluice.vectors, graph=sluice.graph, tenant=caller.tenant))
    return {
        **asdict(info),
        **asdict(info.profile),
        **_warned(info),
        "chunks": {"ledger": info.chunks, **counts},
        "filter_fields": list(generation.filter_fields),
        "degraded": [store for store, value in counts.items() if value is None],
    }


def _warned(info: CollectionInfo) -> dict[str, str | None]:
    return {"language_warning": language_warning(info.profile.embedder, info.languages)}


@router.get("/documents", response_model=DocumentList, responses=documented(404, 422), tags=["documents"])
@in_thread
def list_documents(
    sluice: Sluice,
    caller: Caller,
    collection: Annotated[str, Query(min_length=1, max_length=200)],
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[UUID | None, Query(description="`next` of the page before.")] = None,
) -> dict[str, Any]:
    """The documents of one collection, page by page."""
    with collection_of(collection):
        sluice.catalog.live(collection, caller)
        documents = sluice.catalog.documents(caller, collection, limit + 1, after)
    page = documents[:limit]
    return {
        "documents": _described(sluice.keyring, caller.tenant, page),
        "next": page[-1].document_id if len(documents) > limit else None,
    }


@router.get(
    "/documents/{document_id}", response_model=DocumentSummary, responses=documented(404, 422), tags=["documents"]
)
@in_thread
def show_document(sluice: Sluice, document_id: UUID, caller: Caller) -> dict[str, Any]:
    """One document: its source, its active version and, if it is in quarantine, the reason."""
    try:
        info = sluice.catalog.document(caller, document_id)
    except NotFound as error:
        raise NotFound(f"There is no document {document_id} that you may read.") from error
    return _described(sluice.keyring, caller.tenant, [info])[0]


def _described(keyring: Keyring, tenant: str, infos: Sequence[DocumentInfo]) -> list[dict[str, Any]]:
    titled = [info.document_id for info in infos if info.sealed_title is not None]
    readable = ciphers(tenant, keyring.get(titled)) if titled else {}
    return [{**asdict(info), "title": _title(info, readable.get(info.document_id))} for info in infos]


def _title(info: DocumentInfo, cipher: Cipher | None) -> str | None:
    if info.sealed_title is None or cipher is None:
        return None
    try:
        return encodable(cipher.decrypt_text("title", info.sealed_title))
    except Terminal:
        return None
