"""Arranges the passages of a search after fusion: reranking, diversity, ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sluice.errors import BadRequest
from sluice.model.generation import Generation
from sluice.model.passage import Passage
from sluice.model.search import Degradation, SearchRequest
from sluice.model.weights import Weights
from sluice.ports.projections import VectorIndex
from sluice.retrieval.candidates import attempted
from sluice.retrieval.diversity import marginal_order
from sluice.retrieval.filling import Filled
from sluice.retrieval.fusion import ranked
from sluice.retrieval.named_metadata import named_values
from sluice.retrieval.reranking import Reranking
from sluice.retrieval.search_ports import SearchPorts
from sluice.retrieval.similar_passages import POOL as SIMILAR_POOL
from sluice.retrieval.similar_passages import by_similar, vectors_of
from sluice.retrieval.word_pairs import pair_shares

DIVERSE_POOL = 50  # passages from which a diverse result is chosen


def reranking_of(reranking: Reranking | None, request: SearchRequest) -> Reranking | None:
    """Returns the reranking that the request uses. Raises BadRequest if it asks for one and none is configured."""
    if request.rerank and reranking is None:
        raise BadRequest(
            "rerank: no reranker is configured. Leave rerank out, or ask the operator to set SLUICE_RERANKER."
        )
    return None if request.rerank is False else reranking


def pool_size(request: SearchRequest, reranking: Reranking | None, weights: Weights) -> int:
    """Returns how many passages to read, so that the result can be chosen from them; at least `top_k`."""
    scored = reranking.candidates if reranking else 0
    similar = SIMILAR_POOL if weights.resemblance else 0
    return max(request.top_k, scored, similar, DIVERSE_POOL if request.diversity else 0)


def weighted(
    ports: SearchPorts,
    generation: Generation,
    filled: Filled,
    question: str,
    tenant: str,
    weights: Weights,
) -> tuple[list[Passage], tuple[Degradation, ...]]:
    """Returns the passages with the scores of pairs of words, of named metadata and of similar passages added, best
    first, and the step that failed (`resemblance`)."""
    index_key = ports.keyring.index_key(tenant)
    pairs = pair_shares(filled.passages, question, lambda text: ports.term_sequence(text, index_key))
    named = [0.0] * len(pairs)
    if weights.metadata:
        named = named_values(filled.passages, question, generation.languages)
    passages = ranked(
        replace(each, score=each.score + weights.pairs * share + weights.metadata * rarity)
        for each, share, rarity in zip(filled.passages, pairs, named, strict=True)
    )
    if not weights.resemblance or len(passages) < 2 or "full_text" in filled.degraded:
        return passages, ()
    smoothed, lost = attempted(
        lambda: by_similar(passages, vectors_of(ports.vectors, generation, passages), weights.resemblance),
        "resemblance",
    )
    return smoothed or passages, lost


def arranged(
    vectors: VectorIndex,
    generation: Generation,
    request: SearchRequest,
    reranking: Reranking | None,
    passages: Sequence[Passage],
) -> tuple[list[Passage], tuple[Degradation, ...]]:
    """Returns the passages in their final order, and the steps that failed (`rerank`, `diversity`): without them, the
    order stays as it was."""
    order = list(passages)
    failed: tuple[Degradation, ...] = ()
    if reranking:
        reordered = reranking.reordered(request.query.strip(), order)
        order, failed = (order, ("rerank",)) if reordered is None else (reordered, ())
    if request.diversity and len(order) > 1:
        diverse, lost = attempted(lambda: _diverse(vectors, generation, request, order), "diversity")
        order, failed = diverse or order, failed + lost
    return order, failed


def _diverse(
    vectors: VectorIndex, generation: Generation, request: SearchRequest, passages: Sequence[Passage]
) -> list[Passage]:
    matrix = vectors_of(vectors, generation, passages)
    order = marginal_order(_relevance(passages), matrix, request.diversity, len(passages))
    return [passages[place] for place in order]


def _relevance(passages: Sequence[Passage]) -> list[float]:
    """Returns the reranker's scores, below them passages without one; without a reranker, the fused scores."""
    scores = [each.rerank for each in passages if each.rerank is not None]
    if not scores:
        return [each.score for each in passages]
    return [min(scores) if each.rerank is None else each.rerank for each in passages]


def with_ranks(passages: Sequence[Passage]) -> list[Passage]:
    """Adds the ranks among these passages: by retriever, of the fused score, and of the reranker. Ranks among all
    candidates would reveal passages that the caller may not read."""
    columns = [{**each.scores, "fused": each.score, **_rerank_score(each)} for each in passages]
    best_first = {
        name: sorted((column[name] for column in columns if name in column), reverse=True)
        for name in {name for column in columns for name in column}
    }
    return [
        replace(passage, ranks={name: best_first[name].index(score) + 1 for name, score in column.items()})
        for passage, column in zip(passages, columns, strict=True)
    ]


def _rerank_score(passage: Passage) -> dict[str, float]:
    return {} if passage.rerank is None else {"rerank": passage.rerank}
