"""The stage `load`: writes documents into ledger, vectors and graph."""

from __future__ import annotations

from collections.abc import Sequence

from sluice.indexing import loading
from sluice.model.chunk import EmbeddedDocument
from sluice.model.document import Document
from sluice.model.generation import Generation
from sluice.model.run import Run
from sluice.model.scan import WorkItem
from sluice.pipeline.batching import Batch, parts
from sluice.pipeline.extraction import beyond_quota
from sluice.pipeline.progress import progressing
from sluice.pipeline.quarantine import refuse
from sluice.pipeline.recording import graph_of, isolate_failures, recorded
from sluice.pipeline.removed_documents import reporting_pending_removals
from sluice.ports.tools import Tools

_LOADED_AT_ONCE = 500  # documents that one transaction activates


def ensure(tools: Tools, generation: Generation) -> None:
    """Prepares the stores for points and contributions. To be called before the first load of a process."""
    tools.vectors.ensure(generation)
    if graph := graph_of(tools, generation):
        graph.ensure()


def load(tools: Tools, run: Run, batch: Batch, documents: Sequence[EmbeddedDocument]) -> None:
    """Writes into ledger, vectors and graph; then one transaction activates up to `_LOADED_AT_ONCE` documents.

    A document that exceeds the tenant's quota by now, because other runs used it up, is quarantined."""
    with (
        recorded(tools, run, batch.number, "load") as counts,
        progressing("load", batch.number, len(documents)) as progress,
    ):
        counts |= {"written": 0, "removed": 0, "superseded": 0}
        graph = graph_of(tools, run.source.generation)
        beyond: list[Document] = []

        def load_part(part: Sequence[EmbeddedDocument]) -> list[WorkItem]:
            loaded = loading.load(
                run, part, ledger=tools.ledger, keyring=tools.keyring, vectors=tools.vectors, graph=graph
            )
            counts["written"] += loaded.written
            counts["removed"] += loaded.removed
            counts["superseded"] += len(loaded.superseded)
            items = [each.document.item for each in part]
            beyond.extend(each.document for each in part if each.document.document_id in loaded.refused)
            skipped = loaded.refused | loaded.superseded
            return [item for item in items if item.document_id not in skipped]

        served, failures = [], []
        for part in parts(documents, _LOADED_AT_ONCE):
            activated, failed = isolate_failures(load_part, part, "load", terminal=True)
            served += activated
            failures += failed
            progress.step(len(part))
        superseded = refuse(tools, run, failures)
        superseded += refuse(tools, run, [beyond_quota(run, each) for each in beyond], {})
        new = sum(item.new for item in served)
        moved = sum(item.moved for item in served)
        counts |= {
            "new": new,
            "changed": len(served) - new - moved,
            "superseded": counts["superseded"] + superseded,
            "quarantined": len(beyond) + len(failures) - superseded,
        }


def load_in_task(
    tools: Tools, run: Run, batch: Batch, documents: Sequence[EmbeddedDocument]
) -> Sequence[EmbeddedDocument]:
    """Does the same in a process that loads one batch only. Returns `documents`. Raises Transient, with what is
    pending, where a store is down."""
    with reporting_pending_removals(tools, run):
        if documents:
            ensure(tools, run.source.generation)
        load(tools, run, batch, documents)
    return documents
