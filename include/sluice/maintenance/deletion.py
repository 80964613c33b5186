"""Manual deletions. They use the same path as deletions at a source: one ledger transaction, then the outbox.

A deletion is a run (mode `purge`) of each source concerned. It claims the source as an ingest does, so that neither
sees the other's intermediate state. A source with a run in progress is skipped, and the report says so. After a crash,
repeat the deletion: it continues with the rest. A document in the ledger may then have lost its upload or key, but no
upload or key remains without its document. Queued outbox entries are processed by the next run in the collection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID, uuid4

from sluice.errors import Busy
from sluice.indexing.stores import Stores
from sluice.model.deletion import Deletion
from sluice.model.generation import Generation
from sluice.model.run import Counts, Run
from sluice.model.source import Source
from sluice.pipeline.generations import live_generations
from sluice.pipeline.quarantine import Quarantine
from sluice.pipeline.recording import WHOLE_RUN, Recorder
from sluice.ports.collections import Collections
from sluice.ports.content import Blobs, Keyring
from sluice.ports.deletions import Deletions
from sluice.ports.pruning import Pruning
from sluice.ports.runs import Runs
from sluice.ports.sources import Sources
from sluice.retrieval.golden import Golden
from sluice.sources import uploads
from sluice.sources.schemes import canonical

BATCH_DOCUMENTS = 500


@dataclass(frozen=True, slots=True)
class DeletionPreview:
    """Counts of what a deletion would delete."""

    documents: int
    chunks: int
    quarantined: int  # of the documents
    sources: int  # of these documents
    kept: int | None = None  # documents that stay served; None: not counted
    tenants: list[str] | None = None  # whose documents; None: not listed

    def to_json(self) -> dict[str, Any]:
        """Returns the counts as JSON values, without those that are None."""
        return _without_none(asdict(self))


@dataclass(slots=True)
class DeletionReport:
    """Counts of what a deletion deleted."""

    documents: int = 0
    chunks: int = 0  # from all stores
    left: list[str] = field(default_factory=list)  # why documents remain, one entry per skipped source
    dropped: bool | None = None  # whether the collection itself was dropped; None: not requested

    def to_json(self) -> dict[str, Any]:
        """Returns the report as JSON values, without `dropped` where it is None."""
        return _without_none(asdict(self))


@dataclass(frozen=True, slots=True)
class Deleting:
    """Deletes documents, sources and collections on request."""

    deletions: Deletions
    sources: Sources
    runs: Runs
    collections: Collections
    pruning: Pruning
    blobs: Blobs
    keyring: Keyring
    stores: Stores
    recorder: Recorder
    quarantine: Quarantine
    golden: Golden

    def preview(self, sources: Sequence[tuple[Source, Sequence[UUID] | None]]) -> DeletionPreview:
        """Counts what a deletion of these documents (None: all of the source) would delete. Changes nothing."""
        counts = [self.deletions.held(source, ids) for source, ids in sources]
        return DeletionPreview(
            documents=sum(each.documents for each in counts),
            chunks=sum(each.chunks for each in counts),
            quarantined=sum(each.quarantined for each in counts),
            sources=len(sources),
        )

    def by_source(self, document_ids: Sequence[UUID]) -> list[tuple[Source, list[UUID]]]:
        """Groups documents by source. Raises NotFound where one of them does not exist or is already deleted."""
        sources = self.sources.of(list(dict.fromkeys(document_ids)))
        by_id: dict[UUID, list[UUID]] = {}
        for document_id, source in sorted(sources.items(), key=lambda pair: (pair[1].source_id, pair[0])):
            by_id.setdefault(source.source_id, []).append(document_id)
        return [(sources[ids[0]], ids) for ids in by_id.values()]

    def delete_documents(self, document_ids: Sequence[UUID], *, actor: str) -> DeletionReport:
        """Deletes documents; they are unreadable when this returns. Raises NotFound.

        While the source lists them, their content is not ingested again until it changes or `restore` is called.
        Uploads are deleted with their documents."""
        report = DeletionReport()
        for source, ids in self.by_source(document_ids):

            def work(run: Run, source: Source = source, ids: list[UUID] = ids) -> int:
                still_listed = not source.spec.uri.startswith(uploads.PREFIX)
                deleted = 0
                for start in range(0, len(ids), BATCH_DOCUMENTS):
                    batch = ids[start : start + BATCH_DOCUMENTS]
                    if not still_listed:
                        self._remove_uploads(source, batch)
                    deleted += len(self.deletions.delete(run, batch, still_listed=still_listed, actor=actor))
                return deleted

            self._carry_out(source, actor, work, report)
        return report

    def remove_source(self, source: Source, *, with_documents: bool, actor: str) -> DeletionReport:
        """Removes a source: it is not ingested again until somebody requests it.

        Its documents are deleted with it, or stay until they expire, are deleted, or the source is ingested again."""
        report, spec = DeletionReport(), source.spec

        def work(run: Run) -> int:
            counts = self.deletions.held(source) if with_documents else Counts(0, 0, 0)
            self.sources.remove(run)  # first: after a crash no schedule ingests the deleted documents again
            if with_documents:
                if spec.uri.startswith(uploads.PREFIX):
                    uploads.remove_all(self.blobs, self.keyring, tenant=spec.tenant, collection=spec.collection)
                self._delete_all_documents(run)
            deletion = Deletion(
                "source", spec.uri, actor, spec.tenant, spec.collection, counts.documents, counts.chunks
            )
            self.deletions.record(deletion)
            return counts.documents

        self._carry_out(source, actor, work, report)
        return report

    def collection_sources(self, collection: str, tenant: str | None = None) -> list[Source]:
        """Returns the saved sources of a collection, of all tenants or of one. Raises NotFound."""
        [generation] = live_generations(self.collections, collection)
        saved = self.sources.saved(tenant, collection)
        return [Source(each.source_id, each.spec, generation) for each in saved]

    def delete_collection(self, collection: str, *, tenant: str | None = None, actor: str) -> DeletionReport:
        """Deletes the documents of every source in a collection, or of one tenant's sources. Raises NotFound.

        Where no other tenant has a source there, the collection itself is dropped: its backing collection, its part of
        the graph, and all its rows in the ledger. Golden sets, feedback and evaluations are removed with it, or (with a
        tenant) those of the tenant."""
        [generation] = live_generations(self.collections, collection)
        report = DeletionReport()
        chunks = 0  # of the deleted documents; `report.chunks` may include outbox entries of an earlier deletion
        for source in self.collection_sources(collection, tenant):
            chunks += self.deletions.held(source).chunks
            removed = self.remove_source(source, with_documents=True, actor=actor)
            report.documents += removed.documents
            report.chunks += removed.chunks
            report.left += removed.left
        if tenant is not None and not report.left:
            self.golden.remove_all(generation, tenant)
        report.dropped = not report.left and not self.sources.saved(None, collection)
        if report.dropped:
            self.stores.drain(generation)
            # One transaction checks that the collection is empty and marks it as being dropped, so that no ingest can
            # start there: its documents would be active in the ledger and missing from the stores. After a crash, a
            # repetition finds the mark and continues. The mark is deleted with the collection, and the name is then
            # free.
            self.collections.begin_drop(generation)
            self._destroy_keys(generation)  # also of documents deleted at their source before
            self.golden.remove_all(generation, None)
            self.stores.drop(generation)  # before the ledger, which is the only place that knows what to drop
            self.collections.drop(generation)
        if not report.left:
            deletion = Deletion("collection", collection, actor, tenant, collection, report.documents, chunks)
            self.deletions.record(deletion)
        return report

    def restore(self, document_id: UUID) -> Source:
        """Lets the next run of its source ingest a manually deleted document again. Raises NotFound."""
        return self.deletions.restore(document_id)

    def source_at(self, tenant: str, collection: str, uri: str) -> Source:
        """Returns the saved source with this URI. Raises NotFound."""
        return self.sources.at(tenant, collection, canonical(uri))

    def _carry_out(self, source: Source, actor: str, work: Callable[[Run], int], report: DeletionReport) -> None:
        """Runs `work` under the lease of the source and adds its counts to `report`. A source that is busy is
        skipped."""
        run = self.runs.start(source, "purge", uuid4(), "cli" if actor == "cli" else "api")
        documents = chunks = 0
        try:
            with self.runs.session(run.run_id), self.recorder.failing(run):
                with self.recorder.recorded(run, WHOLE_RUN, "delete") as counts:
                    documents = work(run)
                    chunks = self.stores.drain(source.generation)
                    self.quarantine.delete_retained(run)
                    counts |= {"deleted": documents, "removed": chunks}
                self.runs.finish(run, "succeeded", {"documents": documents, "chunks": chunks, "actor": actor})
        except Busy as error:
            report.left.append(str(error))
        report.documents += documents
        report.chunks += chunks

    def _delete_all_documents(self, run: Run) -> None:
        """Deletes all documents of the source for good, also those deleted manually before, and destroys their keys."""
        after: UUID | None = None
        while page := self.deletions.deletable(run.source, after, BATCH_DOCUMENTS):
            self.deletions.delete(run, page, still_listed=False)
            after = page[-1]
        self._destroy_keys(run.source.generation, run.source.source_id)

    def _destroy_keys(self, generation: Generation, source_id: UUID | None = None) -> None:
        while document_ids := self.deletions.remaining_keys(generation, source_id, BATCH_DOCUMENTS):
            self.keyring.destroy(document_ids)
            self.pruning.key_destroyed(document_ids)  # last: after a crash they are destroyed again

    def _remove_uploads(self, source: Source, document_ids: Sequence[UUID]) -> None:
        """Deletes the uploads of documents. Called before the documents are deleted, so that a repetition after a crash
        still finds them in the ledger."""
        names = self.deletions.names_of(source, document_ids)
        spec = source.spec
        uploads.remove(self.blobs, self.keyring, tenant=spec.tenant, collection=spec.collection, names=names)


# --- details -----------------------------------------------------------------------------------------------------


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
