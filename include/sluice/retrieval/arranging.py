"""Arranges the passages of a search after fusion: reranking, diversity, ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import numpy as np

from sluice.errors import BadRequest
from sluice.model.chunk import Vector
from sluice.model.generation import Generation
from sluice.model.passage import Passage
from sluice.model.search import Degradation, SearchRequest
from sluice.ports.projections import VectorIndex
from sluice.retrieval.candidates import attempted
from sluice.retrieval.diversity import marginal_order
from sluice.retrieval.reranking import Reranking

DIVERSE_POOL = 50  # passages from which a diverse result is chosen


def reranking_of(reranking: Reranking | None, request: SearchRequest) -> Reranking | None:
    """Returns the reranking that the request uses. Raises BadRequest if it asks for one and none is configured."""
    if request.rerank and reranking is None:
        raise BadRequest(
            "rerank: no reranker is configured. Leave rerank out, or ask the operator to set SLUICE_RERANKER."
        )
    return None if request.rerank is False else reranking


def pool_size(request: SearchRequest, reranking: Reranking | None) -> int:
    """Returns how many passages to read, so that the result can be chosen from them; at least `top_k`."""
    scored = reranking.candidates if reranking else 0
    return max(request.top_k, scored, DIVERSE_POOL if request.diversity else 0)


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
    points = vectors.points_of(generation, [each.chunk_id for each in passages], vectors=True)
    known = {point.chunk_id: point.dense for point in points if point.dense is not None}
    matrix = _matrix(passages, known, generation.profile.dim)
    order = marginal_order(_relevance(passages), matrix, request.diversity, len(passages))
    return [passages[place] for place in order]


def _matrix(passages: Sequence[Passage], known: Mapping[UUID, Vector], dim: int) -> Vector:
    """Returns (n, dim). A passage whose point was deleted meanwhile resembles nothing."""
    nothing = np.zeros(dim, np.float32)
    return np.stack([known.get(each.chunk_id, nothing) for each in passages])


def _relevance(passages: Sequence[Passage]) -> list[float]:
    """Returns the reranker's scores, below them passages without one; without a reranker, the fused scores."""
    scores = [each.rerank for each in passages if each.rerank is not None]
    if not scores:
        return [each.score for each in passages]
    return [min(scores) if each.rerank is None else each.rerank for each in passages]


def ranked(passages: Sequence[Passage]) -> list[Passage]:
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
