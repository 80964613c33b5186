"""The stage `chunk`: documents to chunks with their entities, then the gate on chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sluice.chunking import chunker
from sluice.model.chunk import ChunkedDocument
from sluice.model.document import Document
from sluice.model.run import Run
from sluice.pipeline.batching import Batch, parts
from sluice.pipeline.gating import Gating
from sluice.pipeline.languages import with_languages
from sluice.pipeline.recording import Recorder, isolate_failures
from sluice.ports.content import EntityExtractor, Keyring
from sluice.quality import gates

_CUT_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Chunking:
    """The stage `chunk`."""

    keyring: Keyring
    entities: Callable[[str], EntityExtractor | None]  # by the profile's name
    entity_id: Callable[[bytes, str], UUID]  # (index key of the tenant, name)
    tokenizer: Callable[[], Any]  # tokenizers.Tokenizer
    recorder: Recorder
    gating: Gating

    def chunk(self, run: Run, batch: Batch, documents: Sequence[Document]) -> list[ChunkedDocument]:
        """Detects the language of documents, splits them into chunks with exact offsets, extracts entities where the
        graph is on, and runs the gate."""
        profile = run.source.generation.profile
        index_key = self.keyring.index_key(run.source.spec.tenant)
        extractor = self.entities(profile.entities)

        def entity_id(kind: str, name: str) -> UUID:
            return self.entity_id(index_key, name)

        def cut(part: Sequence[Document]) -> list[ChunkedDocument]:
            result = []
            for group in parts(part, _CUT_AT_ONCE):
                group = with_languages(group)
                chunked = chunker.chunk(group, profile=profile.chunker, index_key=index_key, tokenizer=self.tokenizer())
                if extractor is not None:
                    chunked = chunker.with_mentions(chunked, extractor, entity_id)
                result += chunked
                progress.step(len(group))
            return result

        with self.recorder.progressing(run, batch.number, "chunk", len(documents)) as (counts, progress):
            chunked, failures = isolate_failures(cut, documents, "chunk")
            self.gating.quarantine_failures(run, failures, counts)
            if chunked:
                shares = chunker.size_shares(chunked, profile=profile.chunker, tokenizer=self.tokenizer())
                verdict = gates.chunks_gate(chunked, shares, self.gating.rules(run.source.generation))
                chunked = self.gating.record(run, batch.number, "chunk", verdict, counts)
            counts |= {"documents": len(chunked), "chunks": sum(len(each.chunks) for each in chunked)}
        return chunked
