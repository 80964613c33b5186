"""Search: returns readable passages with citations for a question.

The vector index returns candidates. The ledger decides which of them the principal may read now, and the keyring which
can still be decrypted. Candidates that either rejects are replaced by the next best ones, until there are `top_k`
passages or the index has no more. If a store does not answer, the search raises `Unavailable` and returns nothing.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import cast
from uuid import UUID

from sluice.encryption import Cipher, ciphers
from sluice.errors import BadRequest, NotFound
from sluice.model.chunk import SparseVector, Vector
from sluice.model.filters import Condition, holds, inexact, parse_filters
from sluice.model.generation import Generation
from sluice.model.grants import Principal
from sluice.model.metadata import readable
from sluice.model.passage import Passage
from sluice.model.search import Candidate, Hydrated, Retriever, SearchRequest, VectorQuery
from sluice.model.text import encodable
from sluice.ports.catalog import Catalog
from sluice.ports.content import Embedder, Keyring
from sluice.ports.projections import VectorIndex
from sluice.retrieval.relevance import LEAST_CHECKED, is_relevant, similarities

log = logging.getLogger(__name__)

SparseQuery = Callable[[str, bytes], SparseVector]
"""(question, tenant's index key) → keyed terms of the question."""

MAX_QUERY_CHARS = 2000
MAX_TOP_K = 100
REFILL_FACTOR = 4
MAX_CANDIDATES = 5000
RANK_CONSTANT = 60  # of reciprocal ranks, as in the index's fusion
_PLACE = ("chunk_id", "document_id", "start", "end", "page", "version", "generation", "run_id")


@dataclass(frozen=True, slots=True)
class SearchPorts:
    """Dependencies of a search: ledger, keys, vector index, and the dense and sparse encoders of questions."""

    catalog: Catalog
    keyring: Keyring
    vectors: VectorIndex
    embed_query: Callable[[str, str, Principal], Vector]  # (profile's embedder, question, caller) → (dim,)
    sparse_query: SparseQuery


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """Result of a search. `retrievers`: the retrievers that were used. `degraded`: the steps that were incomplete
    (`refill`: more passages may exist).

    `nothing_relevant`: there is no passage, or none has a word of the question or is similar to it.
    """

    passages: tuple[Passage, ...]
    retrievers: tuple[Retriever, ...]
    degraded: tuple[str, ...]
    generation: int
    took_ms: float
    nothing_relevant: bool = False


class QueryVectors:
    """A cache of the dense vectors of the last `size` questions, so that paging or a repeated question is not embedded
    again.

    Each caller has separate entries: response times must not reveal the questions of other callers.
    """

    def __init__(self, embedder: Callable[[str], Embedder], size: int = 512) -> None:
        self._embedder = embedder
        self._size = size
        self._vectors: OrderedDict[tuple[str, str, str, str], Vector] = OrderedDict()
        self._lock = Lock()

    def __call__(self, embedder: str, question: str, principal: Principal) -> Vector:
        """Returns (dim,), float32, L2-normalised. Raises Transient."""
        key = (principal.tenant, principal.name, embedder, question)
        with self._lock:
            if key in self._vectors:
                self._vectors.move_to_end(key)
                return self._vectors[key]
        vector = cast(Vector, self._embedder(embedder).embed([question])[0])
        with self._lock:
            self._vectors[key] = vector
            while len(self._vectors) > self._size:
                self._vectors.popitem(last=False)
        return vector


def search(ports: SearchPorts, request: SearchRequest, principal: Principal) -> SearchOutcome:
    """Returns the best passages first; equal scores are ordered by chunk id, so that the same question gives the same
    result.

    Raises BadRequest (invalid request), NotFound (no such collection for this tenant), Unavailable.
    """
    started = time.perf_counter()
    question = _checked_question(request)
    generation, sources = ports.catalog.live(request.collection, principal)
    # Before any work, because it raises for an invalid request.
    conditions = parse_filters(request.filters, generation.filter_fields)
    query = _encoded(ports, request, principal, generation, question, sources)
    retrievers = tuple(retriever for retriever in request.retrievers if getattr(query, retriever) is not None)
    passages: list[Passage] = []
    complete = True
    # No readable source must mean no result, never "no restriction".
    if sources and retrievers:
        exactly = [each for each in conditions if inexact(each)]
        wanted = _Wanted(request.top_k, exactly, request.min_score)
        passages, complete = _filled(ports, generation, query, principal, wanted)
    terms = partial(_terms, ports, principal)
    relevant = is_relevant(passages, question, terms, ports.vectors, generation, query.dense)
    passages = passages[: request.top_k]
    if query.dense is not None and (request.explain or request.min_score is not None):
        near = similarities(ports.vectors, generation, query.dense, [each.chunk_id for each in passages])
        passages = [replace(each, similarity=near.get(each.chunk_id)) for each in passages]
    return SearchOutcome(
        passages=tuple(_by_rank(passages, len(retrievers)) if "sparse" in retrievers else passages),
        retrievers=retrievers,
        degraded=() if complete else ("refill",),
        generation=generation.number,
        took_ms=round((time.perf_counter() - started) * 1000, 2),
        nothing_relevant=not relevant,
    )


def passage(catalog: Catalog, keyring: Keyring, chunk_id: UUID, principal: Principal) -> Passage:
    """Returns one passage that is served now; its score is 0. Raises NotFound, Unavailable."""
    generation, _ = catalog.live(catalog.lineage(principal, chunk_id).collection, principal)
    for row in catalog.hydrate(generation, [chunk_id], principal):
        keys = keyring.get([row.document_id])
        cipher = ciphers(principal.tenant, keys).get(row.document_id)
        if cipher and (passage := _opened(row, cipher, Candidate(chunk_id, 0.0))):
            return passage
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
    limit = 3 * request.top_k + 10
    return VectorQuery(dense, sparse, principal.tenant, sources, request.filters, limit, request.explain)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Number of passages, filters for which the index returns a superset, and the lowest similarity."""

    count: int
    exactly: Sequence[Condition]
    min_score: float | None


def _filled(
    ports: SearchPorts, generation: Generation, query: VectorQuery, principal: Principal, wanted: _Wanted
) -> tuple[list[Passage], bool]:
    """Returns the passages, at least `LEAST_CHECKED` if there are so many, and whether the result is complete: there
    are enough passages, or the index has no more.

    Each result comes from a single hydration, and so from one state of the ledger: if it were combined from several, a
    version activated in between would show a document in two versions.
    """
    limit = query.limit
    near: dict[UUID, float] = {}
    while True:
        hits = ports.vectors.search(generation, replace(query, limit=limit))
        hits = sorted(hits, key=lambda candidate: (-candidate.score, candidate.chunk_id))
        candidates, complete = hits, len(hits) < limit
        if wanted.min_score is not None and query.dense is not None:
            new = [each.chunk_id for each in hits if each.chunk_id not in near]
            near |= similarities(ports.vectors, generation, query.dense, new)
            candidates = [each for each in hits if near.get(each.chunk_id, -1.0) >= wanted.min_score]
            complete = complete or len(candidates) < _nearest_among(hits, query)
        first = candidates[: wanted.count + 10]
        passages = _readable(ports, generation, principal, first, wanted)
        if len(passages) < wanted.count and len(candidates) > len(first):
            passages = _readable(ports, generation, principal, candidates, wanted)
        if len(passages) >= wanted.count or complete:
            return passages, True
        if limit >= MAX_CANDIDATES:
            return passages, False
        limit = min(limit * REFILL_FACTOR, MAX_CANDIDATES)


def _nearest_among(hits: Sequence[Candidate], query: VectorQuery) -> float:
    """Returns how many of the passages most similar to the question are certainly among the candidates.

    Rank r (from 0) of the dense retriever alone gives a fused score of 1 / (60 + r), so passages that are not among the
    candidates have a rank of at least 1 / (lowest score) - 60.
    """
    return len(hits) if query.sparse is None else 1 / hits[-1].score - RANK_CONSTANT


def _terms(ports: SearchPorts, principal: Principal, text: str) -> set[int]:
    return set(ports.sparse_query(text, ports.keyring.index_key(principal.tenant)).indices.tolist())


def _readable(
    ports: SearchPorts, generation: Generation, principal: Principal, candidates: Sequence[Candidate], wanted: _Wanted
) -> list[Passage]:
    by_id = {candidate.chunk_id: candidate for candidate in candidates}
    hydrated = ports.catalog.hydrate(generation, list(by_id), principal)
    keys = ports.keyring.get(list(dict.fromkeys(row.document_id for row in hydrated)))
    own = ciphers(principal.tenant, keys)
    passages: list[Passage] = []
    exactly = wanted.exactly
    most = max(wanted.count, LEAST_CHECKED)
    for row in hydrated:
        cipher = own.get(row.document_id)  # no key: erased since it was hydrated
        passage = _opened(row, cipher, by_id[row.chunk_id]) if cipher else None
        if passage and all(holds(each, {"mime": row.mime, **passage.metadata}.get(each.field)) for each in exactly):
            passages.append(passage)
        if len(passages) == most:
            break
    return passages


def _opened(row: Hydrated, cipher: Cipher, candidate: Candidate) -> Passage | None:
    try:
        text = cipher.decrypt_text("chunk", row.sealed_text, row.chunk_id)
        title = cipher.decrypt_text("title", row.sealed_title)
        headings = cipher.decrypt_json("headings", row.sealed_headings, row.chunk_id)
        headings = tuple(_sent(str(heading)) for heading in headings)
        metadata = readable(cipher.decrypt_json("metadata", row.sealed_metadata))
    except Exception:
        # One damaged row must not fail every search that finds it; the reconciliation reports it too.
        log.exception("Passage %s of document %s cannot be decrypted; left out", row.chunk_id, row.document_id)
        return None
    return Passage(
        **{name: getattr(row, name) for name in _PLACE},
        external_id=_sent(row.external_id),
        title=_sent(title),
        text=_sent(text),
        score=candidate.score,
        uri=_sent(row.uri),
        headings=headings,
        metadata=metadata,
        scores=candidate.scores,
    )


def _by_rank(passages: Sequence[Passage], retrievers: int) -> list[Passage]:
    """Replaces the scores by those of the rank in this result, as if each retriever had this rank, and
    `retrievers["sparse"]` by the rank in the sparse retriever.

    Original BM25 scores and fused ranks would reveal passages that the caller may not read: a term's IDF shows its
    frequency in the whole collection, and a gap between ranks shows another passage.
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


def _sent(text: str) -> str:
    return encodable(text, "\ufffd")
