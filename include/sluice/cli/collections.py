"""Collections as a whole, and documents one by one: what there is, and taking it out."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from sluice.cli.terminal import FAILED, OK, Apply, Json, tell, tell_deletion, tools_of_settings
from sluice.errors import BadRequest

app = typer.Typer(help="Collections: list them, delete one.", no_args_is_help=True)
documents = typer.Typer(help="Documents: delete some, take a deletion back.", no_args_is_help=True)
Documents = Annotated[list[UUID], typer.Argument(help="Ids of documents; a search shows them as document_id.")]


@app.command("list")
def collections_list(json_: Json = False) -> None:
    """Every collection with its documents, chunks and tenants."""
    with tools_of_settings() as tools:
        saved = tools.ledger.sources.saved()
        told = []
        for generation in tools.ledger.collections.generations():
            counts = tools.ledger.collections.counts(generation)
            tenants = {each.spec.tenant for each in saved if each.spec.collection == generation.collection}
            told.append(
                {
                    "name": generation.collection,
                    "generation": generation.number,
                    "documents": counts.documents,
                    "chunks": counts.chunks,
                    "quarantined": counts.quarantined,
                    "tenants": sorted(tenants),
                }
            )
    lines = [
        f"{each['name']}: {each['documents']} documents, {each['chunks']} chunks, {each['quarantined']} in quarantine; "
        f"tenants {', '.join(each['tenants']) or 'none'}"  # type: ignore[arg-type]
        for each in told
    ]
    tell({"collections": told}, json_, *(lines or ["No collection yet."]))


@app.command("delete")
def collections_delete(
    collection: Annotated[str, typer.Argument(help="Its name.")],
    tenant: Annotated[
        str | None, typer.Option(help="Only what this one has in it. Not given: of all tenants, and the collection.")
    ] = None,
    apply: Apply = False,
    json_: Json = False,
) -> None:
    """Take out all documents of a collection, its sources and the collection itself. Exit code 1: some was left, try
    again."""
    from sluice.maintenance import deletion

    with tools_of_settings() as tools:
        sources = deletion.collection_sources(tools, collection, tenant)
        found = deletion.listed(tools, [(each, None) for each in sources])
        found["tenants"] = sorted({each.spec.tenant for each in sources})
        report = deletion.delete_collection(tools, collection, tenant=tenant, actor="cli") if apply else None
    of = f" of tenants {', '.join(found['tenants'])}" if found["tenants"] else ""
    tell_deletion(f"collection {collection}, {found['sources']} sources{of}", found, report, json_)
    raise typer.Exit(FAILED if report and report["left"] else OK)


@documents.command("delete")
def documents_delete(document_id: Documents, apply: Apply = False, json_: Json = False) -> None:
    """Take documents out of all stores. Their source does not bring them back until their content changes, or by
    `sluice documents restore`. One document goes at once; more only with --apply."""
    from sluice.maintenance import deletion

    with tools_of_settings() as tools:
        chosen = deletion.by_source(tools, document_id)
        found = deletion.listed(tools, [*chosen])
        single = len(set(document_id)) == 1
        report = deletion.delete_documents(tools, document_id, actor="cli") if apply or single else None
    tell_deletion(f"{found['documents']} documents", found, report, json_)
    raise typer.Exit(FAILED if report and report["left"] else OK)


@documents.command("restore")
def documents_restore(document_id: Documents, json_: Json = False) -> None:
    """Let the next run of its source ingest a deleted document again."""
    from sluice.maintenance import deletion

    if not document_id:
        raise BadRequest("Give the ids of documents.")
    with tools_of_settings() as tools:
        sources = {deletion.restore(tools, each).spec.uri for each in document_id}
    tell(
        {"restored": len(document_id), "sources": sorted(sources)},
        json_,
        f"{len(document_id)} documents are ingested again by the next run of {', '.join(sorted(sources))}.",
    )
