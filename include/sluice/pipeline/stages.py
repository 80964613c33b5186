"""The stages of one run: a scan of the source, then each batch from bytes to what is served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from sluice.chunking import chunking
from sluice.embedding import account, embedding
from sluice.encryption import content_hash
from sluice.errors import Terminal, Unreadable
from sluice.indexing import loading
from sluice.model.chunk import ChunkedDocument, EmbeddedDocument
from sluice.model.document import Document, Raw
from sluice.model.generation import Generation, Profile
from sluice.model.metadata import described
from sluice.model.quarantine import Failure
from sluice.model.reasons import CIRCUMSTANTIAL
from sluice.model.run import Mode, Run
from sluice.model.scan import Item, ScanResult
from sluice.model.source import Source, SourceSpec
from sluice.pipeline import renames
from sluice.pipeline.batching import batches, parts
from sluice.pipeline.progress import progressing
from sluice.pipeline.quarantine import identity, reading, refuse, wanted
from sluice.pipeline.recording import (
    WHOLE_RUN,
    failing,
    gate_rules,
    gated,
    graph_of,
    isolate_failures,
    leave_out_failing,
    recorded,
)
from sluice.pipeline.removed_documents import FEW, remove_vanished
from sluice.pipeline.scanning import listed
from sluice.ports.content import Extracted
from sluice.ports.readers import MarkedReader
from sluice.ports.tools import Tools
from sluice.quality import gates
from sluice.sources.roots import canonical

_LOADED_AT_ONCE = 500  # documents that one transaction activates
_CUT_AT_ONCE = 200
_SIMILAR_AT_MOST = 5_000  # signatures that a batch is compared with
QUOTA = (
    "Tenant {tenant} has no room for it; a version that is served stays. Remove documents, or raise the quota "
    "(`sluice tenants set`). The next run tries again."
)


@dataclass(frozen=True, slots=True)
class Plan:
    run: Run
    items: list[Item]


def save(tools: Tools, spec: SourceSpec) -> Source:
    """Save what is given of a source; make the source, its collection and its tenant where they are new. Raises
    BadRequest where it may not be read."""
    spec = replace(spec, uri=canonical(spec.uri))
    saved = tools.ledger.sources.spec(spec.tenant, spec.collection, spec.uri)
    tools.reader(spec.over(saved))  # refuses what is not allowed, before anything is saved
    return tools.ledger.sources.save(spec, profile_of(tools, spec.collection), tools.filter_fields)


def hidden_by(tools: Tools, spec: SourceSpec) -> int:
    """Documents that a run with these groups and this retention would hide at once from somebody who may read them."""
    return tools.ledger.deletions.hidden_by(replace(spec, uri=canonical(spec.uri)))


def scan(
    tools: Tools,
    spec: SourceSpec,
    mode: Mode,
    *,
    run_id: UUID,
    orchestrator: str,
    max_documents: int | None = None,
    max_tokens: int | None = None,
    max_cost: float | None = None,
    approve_shrink: bool = False,
) -> Plan:
    """Compare a complete scan of the source with the ledger. What `spec` sets of a saved source is written together
    with the comparison: a run that is refused, or fails before, changes nothing. Neither store is asked.

    Where `max_documents` leaves work for the next run, nothing counts as vanished: it may turn out to have moved.
    `max_tokens`, `max_cost` (US dollars): what embedding may take, in place of what holds for every run.
    Raises Busy where another run works on the source, Terminal where it shrank by more than `tools.max_shrink`.
    """
    spec = replace(spec, uri=canonical(spec.uri))
    budget = tools.budget.limited(max_tokens, max_cost)  # refuses what cannot be, before anything is saved
    source = _opened(tools, spec)
    run = tools.ledger.runs.start(source, mode, run_id, orchestrator, budget)

    def accept(result: ScanResult) -> None:
        refusal = shrink_refusal(spec.uri, result.seen, result.known, len(result.vanished), tools.max_shrink)
        if refusal and not approve_shrink:
            raise Terminal(refusal)

    with failing(tools, run):
        with recorded(tools, run, WHOLE_RUN, "scan") as counts:
            graph_of(tools, source.generation)  # refuses a graph that is off before anything is written
            reader = tools.reader(spec.over(source.spec), tools.ledger.scans.last_mark(source))
            result = tools.ledger.scans.record(run, listed(tools, source.spec, reader), spec, accept)
            if isinstance(reader, MarkedReader) and (mark := reader.mark()):
                tools.ledger.scans.record_mark(run, mark)
            items = result.items[:max_documents]
            tools.keyring.create([item.document_id for item in items])
            counts |= {
                "seen": result.seen,
                "unchanged": result.unchanged,
                "planned": len(items),
                "unplanned": len(result.items) - len(items),
                "appeared": sum(item.new for item in items),
                "known": result.known,
                "approved": int(approve_shrink),
            }
        remove_vanished(tools, run)
        return Plan(tools.ledger.runs.get(run.run_id), items)


def extract(tools: Tools, run: Run, batch: int, items: Sequence[Item], erased: int = 0) -> list[Document]:
    """Bytes to text. What holds the active content already is only touched; what cannot be read is quarantined.
    So is what the tenant's quota has no room for, before anything is paid for it. A run that was stopped leaves all of
    it to the next one. `erased`: how many more documents the batch had at the scan, whose keys are destroyed since."""
    index_key = tools.keyring.index_key(run.source.spec.tenant)
    documents: list[Document] = []
    same: list[Item] = []
    failures: list[Failure] = []
    if tools.ledger.costs.stopped(run):
        with recorded(tools, run, batch, "extract") as counts:
            counts["remaining"] = len(items)
        return []
    held: dict[UUID, Raw] = {}  # of documents without text, until they are in quarantine
    read = reading(tools, run)
    with (
        recorded(tools, run, batch, "extract") as counts,
        progressing("extract", batch, len(items)) as progress,
        tools.extractor() as extractor,
    ):
        for part in batches(wanted(tools, run, items), len(items)):
            raws: list[Raw] = []
            for item in part:
                try:
                    raws.append(read(item))
                except Unreadable as error:
                    failures.append(_refused(item, error.code, error.reason))
            hashes = {raw.item.document_id: content_hash(index_key, identity(raw)) for raw in raws}
            raws = renames.same_content(tools, run, raws, hashes)
            hashes = dict(zip((raw.item.document_id for raw in raws), hashes.values(), strict=True))
            known = {
                raw.item.document_id
                for raw in raws
                if (run.mode != "full" or raw.item.gone) and raw.item.active_hash == hashes[raw.item.document_id]
            }
            same += [raw.item for raw in raws if raw.item.document_id in known]
            raws = [raw for raw in raws if raw.item.document_id not in known]
            progress.step(len(part) - len(raws))
            for raw, extracted in zip(raws, extractor.extract(raws), strict=True):
                progress.step()
                if extracted.failure:
                    failures.append(_refused(raw.item, *extracted.failure))
                    held[raw.item.document_id] = raw
                else:
                    documents.append(_document(raw, extracted, hashes[raw.item.document_id]))
            counts["bytes"] = counts.get("bytes", 0) + sum(len(raw.content) for raw in raws)
        documents, beyond = _within_quota(tools, run, renames.similar_text(tools, run, documents))
        failures += beyond
        touched = len(same) - len(tools.ledger.versions.touch(run, same))
        left = refuse(tools, run, failures, held)
        counts |= {"documents": len(documents), "unchanged": touched, "quarantined": len(failures) - left}
        counts |= {"superseded": len(same) - touched + left, "read": len(items) + erased}
        counts["lost"] = sum(failure.item.new for failure in failures)
    remove_vanished(tools, run)
    return documents


def validate(tools: Tools, run: Run, batch: int, documents: Sequence[Document]) -> list[Document]:
    """The gate on documents. What fails a blocking check is quarantined with the reason; what a check masks goes on
    with placeholders, and what it flags with a mark in its metadata."""
    with recorded(tools, run, batch, "validate") as counts, progressing("validate", batch, len(documents)) as progress:
        if not documents:
            return []
        generation = run.source.generation
        judge = partial(
            gates.documents_gate,
            rules=gate_rules(tools, generation),
            index_key=tools.keyring.index_key(run.source.spec.tenant),
            collection_id=generation.collection_id,
            similar=lambda bands: tools.ledger.quality.similar(run, bands, _SIMILAR_AT_MOST),
            on_screened=progress.step,
        )
        verdict, failures = leave_out_failing(judge, documents, "validate")
        counts["superseded"] = refuse(tools, run, failures)
        counts["quarantined"] = len(failures) - counts["superseded"]
        tools.ledger.quality.remember(run, verdict.signatures)
        return gated(tools, run, batch, "validate", verdict, counts)


def chunk(tools: Tools, run: Run, batch: int, documents: Sequence[Document]) -> list[ChunkedDocument]:
    """Documents to chunks with exact offsets and, where the graph is on, the entities they mention; then their gate."""
    profile = run.source.generation.profile
    index_key = tools.keyring.index_key(run.source.spec.tenant)
    extractor = tools.entities(profile.entities)

    def cut(part: Sequence[Document]) -> list[ChunkedDocument]:
        made = []
        for some in parts(part, _CUT_AT_ONCE):
            chunked = chunking.chunk(some, profile=profile.chunker, index_key=index_key, tokenizer=tools.tokenizer())
            if extractor is not None:
                chunked = chunking.with_mentions(
                    chunked, extractor, lambda kind, name: tools.entity_id(index_key, name)
                )
            made += chunked
            progress.step(len(some))
        return made

    with recorded(tools, run, batch, "chunk") as counts, progressing("chunk", batch, len(documents)) as progress:
        chunked, failures = isolate_failures(cut, documents, "chunk")
        counts["superseded"] = refuse(tools, run, failures)
        counts["quarantined"] = len(failures) - counts["superseded"]
        if chunked:
            shares = chunking.size_shares(chunked, profile=profile.chunker, tokenizer=tools.tokenizer())
            verdict = gates.chunks_gate(chunked, shares, gate_rules(tools, run.source.generation))
            chunked = gated(tools, run, batch, "chunk", verdict, counts)
        counts |= {"documents": len(chunked), "chunks": sum(len(each.chunks) for each in chunked)}
    return chunked


def embed(tools: Tools, run: Run, batch: int, documents: Sequence[ChunkedDocument]) -> list[EmbeddedDocument]:
    """Only texts that no cache knows are computed; each is stored before anything is loaded. Then their gate: what it
    refuses leaves the cache, so that the next run computes it anew.

    Where the run's budget ends, the run is stopped: documents with all their vectors go on, the others are left to the
    next run, which finds in the cache what was paid for."""
    index_key = tools.keyring.index_key(run.source.spec.tenant)
    embedder = tools.embedder(run.source.generation.profile.embedder)
    chunks = sum(len(each.chunks) for each in documents)
    with recorded(tools, run, batch, "embed") as counts, progressing("embed", batch, chunks, "chunks") as progress:
        counts |= {"computed": 0, "cached": 0, "tokens": 0, "remaining": 0}

        def embed_part(part: Sequence[ChunkedDocument]) -> list[EmbeddedDocument]:
            embedded, cost = embedding.embed(
                part,
                embedder=embedder,
                dim=run.source.generation.profile.dim,
                cache=tools.cache,
                index_key=index_key,
                account=account.BatchAccount(tools.ledger, run, batch),
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
            embedded = gated(tools, run, batch, "embed", verdict, counts)
    return embedded


def ensure(tools: Tools, generation: Generation) -> None:
    """The stores can take points and contributions when this returns: before the first load of a process."""
    tools.vectors.ensure(generation)
    if graph := graph_of(tools, generation):
        graph.ensure()


def load(tools: Tools, run: Run, batch: int, documents: Sequence[EmbeddedDocument]) -> None:
    """Into ledger, vectors and graph; then a transaction activates, for `_LOADED_AT_ONCE` documents at a time. What
    does not fit the tenant's quota after all (others were quicker) is quarantined."""
    with recorded(tools, run, batch, "load") as counts, progressing("load", batch, len(documents)) as progress:
        counts |= {"written": 0, "removed": 0, "superseded": 0}
        graph = graph_of(tools, run.source.generation)
        beyond: list[Document] = []

        def load_part(part: Sequence[EmbeddedDocument]) -> list[Item]:
            loaded = loading.load(
                run, part, ledger=tools.ledger, keyring=tools.keyring, vectors=tools.vectors, graph=graph
            )
            counts["written"] += loaded.written
            counts["removed"] += loaded.removed
            counts["superseded"] += len(loaded.superseded)
            items = [each.document.item for each in part]
            beyond.extend(each.document for each in part if each.document.document_id in loaded.refused)
            left = loaded.refused | loaded.superseded
            return [item for item in items if item.document_id not in left]

        served, failures = [], []
        for some in parts(documents, _LOADED_AT_ONCE):
            done, failed = isolate_failures(load_part, some, "load", terminal=True)
            served += done
            failures += failed
            progress.step(len(some))
        left = refuse(tools, run, failures)
        left += refuse(tools, run, [_beyond_quota(run, each) for each in beyond], {})
        new = sum(item.new for item in served)
        moved = sum(item.moved for item in served)
        counts |= {
            "new": new,
            "changed": len(served) - new - moved,
            "superseded": counts["superseded"] + left,
            "quarantined": len(beyond) + len(failures) - left,
        }


