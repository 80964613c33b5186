"""The flow, top to bottom: scan → extract → validate → chunk → embed → load → finish.

Each verb takes the previous stage's noun and returns the next, records what it did (`record_stage`) and sends what
fails to quarantine, so that the rest goes on. `ingest` is the whole chain in one process; the Airflow tasks call the
same verbs batch by batch (`batches.py`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

from sluice import chunk as chunking
from sluice import embed as embedding
from sluice import load as loading
from sluice import validate as gates
from sluice.errors import Disagreement, SluiceError, Terminal, Transient, Unreadable
from sluice.extract.reasons import CIRCUMSTANTIAL
from sluice.extract.roots import canonical
from sluice.model import (
    ChunkedDocument,
    Document,
    EmbeddedDocument,
    Failure,
    Generation,
    Item,
    Mode,
    Raw,
    Run,
    SourceSpec,
    StageStat,
)
from sluice.ports import Extracted, GraphIndex, Tools
from sluice.seal import content_hash

log = logging.getLogger(__name__)

WHOLE_RUN = -1
_SLICE_BYTES = 64_000_000  # raw bytes held at a time


@dataclass(frozen=True, slots=True)
class Plan:
    run: Run
    items: list[Item]
    vanished: list[UUID]


# --- the chain ----------------------------------------------------------------------------------------------


def ingest(
    tools: Tools,
    spec: SourceSpec,
    mode: Mode = "incremental",
    orchestrator: str = "cli",
    on_batch: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Bring a collection up to date with one source. Returns the run's summary.

    `on_batch(done, planned)` is told after every batch, in documents.
    """
    plan = scan(tools, spec, mode, run_id=uuid4(), orchestrator=orchestrator)
    run, done = plan.run, 0
    with _failing(tools, run):
        for number, items in enumerate(batches(plan.items, tools.batch_size)):
            through(tools, run, number, items)
            done += len(items)
            if on_batch:
                on_batch(done, len(plan.items))
        return finish(tools, run, plan.vanished)


def through(tools: Tools, run: Run, batch: int, items: Sequence[Item]) -> None:
    documents = validate(tools, run, batch, extract(tools, run, batch, items))
    load(tools, run, batch, embed(tools, run, batch, chunk(tools, run, batch, documents)))


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


# --- the stages ---------------------------------------------------------------------------------------------


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
    with _failing(tools, run), _stage(tools, run, WHOLE_RUN, "scan") as counts:
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
    with _stage(tools, run, batch, "extract") as counts, tools.extractor() as extractor:
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
    with _stage(tools, run, batch, "validate") as counts:
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

    with _stage(tools, run, batch, "chunk") as counts:
        chunked, failures = _sparing(cut, documents, "chunk")
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
    with _stage(tools, run, batch, "embed") as counts:
        counts |= {"computed": 0, "cached": 0}

        def embed_part(part: Sequence[ChunkedDocument]) -> list[EmbeddedDocument]:
            embedded, cost = embedding.embed(part, embedder=embedder, cache=tools.cache, index_key=index_key)
            counts["computed"] += cost.computed
            counts["cached"] += cost.cached
            return embedded

        embedded, failures = _sparing(embed_part, documents, "embed")
        tools.ledger.quarantine(run, failures)
        counts["quarantined"] = len(failures)
    return embedded


def load(tools: Tools, run: Run, batch: int, documents: Sequence[EmbeddedDocument]) -> None:
    """Into ledger, vectors and graph; then one transaction activates."""
    with _stage(tools, run, batch, "load") as counts:
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


def finish(tools: Tools, run: Run, vanished: Sequence[UUID]) -> dict[str, Any]:
    """Remove what is gone at the source, see that the stores agree, close the run and return its summary.

    Raises Disagreement where a store lacks or exceeds what the ledger says: such a run has not succeeded.
    """
    generation = run.source.generation
    graph = graph_of(tools, generation)
    with _stage(tools, run, WHOLE_RUN, "finish") as counts:
        tools.ledger.remove_documents(run, vanished)
        tools.ledger.drop_leftovers(run)
        counts["deleted"] = tools.ledger.deleted_by(run)  # also what an earlier try of this run removed
        counts["removed"] = loading.drain(generation, ledger=tools.ledger, vectors=tools.vectors, graph=graph)
        agree(tools, run)
    summary = summarise(tools, run)
    tools.ledger.finish_run(run, "succeeded", summary)
    return summary


