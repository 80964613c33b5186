"""The stage `embed`: chunks to vectors, then the gate on vectors."""

from __future__ import annotations

from collections.abc import Sequence

from sluice.embedding import account, embedding
from sluice.model.chunk import ChunkedDocument, EmbeddedDocument
from sluice.model.run import Run
from sluice.pipeline.batching import Batch
from sluice.pipeline.progress import progressing
from sluice.pipeline.quarantine import refuse
from sluice.pipeline.recording import gate_rules, gated, isolate_failures, recorded
from sluice.ports.tools import Tools
from sluice.quality import gates


def embed(tools: Tools, run: Run, batch: Batch, documents: Sequence[ChunkedDocument]) -> list[EmbeddedDocument]:
    """Embeds the texts that are not in the cache, stores their vectors there, and runs the gate on vectors.

    Vectors are cached before anything is loaded. Vectors that the gate rejects are deleted from the cache, so that the
    next run computes them again.

    Where the run's budget is exceeded, the run stops: documents with all their vectors continue. The next run does the
    others and finds in the cache what was already computed."""
    index_key = tools.keyring.index_key(run.source.spec.tenant)
    embedder = tools.embedder(run.source.generation.profile.embedder)
    chunks = sum(len(each.chunks) for each in documents)
    with (
        recorded(tools, run, batch.number, "embed") as counts,
        progressing("embed", batch.number, chunks, "chunks") as progress,
    ):
        counts |= {"computed": 0, "cached": 0, "tokens": 0, "remaining": 0}

        def embed_part(part: Sequence[ChunkedDocument]) -> list[EmbeddedDocument]:
            embedded, cost = embedding.embed(
                part,
                embedder=embedder,
                dim=run.source.generation.profile.dim,
                cache=tools.cache,
                index_key=index_key,
                account=account.BatchAccount(tools.ledger, run, batch.number),
                on_texts=progress.step,
            )
            counts["computed"] += cost.computed
            counts["cached"] += cost.cached
            counts["tokens"] += cost.tokens
            counts["remaining"] += len(part) - len(embedded)
            return embedded

        embedded, failures = isolate_failures(embed_part, documents, "embed")
        if counts["remaining"]:
            tools.ledger.costs.stop(run, "budget")
        counts["superseded"] = refuse(tools, run, failures)
        counts["quarantined"] = len(failures) - counts["superseded"]
        if embedded:
            generation = run.source.generation
            verdict = gates.vectors_gate(embedded, generation.profile.dim, gate_rules(tools, generation))
            tools.cache.forget(embedder.name, gates.suspect_vectors(verdict, embedded))
            embedded = gated(tools, run, batch.number, "embed", verdict, counts)
    return embedded
