"""The stage `load`: writes documents into ledger, vectors and graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sluice.indexing import loading
from sluice.indexing.stores import Stores
from sluice.model.chunk import EmbeddedDocument
from sluice.model.document import Document
from sluice.model.run import Run
from sluice.model.scan import WorkItem
from sluice.pipeline.batching import Batch, parts
from sluice.pipeline.extraction import beyond_quota
from sluice.pipeline.quarantine import Quarantine
from sluice.pipeline.recording import Recorder, isolate_failures
from sluice.pipeline.vanished_documents import VanishedDocuments
from sluice.ports.content import Keyring
from sluice.ports.versions import Versions

_LOADED_AT_ONCE = 500  # documents that one transaction activates


@dataclass(frozen=True, slots=True)
class Loading:
    """The stage `load`."""

    versions: Versions
    keyring: Keyring
    stores: Stores
    recorder: Recorder
    quarantine: Quarantine
    vanished_documents: VanishedDocuments

    def load(self, run: Run, batch: Batch, documents: Sequence[EmbeddedDocument]) -> None:
        """Writes into ledger, vectors and graph; then one transaction activates up to `_LOADED_AT_ONCE` documents.

        A document that exceeds the tenant's quota by now, because other runs used it up, is quarantined."""
        with self.recorder.progressing(run, batch.number, "load", len(documents)) as (counts, progress):
            counts |= {"written": 0, "removed": 0, "superseded": 0}
            self.stores.graph_of(run.source.generation)  # raises where the graph is off, before anything is written
            beyond: list[Document] = []

            def load_part(part: Sequence[EmbeddedDocument]) -> list[WorkItem]:
                loaded = loading.load(run, part, versions=self.versions, keyring=self.keyring, stores=self.stores)
                counts["written"] += loaded.written
                counts["removed"] += loaded.removed
                counts["superseded"] += len(loaded.superseded)
                beyond.extend(each.document for each in part if each.document.document_id in loaded.over_quota)
                skipped = loaded.over_quota | loaded.superseded
                return [each.document.item for each in part if each.document.document_id not in skipped]

            served, failures = [], []
            for part in parts(documents, _LOADED_AT_ONCE):
                activated, failed = isolate_failures(load_part, part, "load", terminal=True)
                served += activated
                failures += failed
                progress.step(len(part))
            superseded = self.quarantine.add(run, failures)
            superseded += self.quarantine.add(run, [beyond_quota(run, each) for each in beyond], {})
            new, renamed = sum(item.new for item in served), sum(item.renamed for item in served)
            counts |= {
                "new": new,
                "changed": len(served) - new - renamed,
                "superseded": counts["superseded"] + superseded,
                "quarantined": len(beyond) + len(failures) - superseded,
            }

    def load_in_task(self, run: Run, batch: Batch, documents: Sequence[EmbeddedDocument]) -> Sequence[EmbeddedDocument]:
        """Does the same in a process that loads one batch only. Returns `documents`. Raises Transient, with what is
        pending, where a store is down."""
        with self.vanished_documents.reporting_pending(run):
            if documents:
                self.stores.ensure(run.source.generation)
            self.load(run, batch, documents)
        return documents
