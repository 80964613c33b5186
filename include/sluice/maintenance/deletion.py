"""Deletions by hand, by the way that deletions at a source go: one ledger transaction, then the outbox.

A deletion is a run (mode `purge`) of each source that it concerns. It holds the source as an ingest does, so that
neither sees the other half-way; a source that is at work is left, and the report says so. After a crash a repetition
goes on with the rest: what the ledger still lists may have lost its upload or key, never the other way round. What is
queued is carried out by the next run in the collection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from sluice.errors import Busy
from sluice.model.deletion import Deletion
from sluice.model.generation import Generation
from sluice.model.grants import Grant, Principal
from sluice.model.run import Counts, Run
from sluice.model.source import SavedSource, Source
from sluice.pipeline.generations import live_generations
from sluice.pipeline.quarantine import let_go
from sluice.pipeline.recording import WHOLE_RUN, drained, drop_stores, failing, recorded
from sluice.ports.tools import Tools
from sluice.sources import uploads
from sluice.sources.roots import canonical

BATCH_DOCUMENTS = 500
Report = dict[str, Any]
_UPLOADS = "uploads://"


def listed(tools: Tools, sources: Sequence[tuple[Source, Sequence[UUID] | None]]) -> Report:
    """What a deletion of these documents (None: all of the source) would take out. Changes nothing."""
    held = [tools.ledger.deletions.held(source, ids) for source, ids in sources]
    return {
        "documents": sum(each.documents for each in held),
        "chunks": sum(each.chunks for each in held),
        "quarantined": sum(each.quarantined for each in held),
        "sources": len(sources),
    }


def by_source(tools: Tools, document_ids: Sequence[UUID]) -> list[tuple[Source, list[UUID]]]:
    """Raises NotFound where one of them is no document, or gone already."""
    sources = tools.ledger.sources.of(list(dict.fromkeys(document_ids)))
    by_id: dict[UUID, list[UUID]] = {}
    for document_id, source in sorted(sources.items(), key=lambda pair: (pair[1].source_id, pair[0])):
        by_id.setdefault(source.source_id, []).append(document_id)
    return [(sources[ids[0]], ids) for ids in by_id.values()]


def delete_documents(tools: Tools, document_ids: Sequence[UUID], *, actor: str) -> Report:
    """Unreadable when this returns. While the source lists them, their content is not ingested again until it changes
    (`restore`); uploads are removed with them. Raises NotFound."""
    report = _begun()
    for source, ids in by_source(tools, document_ids):

        def work(run: Run, source: Source = source, ids: list[UUID] = ids) -> int:
            stays_listed = not source.spec.uri.startswith(_UPLOADS)
            taken = 0
            for start in range(0, len(ids), BATCH_DOCUMENTS):
                some = ids[start : start + BATCH_DOCUMENTS]
                if not stays_listed:
                    _remove_uploads(tools, source, some)
                taken += len(tools.ledger.deletions.delete(run, some, listed=stays_listed, actor=actor))
            return taken

        _carried_out(tools, source, actor, work, report)
    return report


def remove_source(tools: Tools, source: Source, *, with_documents: bool, actor: str) -> Report:
    """The source is not ingested any more, until somebody asks for it. Its documents go with it, or stay as they are
    until they expire, are deleted, or the source is ingested again."""
    report = _begun()

    def work(run: Run) -> int:
        gone = tools.ledger.deletions.held(source) if with_documents else Counts(0, 0, 0)
        tools.ledger.sources.remove(run)  # first: should this break off, no schedule ingests what is gone
        if with_documents:
            if source.spec.uri.startswith(_UPLOADS):
                place = {"tenant": source.spec.tenant, "collection": source.spec.collection}
                uploads.remove_all(tools.blobs, tools.keyring, **place)
            _all_documents(tools, run)
        uri = source.spec.uri
        tools.ledger.deletions.record(_deletion("source", source, uri, actor, gone.documents, gone.chunks))
        return gone.documents

    _carried_out(tools, source, actor, work, report)
    return report


def collection_sources(tools: Tools, collection: str, tenant: str | None = None) -> list[Source]:
    """Of all tenants, or of one. Raises NotFound where there is no such collection."""
    [generation] = live_generations(tools, collection)
    saved = tools.ledger.sources.saved(tenant, collection)
    return [_source(each, generation) for each in saved]


def delete_collection(tools: Tools, collection: str, *, tenant: str | None = None, actor: str) -> Report:
    """The documents of every source in it (or of one tenant's), and, where no other tenant has a source there, the
    collection itself: backing collection, graph, and all that the ledger knows of it. Raises NotFound."""
    [generation] = live_generations(tools, collection)
    report = _begun()
    chunks = 0  # of what went; those that the outbox carried out may be an earlier deletion's
    for source in collection_sources(tools, collection, tenant):
        chunks += tools.ledger.deletions.held(source).chunks
        removed = remove_source(tools, source, with_documents=True, actor=actor)
        for name in ("documents", "chunks"):
            report[name] += removed[name]
        report["left"] += removed["left"]
    report["dropped"] = not report["left"] and not tools.ledger.sources.saved(None, collection)
    if report["dropped"]:
        drained(tools, generation)
        # A mark in the ledger, in one transaction with the look: an ingest that begins meanwhile would be active there
        # and absent from the stores, and repairing that takes longer than refusing it. A repetition finds the mark of a
        # deletion that was killed and goes on; with the collection the mark goes, too, and its name is free.
        tools.ledger.collections.begin_drop(generation)
        _destroy_keys(tools, generation)  # also of what had gone at its source before
        drop_stores(tools, generation)  # first: once the ledger has forgotten it, nobody knows what to drop
        tools.ledger.collections.drop(generation)
    if not report["left"]:
        tools.ledger.deletions.record(
            Deletion("collection", collection, actor, tenant, collection, report["documents"], chunks)
        )
    return report


def hidden_from(tools: Tools, before: Grant, after: Grant | None) -> int:
    """Documents that may be read by `before` and not by `after` (None: nothing is granted): what groups of both open
    less what the later do."""
    if after is None:
        return _readable(tools, before)
    both = replace(before, groups=before.groups | after.groups)
    return _readable(tools, both) - _readable(tools, after)


def revoke(tools: Tools, grant: Grant, actor: str) -> bool:
    """Take a grant back. False where there was none any more."""
    had = tools.ledger.grants.revoke(grant.principal, grant.tenant)
    if had:
        tools.ledger.deletions.record(Deletion("grant", grant.principal, actor, grant.tenant))
    return had


def restore(tools: Tools, document_id: UUID) -> Source:
    """A document that was deleted by hand is ingested again by the next run of its source. Raises NotFound."""
    return tools.ledger.deletions.restore(document_id)


def source_at(tools: Tools, tenant: str, collection: str, uri: str) -> Source:
    """Raises NotFound."""
    return tools.ledger.sources.at(tenant, collection, canonical(uri))


# --- details -----------------------------------------------------------------------------------------------------


def _readable(tools: Tools, granted: Grant) -> int:
    who = Principal(granted.principal, granted.tenant, granted.groups, granted.may_write)
    return sum(each.documents for each in tools.catalog.collections(who))


def _begun() -> Report:
    return {"documents": 0, "chunks": 0, "left": []}


def _carried_out(tools: Tools, source: Source, actor: str, work: Callable[[Run], int], report: Report) -> None:
    """Holding the source; one that is at work is left."""
    run = tools.ledger.runs.start(source, "purge", uuid4(), "cli" if actor == "cli" else "api")
    removed = {"documents": 0, "chunks": 0}
    try:
        with tools.ledger.runs.session(run.run_id), failing(tools, run):
            with recorded(tools, run, WHOLE_RUN, "delete") as counts:
                removed["documents"] = work(run)
                removed["chunks"] = drained(tools, source.generation)
                let_go(tools, run)
                counts |= {"deleted": removed["documents"], "removed": removed["chunks"]}
            tools.ledger.runs.finish(run, "succeeded", {**removed, "actor": actor})
    except Busy as error:
        report["left"].append(str(error))
    for name, count in removed.items():
        report[name] += count


def _all_documents(tools: Tools, run: Run) -> None:
    """With those that were deleted by hand before: they are gone for good now, and so are the keys."""
    after: UUID | None = None
    while page := tools.ledger.deletions.deletable(run.source, after, BATCH_DOCUMENTS):
        tools.ledger.deletions.delete(run, page, listed=False)
        after = page[-1]
    _destroy_keys(tools, run.source.generation, run.source.source_id)


def _destroy_keys(tools: Tools, generation: Generation, source_id: UUID | None = None) -> None:
    while document_ids := tools.ledger.deletions.keyed_in(generation, source_id, BATCH_DOCUMENTS):
        tools.keyring.destroy(document_ids)
        tools.ledger.pruning.key_destroyed(document_ids)  # last: a crash before destroys them once more


def _remove_uploads(tools: Tools, source: Source, document_ids: Sequence[UUID]) -> None:
    """An upload is its document's source. First: what is left after a crash is still a document, and is found again."""
    names = tools.ledger.deletions.names_of(source, document_ids)
    spec = source.spec
    uploads.remove(tools.blobs, tools.keyring, tenant=spec.tenant, collection=spec.collection, names=names)


def _source(saved: SavedSource, generation: Generation) -> Source:
    return Source(saved.source_id, saved.spec, generation)


def _deletion(kind: Any, source: Source, name: str, actor: str, documents: int, chunks: int) -> Deletion:
    return Deletion(kind, name, actor, source.spec.tenant, source.spec.collection, documents, chunks)
