"""The stages of one run: a scan of the source, then each batch from bytes to what is served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sluice import chunk as chunking
from sluice import embed as embedding
from sluice import load as loading
from sluice import validate as gates
from sluice.errors import Terminal, Unreadable
from sluice.extract.reasons import CIRCUMSTANTIAL
from sluice.extract.roots import canonical
from sluice.flow.recording import WHOLE_RUN, failing, graph_of, recorded, sparing
from sluice.model import (
    ChunkedDocument,
    Document,
    EmbeddedDocument,
    Failure,
    Item,
    Mode,
    Raw,
    Run,
    SourceSpec,
)
from sluice.ports import Extracted, Tools
from sluice.seal import content_hash

_SLICE_BYTES = 64_000_000  # raw bytes held at a time


@dataclass(frozen=True, slots=True)
class Plan:
    run: Run
    items: list[Item]
    vanished: list[UUID]


def batches(items: Sequence[Item], batch_size: int) -> Iterator[list[Item]]:
    """At most `batch_size` documents and `_SLICE_BYTES` bytes each (one larger document is a batch of its own)."""
    batch: list[Item] = []
    size_bytes = 0
    for item in items:
        if batch and (len(batch) >= batch_size or size_bytes + item.entry.size_bytes > _SLICE_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(item)
        size_bytes += item.entry.size_bytes
    if batch:
        yield batch


def scan(
    tools: Tools,
    spec: SourceSpec,
    mode: Mode,
    *,
    run_id: UUID,
    orchestrator: str,
    max_documents: int | None = None,
) -> Plan:
    """Compare a complete scan of the source with the ledger. Nothing is written for a source that is refused."""
    spec = replace(spec, uri=canonical(spec.uri))
    tools.reader(spec)  # refuses what is not allowed, before anything is saved
    source = tools.ledger.open_source(spec, tools.profile, tools.filter_fields)
    run = tools.ledger.start_run(source, mode, run_id, orchestrator)
    with failing(tools, run), recorded(tools, run, WHOLE_RUN, "scan") as counts:
        tools.vectors.ensure(source.generation)
        if graph := graph_of(tools, source.generation):
            graph.ensure()
        result = tools.ledger.record_scan(run, tools.reader(source.spec).scan())
        if not result.seen and result.vanished and mode != "full":
            raise Terminal(
                f"{spec.uri} is empty now, and {len(result.vanished)} documents of it are served. An unmounted folder "
                "looks like this, so nothing was removed. If they are meant to go, run once with mode full (--full)."
            )
        items = result.items[:max_documents]
        tools.keyring.create([item.document_id for item in items])
        counts |= {"seen": result.seen, "unchanged": result.unchanged, "planned": len(items)}
    return Plan(run, items, result.vanished)


def extract(tools: Tools, run: Run, batch: int, items: Sequence[Item]) -> list[Document]:
    """Bytes to text. What holds the active content already is only touched; what cannot be read is quarantined."""
    index_key = tools.keyring.index_key(run.source.spec.tenant)
    documents: list[Document] = []
    same: list[Item] = []
    failures: list[Failure] = []
    reader = tools.reader(run.source.spec)
    with recorded(tools, run, batch, "extract") as counts, tools.extractor() as extractor:
        for part in batches(items, len(items)):
            raws: list[Raw] = []
            for item in part:
                try:
                    raws.append(reader.read(item))
                except Unreadable as error:
                    failures.append(_refused(item, error.code, error.reason))
            hashes = {raw.item.document_id: content_hash(index_key, _identity(raw)) for raw in raws}
            if run.mode != "full":
                same += [raw.item for raw in raws if raw.item.active_hash == hashes[raw.item.document_id]]
                raws = [raw for raw in raws if raw.item.active_hash != hashes[raw.item.document_id]]
            for raw, extracted in zip(raws, extractor.extract(raws), strict=True):
                if extracted.failure:
                    failures.append(_refused(raw.item, *extracted.failure))
                else:
                    documents.append(_document(raw, extracted, hashes[raw.item.document_id]))
            counts["bytes"] = counts.get("bytes", 0) + sum(len(raw.content) for raw in raws)
        tools.ledger.touch(run, same)
        tools.ledger.quarantine(run, failures)
        counts |= {"documents": len(documents), "unchanged": len(same), "quarantined": len(failures)}
    return documents


def validate(tools: Tools, run: Run, batch: int, documents: Sequence[Document]) -> list[Document]:
    """The gate on documents. What fails a blocking expectation is quarantined with the reason."""
    with recorded(tools, run, batch, "validate") as counts:
        if not documents:
            return []
        verdict = gates.documents_gate(documents)
        tools.ledger.record_gates(run, batch, "validate", verdict.results)
        tools.ledger.quarantine(run, verdict.failures)
        counts |= {
            "documents": len(verdict.passed),
            "quarantined": len(verdict.failures),
            "gx_import_ms": round(verdict.import_seconds * 1000),
        }
        return verdict.passed


def chunk(tools: Tools, run: Run, batch: int, documents: Sequence[Document]) -> list[ChunkedDocument]:
    """Documents to chunks with exact offsets and, where the graph is on, the entities they mention."""
    profile = run.source.generation.profile
    index_key = tools.keyring.index_key(run.source.spec.tenant)
    extractor = tools.entities(profile.entities)

    def cut(part: Sequence[Document]) -> list[ChunkedDocument]:
        chunked = chunking.chunk(part, profile=profile.chunker, index_key=index_key, tokenizer=tools.tokenizer())
        if extractor is None:
            return chunked
        return chunking.with_mentions(chunked, extractor, lambda kind, name: tools.entity_id(index_key, name))

    with recorded(tools, run, batch, "chunk") as counts:
        chunked, failures = sparing(cut, documents, "chunk")
        tools.ledger.quarantine(run, failures)
        counts |= {
            "documents": len(chunked),
            "chunks": sum(len(each.chunks) for each in chunked),
            "quarantined": len(failures),
        }
    return chunked


def embed(tools: Tools, run: Run, batch: int, documents: Sequence[ChunkedDocument]) -> list[EmbeddedDocument]:
    """Only texts that no cache knows are computed; each is stored before anything is loaded."""
    index_key = tools.keyring.index_key(run.source.spec.tenant)
    embedder = tools.embedder(run.source.generation.profile.embedder)
    with recorded(tools, run, batch, "embed") as counts:
        counts |= {"computed": 0, "cached": 0}

        def embed_part(part: Sequence[ChunkedDocument]) -> list[EmbeddedDocument]:
            embedded, cost = embedding.embed(part, embedder=embedder, cache=tools.cache, index_key=index_key)
            counts["computed"] += cost.computed
            counts["cached"] += cost.cached
            return embedded

        embedded, failures = sparing(embed_part, documents, "embed")
        tools.ledger.quarantine(run, failures)
        counts["quarantined"] = len(failures)
    return embedded


def load(tools: Tools, run: Run, batch: int, documents: Sequence[EmbeddedDocument]) -> None:
    """Into ledger, vectors and graph; then one transaction activates."""
    with recorded(tools, run, batch, "load") as counts:
        loaded = loading.load(
            run,
            documents,
            ledger=tools.ledger,
            keyring=tools.keyring,
            vectors=tools.vectors,
            graph=graph_of(tools, run.source.generation),
        )
        new = sum(each.document.item.new for each in documents)
        counts |= {
            "new": new,
            "changed": len(documents) - new,
            "written": loaded.written,
            "removed": loaded.removed,
        }


# --- details ------------------------------------------------------------------------------------------------


def _refused(item: Item, code: str, reason: str) -> Failure:
    return Failure(item, "extract", code, reason, retry=code in CIRCUMSTANTIAL)


def _identity(raw: Raw) -> bytes:
    """What makes a document the same: its bytes and what its source says of it."""
    if not raw.metadata and raw.title is None:
        return raw.content
    return b"\0".join([raw.content, (raw.title or "").encode(), repr(sorted(raw.metadata.items())).encode()])


def _document(raw: Raw, extracted: Extracted, raw_hash: bytes) -> Document:
    metadata: Mapping[str, Any] = {**(extracted.metadata or {}), **raw.metadata}
    name = raw.item.entry.external_id.rsplit("/", 1)[-1]
    return Document(
        item=raw.item,
        mime=extracted.mime,
        title=raw.title or extracted.title or name,
        text=extracted.text,
        raw_hash=raw_hash,
        metadata=metadata,
        page_starts=extracted.page_starts,
    )
