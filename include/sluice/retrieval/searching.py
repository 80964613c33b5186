"""Search: returns readable passages with citations for a question.

The vector index returns the candidates of each retriever, and `fusion` orders them; links in the graph lead to further
ones. The ledger decides which of them the principal may read now, and the keyring which can still be decrypted.
Candidates that either rejects are replaced by the next best ones, until there are `top_k` passages, the index has no
more, or the time budget is used up; so are near-duplicates. `arranging` then orders the passages.

If the ledger or the keys do not answer, the search raises `Unavailable`: access is never guessed. What else may be
missing is named in `degraded` (`candidates.py`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

from sluice.errors import BadRequest, NotFound
from sluice.model.catalog import Live
from sluice.model.chunk import Vector
from sluice.model.filters import contradiction, parse_filters
from sluice.model.generation import Generation
from sluice.model.grants import Principal
from sluice.model.passage import Passage
from sluice.model.search import (
    VECTOR_RETRIEVERS,
    Candidate,
    Degradation,
    EmptyReason,
    Retriever,
    SearchRequest,
    VectorQuery,
)
from sluice.ports.catalog import Catalog
from sluice.ports.content import Keyring
from sluice.retrieval.arranging import arranged, pool_size, reranking_of, weighted, with_ranks
from sluice.retrieval.candidates import attempted
from sluice.retrieval.emptiness import contradictory, empty_reason
from sluice.retrieval.filling import Filled, Wanted, fill
from sluice.retrieval.fusion import foreign_share
from sluice.retrieval.neighbours import MAX_CONTEXT, with_context
from sluice.retrieval.passages import Passages
from sluice.retrieval.relevance import LEAST_CHECKED, is_relevant
from sluice.retrieval.search_ports import SearchPorts

MAX_QUERY_CHARS = 2000
MAX_TOP_K = 100
LEAST_CANDIDATES = 100  # of each retriever: enough for the scales of the scores
RANK_CONSTANT = 60  # of reciprocal ranks, in the scores of a response


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """Result of a search. `retrievers`: the retrievers that served. `degraded`: what was lost, replaced or left
    incomplete (`sluice.model.search.DEGRADATIONS`).

    `nothing_relevant`: there is no passage, or none has a word of the question or is similar to it. `reason`: why there
    is no passage.
    """

    passages: tuple[Passage, ...]
    retrievers: tuple[Retriever, ...]
    degraded: tuple[Degradation, ...]
    generation: int
    took_ms: float
    nothing_relevant: bool = False
    cached: bool = False  # computed for an earlier or a concurrent search
    reason: EmptyReason | None = None
    candidates: Mapping[str, int] = field(default_factory=dict)  # number by stage: found, linked, read


def search(ports: SearchPorts, request: SearchRequest, principal: Principal, live: Live | None = None) -> SearchOutcome:
    """Returns the best passages first; equal scores are ordered by chunk id, so that the same question gives the same
    result. `live`: what `Catalog.live` has just returned for this request; default: it is read.

    Raises BadRequest (invalid request), NotFound (no such collection for this tenant), Unavailable.
    """
    started = time.perf_counter()
    question = checked_question(request)
    reranking = reranking_of(ports.reranking, request)
    live = live or ports.catalog.live(request.collection, principal)
    generation, sources = live.generation, live.sources
    # Before any work, because it raises for an invalid request.
    conditions = parse_filters(request.filters, generation.filter_fields)
    graph = ports.graph if "graph" in request.retrievers and generation.has_graph else None
    if graph is None and request.retrievers == ("graph",):
        raise BadRequest("This collection has no graph. Name dense or sparse in legs.")
    if why := contradiction(conditions):
        return _empty(generation, contradictory(why), started)
    query, lost = encoded(ports, request, principal, generation, question, sources)
    filled = Filled([], query.retrievers, ())
    # No readable source must mean no result, never "no restriction".
    if sources and query.retrievers:
        wanted = Wanted(
            count=request.top_k,
            pool=max(pool_size(request, reranking, live.weights), LEAST_CHECKED),
            duplicates=request.duplicates,
            conditions=conditions,
            min_score=request.min_score,
            question=question,
            dense_share=foreign_share(generation.profile.embedder, question) or live.weights.dense,
            only_linked=request.retrievers == ("graph",),
        )
        filled = fill(replace(ports, graph=graph), generation, query, principal, wanted)
    passages = filled.passages
    unweighted: tuple[Degradation, ...] = ()
    if len(query.retrievers) == 2:
        passages, unweighted = weighted(ports, generation, filled, question, principal.tenant, live.weights)
    passages, failed = arranged(ports.vectors, generation, request, reranking, passages)
    checked = passages[: max(request.top_k, LEAST_CHECKED)]
    relevant = is_relevant(
        checked, question, partial(_terms, ports, principal, generation), generation.profile.embedder
    )
    passages = with_ranks(passages[: request.top_k])
    if request.context and passages:
        reader = Passages(ports.catalog, ports.keyring, generation, principal)
        passages, whole = with_context(reader, passages, request.context)
        failed += () if whole else ("context",)
    if request.explain or request.min_score is not None:
        passages = [replace(each, similarity=each.scores.get("dense")) for each in passages]
    used = tuple(
        each
        for each in request.retrievers
        if each in filled.retrievers or (each == "graph" and graph and "graph" not in filled.degraded)
    )
    # Other orders than the similarity's have no score of their own that could be shown.
    by_similarity = used == ("dense",) and reranking is None and not request.diversity
    return SearchOutcome(
        passages=tuple(_scored(passages, used, by_similarity=by_similarity)),
        retrievers=used,
        degraded=lost + filled.degraded + unweighted + failed,
        generation=generation.number,
        took_ms=round((time.perf_counter() - started) * 1000, 2),
        nothing_relevant=not relevant,
        reason=None if passages else empty_reason(request, filled.retrievers, filled.degraded),
        candidates=filled.candidates,
    )


def _empty(generation: Generation, reason: EmptyReason, started: float) -> SearchOutcome:
    took_ms = round((time.perf_counter() - started) * 1000, 2)
    return SearchOutcome((), (), (), generation.number, took_ms, nothing_relevant=True, reason=reason)


def passage(catalog: Catalog, keyring: Keyring, chunk_id: UUID, principal: Principal) -> Passage:
    """Returns one passage that is served now; its score is 0. Raises NotFound, Unavailable."""
    generation = catalog.live(catalog.lineage(principal, chunk_id).collection, principal).generation
    for found in Passages(catalog, keyring, generation, principal).read([Candidate(chunk_id, {})], ()):
        return found
    raise NotFound(f"There is no passage {chunk_id} that you may read.")


def checked_question(request: SearchRequest) -> str:
    """Returns the question. Raises BadRequest for an invalid request; filters are checked later."""
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
        raise BadRequest("No retriever was chosen. Name dense, sparse or graph in legs.")
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


def encoded(
    ports: SearchPorts,
    request: SearchRequest,
    principal: Principal,
    generation: Generation,
    question: str,
    sources: tuple[UUID, ...],
) -> tuple[VectorQuery, tuple[Degradation, ...]]:
    """Returns the query, and `dense` if the question could not be embedded and words can serve in place of that."""
    # The graph retriever follows links from the best passages of the others, so alone it needs both.
    finding = VECTOR_RETRIEVERS if request.retrievers == ("graph",) else request.retrievers
    sparse = None
    if "sparse" in finding:
        terms = ports.sparse_query(question, ports.keyring.index_key(principal.tenant), generation.languages)
        sparse = terms if len(terms.indices) else None  # a question of stop words has no terms
    dense: Vector | None = None
    lost: tuple[Degradation, ...] = ()
    if "dense" in finding:
        embed = partial(ports.embed_query, generation.profile, question, principal)
        if sparse is None or request.min_score is not None:
            dense = embed()
        else:
            dense, lost = attempted(embed, "dense")
    limit = max(LEAST_CANDIDATES, 3 * request.top_k + 10)
    return VectorQuery(dense, sparse, principal.tenant, sources, request.filters, limit), lost


def _terms(ports: SearchPorts, principal: Principal, generation: Generation, text: str) -> set[int]:
    terms = ports.sparse_query(text, ports.keyring.index_key(principal.tenant), generation.languages)
    return set(terms.indices.tolist())


def _scored(passages: Sequence[Passage], retrievers: Sequence[Retriever], *, by_similarity: bool) -> list[Passage]:
    """Returns the passages with the scores that a caller may see: cosine similarities as they are, all others by the
    rank in this result. `by_similarity`: the passages are in the order of their similarity.

    Original BM25 scores, strengths of links and fused scores would reveal passages that the caller may not read: they
    depend on how many passages have a term or an entity.
    """
    if by_similarity:
        return [replace(each, score=each.scores["dense"]) for each in passages]
    sorted_scores = {
        name: sorted((each.scores[name] for each in passages if name in each.scores), reverse=True)
        for name in ("sparse", "graph")
    }
    number = sum(each in VECTOR_RETRIEVERS for each in retrievers) or 1
    return [
        replace(
            passage,
            score=number / (RANK_CONSTANT + place),
            scores={
                name: 1 / (RANK_CONSTANT + sorted_scores[name].index(score)) if name in sorted_scores else score
                for name, score in passage.scores.items()
            },
        )
        for place, passage in enumerate(passages)
    ]
