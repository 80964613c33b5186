"""Commands to list and delete collections, and to delete and restore documents."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated
from uuid import UUID

import typer

from sluice.cli.terminal import Apply, Json, opened, tell, tell_deletion
from sluice.errors import BadRequest

app = typer.Typer(help="Collections: list them, delete one.", no_args_is_help=True)
documents = typer.Typer(help="Documents: delete them, undo a deletion.", no_args_is_help=True)
Documents = Annotated[list[UUID], typer.Argument(help="Ids of documents; a search shows them as document_id.")]


@app.command("list")
def collections_list(json_: Json = False) -> None:
    """List every collection with its documents, chunks and tenants."""
    from sluice.indexing.counts import by_collection

    with opened() as sluice:
        saved = [each.spec for each in sluice.ledger.sources.saved()]
        rows = [
            {**counts, "tenants": sorted({spec.tenant for spec in saved if spec.collection == counts["name"]})}
            for _, counts in by_collection(sluice.ledger.collections)
        ]
    lines = [
        f"{each['name']}: {each['documents']} documents, {each['chunks']} chunks, {each['quarantined']} in quarantine; "
        f"tenants {', '.join(each['tenants']) or 'none'}"
        for each in rows
    ]
    tell({"collections": rows}, json_, *(lines or ["No collection yet."]))


@app.command("delete")
def collections_delete(
    collection: Annotated[str, typer.Argument(help="Its name.")],
    tenant: Annotated[
        str | None, typer.Option(help="Only this tenant's documents. Not given: all tenants, and the collection.")
    ] = None,
    apply: Apply = False,
    json_: Json = False,
) -> None:
    """Delete a collection with all its documents and sources. Exit code 1: some of it could not be deleted, try
    again."""
    with opened() as sluice:
        sources = sluice.deletion.collection_sources(collection, tenant)
        preview = sluice.deletion.preview([(each, None) for each in sources])
        tenants = sorted({each.spec.tenant for each in sources})
        report = sluice.deletion.delete_collection(collection, tenant=tenant, actor="cli") if apply else None
    of = f" of tenants {', '.join(tenants)}" if tenants else ""
    named = f"collection {collection}, {preview.sources} sources{of}"
    tell_deletion(named, replace(preview, tenants=tenants), report, json_)


@documents.command("delete")
def documents_delete(document_id: Documents, apply: Apply = False, json_: Json = False) -> None:
    """Delete documents from all stores. A run of their source does not ingest them again until their content changes,
    or until `sluice documents restore`. One document is deleted at once, several only with --apply."""
    with opened() as sluice:
        chosen = sluice.deletion.by_source(document_id)
        preview = sluice.deletion.preview([*chosen])
        single = len(set(document_id)) == 1
        report = sluice.deletion.delete_documents(document_id, actor="cli") if apply or single else None
    tell_deletion(f"{preview.documents} documents", preview, report, json_)


@documents.command("restore")
def documents_restore(document_id: Documents, json_: Json = False) -> None:
    """Undo a deletion: the next run of a document's source ingests it again."""
    if not document_id:
        raise BadRequest("Give the ids of documents.")
    with opened() as sluice:
        sources = {sluice.deletion.restore(each).spec.uri for each in document_id}
    line = f"The next run of {', '.join(sorted(sources))} ingests {len(document_id)} documents again."
    tell({"restored": len(document_id), "sources": sorted(sources)}, json_, line)
