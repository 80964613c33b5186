"""The stage `chunk`: documents to chunks with their entities, then the gate on chunks."""

from __future__ import annotations

from collections.abc import Sequence

from sluice.chunking import chunker
from sluice.model.chunk import ChunkedDocument
from sluice.model.document import Document
from sluice.model.run import Run
from sluice.pipeline.batching import Batch, parts
from sluice.pipeline.progress import progressing
from sluice.pipeline.quarantine import refuse
from sluice.pipeline.recording import gate_rules, gated, isolate_failures, recorded
from sluice.ports.tools import Tools
from sluice.quality import gates

_CUT_AT_ONCE = 200


def chunk(tools: Tools, run: Run, batch: Batch, documents: Sequence[Document]) -> list[ChunkedDocument]:
    """Splits documents into chunks with exact offsets, extracts entities where the graph is on, and runs the gate."""
    profile = run.source.generation.profile
    index_key = tools.keyring.index_key(run.source.spec.tenant)
    extractor = tools.entities(profile.entities)

    def cut(part: Sequence[Document]) -> list[ChunkedDocument]:
        result = []
        for group in parts(part, _CUT_AT_ONCE):
            chunked = chunker.chunk(group, profile=profile.chunker, index_key=index_key, tokenizer=tools.tokenizer())
            if extractor is not None:
                chunked = chunker.with_mentions(chunked, extractor, lambda kind, name: tools.entity_id(index_key, name))
            result += chunked
            progress.step(len(group))
        return result

    with (
        recorded(tools, run, batch.number, "chunk") as counts,
        progressing("chunk", batch.number, len(documents)) as progress,
    ):
        chunked, failures = isolate_failures(cut, documents, "chunk")
        counts["superseded"] = refuse(tools, run, failures)
        counts["quarantined"] = len(failures) - counts["superseded"]
        if chunked:
            shares = chunker.size_shares(chunked, profile=profile.chunker, tokenizer=tools.tokenizer())
            verdict = gates.chunks_gate(chunked, shares, gate_rules(tools, run.source.generation))
            chunked = gated(tools, run, batch.number, "chunk", verdict, counts)
        counts |= {"documents": len(chunked), "chunks": sum(len(each.chunks) for each in chunked)}
    return chunked