def agree(tools: Tools, run: Run) -> None:
    """Counts of this source's chunks in every store.

    Raises Disagreement with the figures, Transient where another run of the source may be why they differ.
    """
    generation, source_id = run.source.generation, run.source.source_id
    figures = {
        "ledger": tools.ledger.run_counts(run).chunks,
        "qdrant": tools.vectors.count(generation, source=source_id),
    }
    if graph := graph_of(tools, generation):
        figures["neo4j"] = graph.count(generation, source=source_id)
    if len(set(figures.values())) > 1:
        told = ", ".join(f"{store} {count}" for store, count in figures.items())
        if tools.ledger.others_running(run):
            raise Transient(
                f"Another run of {run.source.spec.uri} is at work, so the stores cannot be compared yet ({told}). "
                "Nothing is lost; once it has ended, run this again."
            )
        raise Disagreement(
            f"The stores do not hold the same chunks of {run.source.spec.uri}: {told}. Searches stay right, because "
            "the ledger decides what is shown; run the ingest again with mode full to write what is missing."
        )


def summarise(tools: Tools, run: Run) -> dict[str, Any]:
    totals: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for stat in tools.ledger.stages(run):
        seconds[stat.stage] = round(seconds.get(stat.stage, 0.0) + stat.seconds, 3)
        for name, count in stat.counts.items():
            totals[name] = totals.get(name, 0) + count
    counts = tools.ledger.run_counts(run)
    return {
        "run_id": str(run.run_id),
        "collection": run.source.spec.collection,
        "generation": run.source.generation.number,
        "documents": {
            "seen": totals.get("seen", 0),
            "new": totals.get("new", 0),
            "changed": totals.get("changed", 0),
            "unchanged": totals.get("unchanged", 0),
            "moved": 0,  # moves are not told apart yet: one deleted and one new, embeddings from the cache
            "deleted": totals.get("deleted", 0),
            "quarantined": counts.quarantined,
        },
        "chunks": {
            "written": totals.get("written", 0),
            "removed": totals.get("removed", 0),
            "total": tools.ledger.counts(run.source.generation).chunks,
        },
        "embeddings": {"computed": totals.get("computed", 0), "cached": totals.get("cached", 0)},
        "seconds": round(sum(seconds.values()), 3),
        "quarantine": tools.ledger.reasons(run),
        "stages": seconds,
        "gx_import_seconds": totals.get("gx_import_ms", 0) / 1000,
    }


# --- details ------------------------------------------------------------------------------------------------


def graph_of(tools: Tools, generation: Generation) -> GraphIndex | None:
    """The graph where this generation has one. Raises Terminal where it should be there and is switched off."""
    if generation.profile.entities == "off":
        return None
    if tools.graph is None:
        raise Terminal(
            f"Collection {generation.collection} was made with the graph on, and SLUICE_GRAPH is off now: the graph "
            "would fall behind. Set SLUICE_GRAPH=on, or ingest into another collection. Nothing was changed."
        )
    return tools.graph


@contextmanager
def _failing(tools: Tools, run: Run) -> Iterator[None]:
    """The ledger's run is closed as failed, whatever went wrong; what is served is as before."""
    try:
        yield
    except BaseException as error:
        with suppress(SluiceError):  # the ledger may be what is down: the first error is the one to tell
            tools.ledger.finish_run(run, "failed", {"error": f"{type(error).__name__}: {error}"})
        raise


@contextmanager
def _stage(tools: Tools, run: Run, batch: int, stage: str) -> Iterator[dict[str, int]]:
    counts: dict[str, int] = {}
    started_s = time.perf_counter()
    yield counts
    tools.ledger.record_stage(run, StageStat(batch, stage, time.perf_counter() - started_s, counts))


def _sparing(
    verb: Callable[[Sequence[Any]], list[Any]], documents: Sequence[Any], stage: str
) -> tuple[list[Any], list[Failure]]:
    """All at once; where that breaks on something unforeseen, one by one, so that one document costs only itself.

    What breaks every document is not the documents' fault and is raised, as is every error of our own.
    """
    try:
        return verb(documents), []
    except SluiceError:
        raise
    except Exception as error:
        log.exception("Stage %s broke on a batch of %d; it is tried document by document", stage, len(documents))
        first = error
    done: list[Any] = []
    failures: list[Failure] = []
    for each in documents:
        try:
            done += verb([each])
        except SluiceError:
            raise
        except Exception as error:
            reason = (
                f"Stage {stage} broke on it ({type(error).__name__}). The next run tries again; tell us if it stays."
            )
            item = getattr(each, "document", each).item
            failures.append(Failure(item, stage, f"{stage}_failed", reason, retry=True))
    if not done and len(documents) > 1:
        raise first
    return done, failures


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