# --- details ------------------------------------------------------------------------------------------------


def _opened(tools: Tools, spec: SourceSpec) -> Source:
    """A saved source that cannot be read any more (its folder is gone) gets a failed run in the ledger: whoever asks
    when it ran last must see it. One that is not saved leaves nothing behind."""
    if tools.ledger.sources.spec(spec.tenant, spec.collection, spec.uri) is None:
        tools.reader(spec)
    return tools.ledger.sources.open(spec, profile_of(tools, spec.collection), tools.filter_fields)


def shrink_refusal(uri: str, seen: int, known: int, vanished: int, max_shrink: float) -> str | None:
    """Why a scan is refused of which so much is missing; None: it is not. What only moved is not missing: as much
    appeared."""
    missing = vanished - (seen - (known - vanished))
    if not seen and vanished:
        return (
            f"{uri} is empty now, and {vanished} documents of it are served. An unmounted folder looks "
            "like this, and so do globs that leave all out, so nothing was removed. If they are meant to go, run once "
            "with --approve-shrink (in Airflow: approve_shrink)."
        )
    if missing >= FEW and missing > max_shrink * known:
        return (
            f"{uri} lists {missing} documents fewer than the {known} that were known, more than the share of "
            f"{max_shrink:.0%} (SLUICE_MAX_SHRINK) that may vanish unasked. Nothing was changed. If they are meant to "
            "go, run once with --approve-shrink (in Airflow: approve_shrink)."
        )
    return None


