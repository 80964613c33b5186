"""Search: returns readable passages with citations for a question.

The vector index returns the candidates of each retriever, and `fusion` orders them. The ledger decides which of them
the principal may read now, and the keyring which can still be decrypted. Candidates that either rejects are replaced by
the next best ones, until there are `top_k` passages or the index has no more; so are near-duplicates. `arranging` then
orders them. If a store does not answer, the search raises `Unavailable` and returns nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from uuid import UUID

from sluice.errors import BadRequest, NotFound
from sluice.model.chunk import SparseVector, Vector
from sluice.model.filters import Condition, contradiction, parse_filters
from sluice.model.generation import Generation
from sluice.model.grants import Principal
from sluice.model.passage import Passage
from sluice.model.search import Candidate, EmptyReason, Retriever, SearchRequest, VectorQuery
from sluice.ports.catalog import Catalog
from sluice.ports.content import Keyring
from sluice.ports.projections import VectorIndex
from sluice.retrieval.arranging import arranged, pool_size, ranked, reranking_of
from sluice.retrieval.emptiness import contradictory, empty_reason
from sluice.retrieval.fusion import fused
from sluice.retrieval.near_duplicates import distinct
from sluice.retrieval.neighbours import MAX_CONTEXT, with_context
from sluice.retrieval.passages import Passages
from sluice.retrieval.relevance import LEAST_CHECKED, is_relevant
from sluice.retrieval.reranking import Reranking

SparseQuery = Callable[[str, bytes], SparseVector]
"""(question, tenant's index key) → keyed terms of the question."""

MAX_QUERY_CHARS = 2000
MAX_TOP_K = 100
LEAST_CANDIDATES = 100  # of each retriever: enough for the scales of the scores
REFILL_FACTOR = 4
MAX_CANDIDATES = 5000
RANK_CONSTANT = 60  # of reciprocal ranks, in the scores of a response


@dataclass(frozen=True, slots=True)
class SearchPorts:
    """Dependencies of a search: ledger, keys, vector index, the dense and sparse encoders of questions, and the
    reranker, if one is configured."""

    catalog: Catalog
    keyring: Keyring
    vectors: VectorIndex
    embed_query: Callable[[str, str, Principal], Vector]  # (profile's embedder, question, caller) → (dim,)
    sparse_query: SparseQuery
    reranking: Reranking | None = None


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """Result of a search. `retrievers`: the retrievers that were used. `degraded`: the steps that were incomplete
    (`refill`: more passages may exist; `rerank`, `diversity`: the order is without them; `context`: passages whose
    version was replaced meanwhile have none).

    `nothing_relevant`: there is no passage, or none has a word of the question or is similar to it. `reason`: why there
    is no passage.
    """

    passages: tuple[Passage, ...]
    retrievers: tuple[Retriever, ...]
    degraded: tuple[str, ...]
    generation: int
    took_ms: float
    nothing_relevant: bool = False
    reason: EmptyReason | None = None


def search(ports: SearchPorts, request: SearchRequest, principal: Principal) -> SearchOutcome:
    """Returns the best passages first; equal scores are ordered by chunk id, so that the same question gives the same
    result.

    Raises BadRequest (invalid request), NotFound (no such collection for this tenant), Unavailable.
    """
    started = time.perf_counter()
    question = _checked_question(request)
    reranking = reranking_of(ports.reranking, request)
    generation, sources = ports.catalog.live(request.collection, principal)
    # Before any work, because it raises for an invalid request.
    conditions = parse_filters(request.filters, generation.filter_fields)
    if why := contradiction(conditions):
        return _empty(request, generation, contradictory(why), started)
    query = _encoded(ports, request, principal, generation, question, sources)
    passages: list[Passage] = []
    complete = True
    # No readable source must mean no result, never "no restriction".
    if sources and query.retrievers:
        pool = max(pool_size(request, reranking), LEAST_CHECKED)
        wanted = _Wanted(request.top_k, pool, conditions, request.min_score, request.duplicates)
        passages, complete = _filled(ports, generation, query, principal, wanted)
    passages, failed = arranged(ports.vectors, generation, request, reranking, passages)
    passages = passages[: max(request.top_k, LEAST_CHECKED)]
    relevant = is_relevant(passages, question, partial(_terms, ports, principal), generation.profile.embedder)
    passages = ranked(passages[: request.top_k])
    in_context = True
    if request.context and passages:
        reader = Passages(ports.catalog, ports.keyring, generation, principal)
        passages, in_context = with_context(reader, passages, request.context)
    if request.explain or request.min_score is not None:
        passages = [replace(each, similarity=each.scores.get("dense")) for each in passages]
    # Other orders than the similarity's have no score of their own that could be shown.
    by_rank = "sparse" in query.retrievers or request.diversity > 0 or reranking is not None
    return SearchOutcome(
        passages=tuple(_by_rank(passages, len(query.retrievers)) if by_rank else passages),
        retrievers=query.retrievers,
        degraded=(*(() if complete else ("refill",)), *failed, *(() if in_context else ("context",))),
        generation=generation.number,
        took_ms=round((time.perf_counter() - started) * 1000, 2),
        nothing_relevant=not relevant,
        reason=None if passages else empty_reason(request, query.retrievers),
    )


def _empty(request: SearchRequest, generation: Generation, reason: EmptyReason, started: float) -> SearchOutcome:
    took_ms = round((time.perf_counter() - started) * 1000, 2)
    return SearchOutcome((), request.retrievers, (), generation.number, took_ms, True, reason)


def passage(catalog: Catalog, keyring: Keyring, chunk_id: UUID, principal: Principal) -> Passage:
    """Returns one passage that is served now; its score is 0. Raises NotFound, Unavailable."""
    generation, _ = catalog.live(catalog.lineage(principal, chunk_id).collection, principal)
    for found in Passages(catalog, keyring, generation, principal).read([Candidate(chunk_id, {})], ()):
        return found
    raise NotFound(f"There is no passage {chunk_id} that you may read.")


def _checked_question(request: SearchRequest) -> str:
    question = request.query.strip()
    if not 1 <= len(question) <= MAX_QUERY_CHARS:
        raise BadRequest(
            f"The query has {len(question)} characters after trimming; 1 to {MAX_QUERY_CHARS} are allowed."
        )
    if "\x00" in question:
        raise BadRequest("The query contains a NUL character; remove it.")
    if not 1 <= request.top_k <= MAX_TOP_K:
        raise BadRequest(f"top_k is {request.top_k}; 1 to {MAX_TOP_K} are allowed.")
    if not request.retrievers:
        raise BadRequest("No retriever was chosen. Name dense, sparse or both in legs.")
    if request.min_score is not None:
        if not 0 <= request.min_score <= 1:
            raise BadRequest(f"min_score is {request.min_score}; 0 to 1 are allowed.")
        if "dense" not in request.retrievers:
            raise BadRequest("min_score needs dense similarity; add dense to legs, or leave min_score out.")
    if not 0 <= request.diversity <= 1:
        raise BadRequest(f"diversity is {request.diversity}; 0 to 1 are allowed.")
    if not 0 <= request.context <= MAX_CONTEXT:
        raise BadRequest(f"context is {request.context}; 0 to {MAX_CONTEXT} are allowed.")
    return question


def _encoded(
    ports: SearchPorts,
    request: SearchRequest,
    principal: Principal,
    generation: Generation,
    question: str,
    sources: tuple[UUID, ...],
) -> VectorQuery:
    dense = None
    if "dense" in request.retrievers:
        dense = ports.embed_query(generation.profile.embedder, question, principal)
    sparse = None
    if "sparse" in request.retrievers:
        terms = ports.sparse_query(question, ports.keyring.index_key(principal.tenant))
        sparse = terms if len(terms.indices) else None  # a question of stop words has no terms
    limit = max(LEAST_CANDIDATES, 3 * request.top_k + 10)
    return VectorQuery(dense, sparse, principal.tenant, sources, request.filters, limit)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Number of passages, number to choose from, filters, the lowest similarity, and whether near-duplicates count."""

    count: int
    pool: int
    conditions: Sequence[Condition]  # also checked by the ledger: the index may lag behind it, or return a superset
    min_score: float | None
    duplicates: bool

    def chosen(self, passages: Iterable[Passage]) -> list[Passage]:
        return list(islice(passages, self.pool)) if self.duplicates else distinct(passages, self.pool)


def _filled(
    ports: SearchPorts, generation: Generation, query: VectorQuery, principal: Principal, wanted: _Wanted
) -> tuple[list[Passage], bool]:
    """Returns up to `pool` passages, and whether the result is complete: there are enough passages, or the index has no
    more.

    Each result comes from a single hydration, and so from one state of the ledger: if it were combined from several, a
    version activated in between would show a document in two versions.
    """
    reader = Passages(ports.catalog, ports.keyring, generation, principal)
    limit = query.limit
    while True:
        found = ports.vectors.search(generation, replace(query, limit=limit))
        candidates = fused(found, query.retrievers)
        if wanted.min_score is not None:
            candidates = [each for each in candidates if each.scores["dense"] >= wanted.min_score]
        # Each retriever returned all it has, or the dense one also passages that are not similar enough.
        complete = len(found) < limit or (wanted.min_score is not None and len(candidates) < limit)
        first = candidates[: max(wanted.pool, wanted.count + 10)]
        passages = wanted.chosen(reader.read(first, wanted.conditions))
        if len(passages) < wanted.count and len(candidates) > len(first):
            passages = wanted.chosen(reader.read(candidates, wanted.conditions))
        if len(passages) >= wanted.count or complete:
            return passages, True
        if limit >= MAX_CANDIDATES:
            return passages, False
        limit = min(limit * REFILL_FACTOR, MAX_CANDIDATES)


def _terms(ports: SearchPorts, principal: Principal, text: str) -> set[int]:
    return set(ports.sparse_query(text, ports.keyring.index_key(principal.tenant)).indices.tolist())


def _by_rank(passages: Sequence[Passage], retrievers: int) -> list[Passage]:
    """Replaces the scores by those of the rank in this result, as if each retriever had this rank, and
    `scores["sparse"]` by the rank in the sparse retriever.

    Original BM25 scores and fused scores would reveal passages that the caller may not read: a term's IDF shows its
    frequency in the whole collection.
    """
    sparse = sorted((each.scores["sparse"] for each in passages if "sparse" in each.scores), reverse=True)
    return [
        replace(
            passage,
            score=retrievers / (RANK_CONSTANT + place),
            scores={
                retriever: 1 / (RANK_CONSTANT + sparse.index(score)) if retriever == "sparse" else score
                for retriever, score in passage.scores.items()
            },
        )
        for place, passage in enumerate(passages)
    ]
