"""Search: returns readable passages with citations for a question.

The vector index returns the candidates of each retriever, and `fusion` orders them; links in the graph lead to further
ones. The ledger decides which of them the principal may read now, and the keyring which can still be decrypted.
Candidates that either rejects are replaced by the next best ones, until there are `top_k` passages or the index has no
more. Without the graph the search goes on; if another store does not answer, it raises `Unavailable` and returns
nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from sluice.errors import BadRequest, NotFound, Unavailable
from sluice.model.catalog import Live
from sluice.model.chunk import SparseVector, Vector
from sluice.model.filters import Condition, inexact, parse_filters
from sluice.model.generation import Generation
from sluice.model.grants import Principal
from sluice.model.passage import Passage
from sluice.model.search import VECTOR_RETRIEVERS, Candidate, Retriever, SearchRequest, VectorQuery
from sluice.ports.catalog import Catalog
from sluice.ports.content import Keyring
from sluice.ports.projections import VectorIndex
from sluice.retrieval.fusion import Scale
from sluice.retrieval.linked_passages import FIRST_PASSAGES, GraphRetriever
from sluice.retrieval.passages import Passages
from sluice.retrieval.relevance import LEAST_CHECKED, is_relevant

log = logging.getLogger(__name__)

SparseQuery = Callable[[str, bytes, Sequence[str]], SparseVector]
"""(question, tenant's index key, languages of the collection) → keyed terms of the question."""

MAX_QUERY_CHARS = 2000
MAX_TOP_K = 100
LEAST_CANDIDATES = 100  # of each retriever: enough for the scales of the scores
REFILL_FACTOR = 4
AHEAD = 10  # candidates that are read beyond the requested number, because some may not be readable
MAX_CANDIDATES = 5000
RANK_CONSTANT = 60  # of reciprocal ranks, in the scores of a response


@dataclass(frozen=True, slots=True)
class SearchPorts:
    """Dependencies of a search: ledger, keys, vector index, graph, and the dense and sparse encoders of questions."""

    catalog: Catalog
    keyring: Keyring
    vectors: VectorIndex
    embed_query: Callable[[str, str, Principal], Vector]  # (profile's embedder, question, caller) → (dim,)
    sparse_query: SparseQuery
    graph: GraphRetriever | None = None  # None: the graph is off


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """Result of a search. `retrievers`: the retrievers that were used. `degraded`: requested retrievers that could not
    be used (`graph`), and steps that were incomplete (`refill`: more passages may exist).

    `nothing_relevant`: there is no passage, or none has a word of the question or is similar to it.
    """

    passages: tuple[Passage, ...]
    retrievers: tuple[Retriever, ...]
    degraded: tuple[str, ...]
    generation: int
    took_ms: float
    nothing_relevant: bool = False
    cached: bool = False  # computed for an earlier or a concurrent search


def search(ports: SearchPorts, request: SearchRequest, principal: Principal, live: Live | None = None) -> SearchOutcome:
    """Returns the best passages first; equal scores are ordered by chunk id, so that the same question gives the same
    result. `live`: what `Catalog.live` has just returned for this request; default: it is read.

    Raises BadRequest (invalid request), NotFound (no such collection for this tenant), Unavailable.
    """
    started = time.perf_counter()
    question = checked_question(request)
    live = live or ports.catalog.live(request.collection, principal)
    generation, sources = live.generation, live.sources
    # Before any work, because it raises for an invalid request.
    conditions = parse_filters(request.filters, generation.filter_fields)
    query = _encoded(ports, request, principal, generation, question, sources)
    graph = ports.graph if "graph" in request.retrievers and generation.has_graph else None
    if graph is None and request.retrievers == ("graph",):
        raise BadRequest("This collection has no graph. Name dense or sparse in legs.")
    filled = _Filled([], ())
    # No readable source must mean no result, never "no restriction".
    if sources and query.retrievers:
        exactly = [each for each in conditions if inexact(each)]
        wanted = _Wanted(request.top_k, exactly, request.min_score, question, request.retrievers == ("graph",))
        filled = _filled(replace(ports, graph=graph), generation, query, principal, wanted)
    relevant = is_relevant(
        filled.passages, question, partial(_terms, ports, principal, generation), generation.profile.embedder
    )
    passages = filled.passages[: request.top_k]
    if request.explain or request.min_score is not None:
        passages = [replace(each, similarity=each.scores.get("dense")) for each in passages]
    used = tuple(
        each
        for each in request.retrievers
        if each in query.retrievers or (each == "graph" and graph and "graph" not in filled.degraded)
    )
    return SearchOutcome(
        passages=tuple(_scored(passages, used)),
        retrievers=used,
        degraded=filled.degraded,
        generation=generation.number,
        took_ms=round((time.perf_counter() - started) * 1000, 2),
        nothing_relevant=not relevant,
    )


def passage(catalog: Catalog, keyring: Keyring, chunk_id: UUID, principal: Principal) -> Passage:
    """Returns one passage that is served now; its score is 0. Raises NotFound, Unavailable."""
    generation = catalog.live(catalog.lineage(principal, chunk_id).collection, principal).generation
    for found in Passages(catalog, keyring, generation, principal).read([Candidate(chunk_id, {})], (), 1):
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
    return question


def _encoded(
    ports: SearchPorts,
    request: SearchRequest,
    principal: Principal,
    generation: Generation,
    question: str,
    sources: tuple[UUID, ...],
) -> VectorQuery:
    # The graph retriever follows links from the best passages of the others, so alone it needs both.
    finding = VECTOR_RETRIEVERS if request.retrievers == ("graph",) else request.retrievers
    dense = None
    if "dense" in finding:
        dense = ports.embed_query(generation.profile.embedder, question, principal)
    sparse = None
    if "sparse" in finding:
        terms = ports.sparse_query(question, ports.keyring.index_key(principal.tenant), generation.languages)
        sparse = terms if len(terms.indices) else None  # a question of stop words has no terms
    limit = max(LEAST_CANDIDATES, 3 * request.top_k + 10)
    return VectorQuery(dense, sparse, principal.tenant, sources, request.filters, limit)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Number of passages, filters for which the index returns a superset, the lowest similarity, and whether only
    linked passages are wanted."""

    count: int
    exactly: Sequence[Condition]
    min_score: float | None
    question: str
    only_linked: bool

    def similar(self, candidate: Candidate) -> bool:
        return self.min_score is None or candidate.scores["dense"] >= self.min_score


@dataclass(frozen=True, slots=True)
class _Filled:
    passages: list[Passage]
    degraded: tuple[str, ...]


def _filled(
    ports: SearchPorts, generation: Generation, query: VectorQuery, principal: Principal, wanted: _Wanted
) -> _Filled:
    """Returns the passages, at least `LEAST_CHECKED` if there are so many.

    Each result comes from a single hydration, and so from one state of the ledger: if it were combined from several, a
    version activated in between would show a document in two versions.
    """
    reader = Passages(ports.catalog, ports.keyring, generation, principal)
    most, limit = max(wanted.count, LEAST_CHECKED), query.limit
    degraded: tuple[str, ...] = ()
    while True:
        found = ports.vectors.search(generation, replace(query, limit=limit))
        scale = Scale.of(found, query.retrievers)
        candidates = [each for each in scale.fused(found) if wanted.similar(each)]
        complete = len(found) < limit or len(candidates) < min(limit, len(found))
        ahead = wanted.count + AHEAD
        passages = reader.read(candidates[:ahead], wanted.exactly, ahead)
        if ports.graph is not None:
            try:
                linked = _linked(ports, generation, query, principal, wanted, candidates, passages, scale)
            except Unavailable:
                log.warning("The graph did not answer; the search goes on without it", exc_info=True)
                ports, degraded, linked = replace(ports, graph=None), ("graph",), []
            if linked or wanted.only_linked:
                candidates = [each for each in linked if wanted.similar(each)]
                passages = reader.read(candidates[:ahead], wanted.exactly, ahead)
        if len(passages) < wanted.count and len(candidates) > ahead:
            passages = reader.read(candidates, wanted.exactly, most)
        if len(passages) >= wanted.count or complete or wanted.only_linked:
            return _Filled(passages, degraded)
        if limit >= MAX_CANDIDATES:
            return _Filled(passages, (*degraded, "refill"))
        limit = min(limit * REFILL_FACTOR, MAX_CANDIDATES)


def _linked(
    ports: SearchPorts,
    generation: Generation,
    query: VectorQuery,
    principal: Principal,
    wanted: _Wanted,
    candidates: Sequence[Candidate],
    passages: Sequence[Passage],
    scale: Scale,
) -> list[Candidate]:
    """Returns the candidates with those that links lead to; none if there are no links."""
    if ports.graph is None or not passages:
        return []

    def scored(chunk_ids: Sequence[UUID]) -> list[Candidate]:
        among = replace(query, among=tuple(chunk_ids), limit=len(chunk_ids))
        return scale.fused(ports.vectors.search(generation, among))

    index_key = ports.keyring.index_key(principal.tenant)
    first = passages[:FIRST_PASSAGES]
    linked = ports.graph.linked(generation, index_key, wanted.question, candidates, first, scored)
    return [each for each in linked if "graph" in each.scores] if wanted.only_linked else linked


def _terms(ports: SearchPorts, principal: Principal, generation: Generation, text: str) -> set[int]:
    terms = ports.sparse_query(text, ports.keyring.index_key(principal.tenant), generation.languages)
    return set(terms.indices.tolist())


def _scored(passages: Sequence[Passage], retrievers: Sequence[Retriever]) -> list[Passage]:
    """Returns the passages with the scores that a caller may see: cosine similarities as they are, all others by the
    rank in this result.

    Original BM25 scores, strengths of links and fused scores would reveal passages that the caller may not read: they
    depend on how many passages have a term or an entity.
    """
    if tuple(retrievers) == ("dense",):
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
