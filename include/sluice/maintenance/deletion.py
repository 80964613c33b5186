"""Deletions by hand, by the way that deletions at a source go: one ledger transaction, then the outbox.

A deletion is a run (mode `purge`) of each source that it concerns. It holds the source as an ingest does, so that
neither sees the other half-way; a source that is at work is left, and the report says so. After a crash a repetition
goes on with the rest: what the ledger still lists may have lost its upload or key, never the other way round. What is
queued is carried out by the next run in the collection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID, uuid4

from sluice.errors import Busy
from sluice.model.deletion import Deletion
from sluice.model.generation import Generation
from sluice.model.run import Counts, Run
from sluice.model.source import Source
from sluice.pipeline.generations import live_generations
from sluice.pipeline.quarantine import delete_retained
from sluice.pipeline.recording import WHOLE_RUN, drained, drop_stores, failing, recorded
from sluice.ports.tools import Tools
from sluice.sources import uploads
from sluice.sources.uri import canonical

BATCH_DOCUMENTS = 500


@dataclass(frozen=True, slots=True)
class DeletionPreview:
    """What a deletion would take out."""

    documents: int
    chunks: int
    quarantined: int  # of the documents
    sources: int  # that they are of
    kept: int | None = None  # documents that stay served; None: not told
    tenants: list[str] | None = None  # whose documents; None: not told

    def to_json(self) -> dict[str, Any]:
        return _without_none(asdict(self))


@dataclass(slots=True)
class DeletionReport:
    """What a deletion took out."""

    documents: int = 0
    chunks: int = 0  # out of all stores
    left: list[str] = field(default_factory=list)  # why some of it is still there, one entry a source
    dropped: bool | None = None  # whether the collection itself is gone; None: not asked for

    def to_json(self) -> dict[str, Any]:
        return _without_none(asdict(self))


def listed(tools: Tools, sources: Sequence[tuple[Source, Sequence[UUID] | None]]) -> DeletionPreview:
    """What a deletion of these documents (None: all of the source) would take out. Changes nothing."""
    held = [tools.ledger.deletions.held(source, ids) for source, ids in sources]
    return DeletionPreview(
        documents=sum(each.documents for each in held),
        chunks=sum(each.chunks for each in held),
        quarantined=sum(each.quarantined for each in held),
        sources=len(sources),
    )


def by_source(tools: Tools, document_ids: Sequence[UUID]) -> list[tuple[Source, list[UUID]]]:
    """Raises NotFound where one of them is no document, or gone already."""
    sources = tools.ledger.sources.of(list(dict.fromkeys(document_ids)))
    by_id: dict[UUID, list[UUID]] = {}
    for document_id, source in sorted(sources.items(), key=lambda pair: (pair[1].source_id, pair[0])):
        by_id.setdefault(source.source_id, []).append(document_id)
    return [(sources[ids[0]], ids) for ids in by_id.values()]


def delete_documents(tools: Tools, document_ids: Sequence[UUID], *, actor: str) -> DeletionReport:
    """Unreadable when this returns. While the source lists them, their content is not ingested again until it changes
    (`restore`); uploads are removed with them. Raises NotFound."""
    report = DeletionReport()
    for source, ids in by_source(tools, document_ids):

        def work(run: Run, source: Source = source, ids: list[UUID] = ids) -> int:
            stays_listed = not source.spec.uri.startswith(uploads.PREFIX)
            taken = 0
            for start in range(0, len(ids), BATCH_DOCUMENTS):
                some = ids[start : start + BATCH_DOCUMENTS]
                if not stays_listed:
                    _remove_uploads(tools, source, some)
                taken += len(tools.ledger.deletions.delete(run, some, listed=stays_listed, actor=actor))
            return taken

        _carried_out(tools, source, actor, work, report)
    return report


def remove_source(tools: Tools, source: Source, *, with_documents: bool, actor: str) -> DeletionReport:
    """The source is not ingested any more, until somebody asks for it. Its documents go with it, or stay as they are
    until they expire, are deleted, or the source is ingested again."""
    report = DeletionReport()

    def work(run: Run) -> int:
        gone = tools.ledger.deletions.held(source) if with_documents else Counts(0, 0, 0)
        tools.ledger.sources.remove(run)  # first: should this break off, no schedule ingests what is gone
        if with_documents:
            if source.spec.uri.startswith(uploads.PREFIX):
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
    return [Source(each.source_id, each.spec, generation) for each in saved]


def delete_collection(tools: Tools, collection: str, *, tenant: str | None = None, actor: str) -> DeletionReport:
    """The documents of every source in it (or of one tenant's), and, where no other tenant has a source there, the
    collection itself: backing collection, graph, and all that the ledger knows of it. Raises NotFound."""
    [generation] = live_generations(tools, collection)
    report = DeletionReport()
    chunks = 0  # of what went; those that the outbox carried out may be an earlier deletion's
    for source in collection_sources(tools, collection, tenant):
        chunks += tools.ledger.deletions.held(source).chunks
        removed = remove_source(tools, source, with_documents=True, actor=actor)
        report.documents += removed.documents
        report.chunks += removed.chunks
        report.left += removed.left
    report.dropped = not report.left and not tools.ledger.sources.saved(None, collection)
    if report.dropped:
        drained(tools, generation)
        # A mark in the ledger, in one transaction with the look: an ingest that begins meanwhile would be active there
        # and absent from the stores, and repairing that takes longer than refusing it. A repetition finds the mark of a
        # deletion that was killed and goes on; with the collection the mark goes, too, and its name is free.
        tools.ledger.collections.begin_drop(generation)
        _destroy_keys(tools, generation)  # also of what had gone at its source before
        drop_stores(tools, generation)  # first: once the ledger has forgotten it, nobody knows what to drop
        tools.ledger.collections.drop(generation)
    if not report.left:
        tools.ledger.deletions.record(
            Deletion("collection", collection, actor, tenant, collection, report.documents, chunks)
        )
    return report


def restore(tools: Tools, document_id: UUID) -> Source:
    """A document that was deleted by hand is ingested again by the next run of its source. Raises NotFound."""
    return tools.ledger.deletions.restore(document_id)


def source_at(tools: Tools, tenant: str, collection: str, uri: str) -> Source:
    """Raises NotFound."""
    return tools.ledger.sources.at(tenant, collection, canonical(uri))


# --- details -----------------------------------------------------------------------------------------------------


def _carried_out(tools: Tools, source: Source, actor: str, work: Callable[[Run], int], report: DeletionReport) -> None:
    """Holding the source; one that is at work is left."""
    run = tools.ledger.runs.start(source, "purge", uuid4(), "cli" if actor == "cli" else "api")
    documents = chunks = 0
    try:
        with tools.ledger.runs.session(run.run_id), failing(tools, run):
            with recorded(tools, run, WHOLE_RUN, "delete") as counts:
                documents = work(run)
                chunks = drained(tools, source.generation)
                delete_retained(tools, run)
                counts |= {"deleted": documents, "removed": chunks}
            tools.ledger.runs.finish(run, "succeeded", {"documents": documents, "chunks": chunks, "actor": actor})
    except Busy as error:
        report.left.append(str(error))
    report.documents += documents
    report.chunks += chunks


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


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


def _deletion(kind: Any, source: Source, name: str, actor: str, documents: int, chunks: int) -> Deletion:
    return Deletion(kind, name, actor, source.spec.tenant, source.spec.collection, documents, chunks)
