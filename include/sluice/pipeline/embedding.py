"""The stage `embed`: chunks to vectors, then the gate on vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sluice.embedding import account, embedding
from sluice.model.chunk import ChunkedDocument, EmbeddedDocument
from sluice.model.run import Run
from sluice.pipeline.batching import Batch
from sluice.pipeline.gating import Gating
from sluice.pipeline.recording import Recorder, isolate_failures
from sluice.ports.content import Embedder, Keyring
from sluice.ports.costs import Costs
from sluice.ports.vector_cache import VectorCache
from sluice.quality import gates


@dataclass(frozen=True, slots=True)
class Embedding:
    """The stage `embed`."""

    costs: Costs
    cache: VectorCache
    keyring: Keyring
    embedder: Callable[[str], Embedder]  # by the profile's name
    recorder: Recorder
    gating: Gating

    def embed(self, run: Run, batch: Batch, documents: Sequence[ChunkedDocument]) -> list[EmbeddedDocument]:
        """Embeds the texts that are not in the cache, stores their vectors there, and runs the gate on vectors.

        Vectors are cached before anything is loaded. Vectors that the gate rejects are deleted from the cache, so that
        the next run computes them again.

        Beyond the run's budget nothing more is embedded. Documents that have all their vectors are loaded; the next run
        does the others, and finds in the cache what was already computed."""
        index_key, generation = self.keyring.index_key(run.source.spec.tenant), run.source.generation
        embedder = self.embedder(generation.profile.embedder)
        chunks = sum(len(each.chunks) for each in documents)
        with self.recorder.progressing(run, batch.number, "embed", chunks, "chunks") as (counts, progress):
            counts |= {"computed": 0, "cached": 0, "tokens": 0, "remaining": 0}

            def embed_part(part: Sequence[ChunkedDocument]) -> list[EmbeddedDocument]:
                embedded, cost = embedding.embed(
                    part,
                    embedder=embedder,
                    dim=generation.profile.dim,
                    cache=self.cache,
                    index_key=index_key,
                    account=account.BatchAccount(self.costs, run, batch.number),
                    on_texts=progress.step,
                )
                counts["computed"] += cost.computed
                counts["cached"] += cost.cached
                counts["tokens"] += cost.tokens
                counts["remaining"] += len(part) - len(embedded)
                return embedded

            embedded, failures = isolate_failures(embed_part, documents, "embed")
            if counts["remaining"]:
                self.costs.record_exceeded(run, "budget")
            self.gating.quarantine_failures(run, failures, counts)
            if embedded:
                verdict = gates.vectors_gate(embedded, generation.profile.dim, self.gating.rules(generation))
                self.cache.forget(embedder.name, gates.suspect_vectors(verdict, embedded))
                embedded = self.gating.record(run, batch.number, "embed", verdict, counts)
        return embedded