def profile_of(tools: Tools, collection: str) -> Profile:
    """A collection's own, or what a new one is made with: an embedder behind an endpoint is asked for that alone."""
    made = (each.profile for each in tools.ledger.collections.generations() if each.collection == collection)
    return next(made, None) or tools.profile()


def _within_quota(tools: Tools, run: Run, documents: Sequence[Document]) -> tuple[list[Document], list[Failure]]:
    """After moves are found: a document under another name needs no room of its own."""
    sizes = {each.document_id: each.item.entry.size_bytes for each in documents}
    beyond = tools.ledger.quotas.beyond(run, sizes)
    within = [each for each in documents if each.document_id not in beyond]
    return within, [_beyond_quota(run, each) for each in documents if each.document_id in beyond]


def _beyond_quota(run: Run, document: Document) -> Failure:
    reason = QUOTA.format(tenant=run.source.spec.tenant)
    return Failure(document.item, "quota", "quota", reason, retry=True, raw_hash=document.raw_hash)


def _refused(item: Item, code: str, reason: str) -> Failure:
    return Failure(item, "extract", code, reason, retry=code in CIRCUMSTANTIAL)


def _document(raw: Raw, extracted: Extracted, raw_hash: bytes) -> Document:
    name = raw.item.entry.external_id.rsplit("/", 1)[-1]
    title, metadata = described(raw.title or extracted.title or name, {**(extracted.metadata or {}), **raw.metadata})
    return Document(
        item=raw.item,
        mime=extracted.mime,
        title=title or name,
        text=extracted.text,
        raw_hash=raw_hash,
        metadata=metadata,
        page_starts=extracted.page_starts,
    )
