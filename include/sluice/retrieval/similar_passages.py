"""Passages that resemble good passages gain, where judgements of a collection say so.

The score of a passage is smoothed by those of the most similar ones among the passages that were read (Diaz 2005,
"Regularizing ad hoc retrieval scores"). This helps where the documents that answer a question are much alike, and harms
where they are not, so the weight is 0 until it is learned (`maintenance.tuning`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from sluice.model.chunk import Vector
from sluice.model.generation import Generation
from sluice.model.passage import Passage
from sluice.ports.projections import VectorIndex
from sluice.retrieval.fusion import ranked

POOL = 50  # passages that are compared
_NEAREST = 5
_POWER = 4  # of the similarity: a much more similar passage counts much more


def vectors_of(index: VectorIndex, generation: Generation, passages: Sequence[Passage]) -> Vector:
    """Returns the passages' vectors (n, dim). A passage whose point was deleted meanwhile has zeros: it resembles
    nothing. Raises Unavailable."""
    points = index.points_of(generation, [each.chunk_id for each in passages], vectors=True)
    known: Mapping[UUID, Vector] = {point.chunk_id: point.dense for point in points if point.dense is not None}
    nothing = np.zeros(generation.profile.dim, np.float32)
    return np.array([known.get(each.chunk_id, nothing) for each in passages]).reshape(-1, generation.profile.dim)


def resemblance(vectors: Vector) -> NDArray[np.float64]:
    """Returns how much the score of each passage says of each other one, (n, n): of the most similar passages of each
    row, by their similarity; rows sum to 1, or to 0 if nothing is similar. `vectors`: (n, dim), of length 1 or 0."""
    similarities = np.clip((vectors @ vectors.T).astype(np.float64), 0.0, 1.0)
    np.fill_diagonal(similarities, 0.0)
    beyond = np.argsort(-similarities, axis=1, kind="stable")[:, _NEAREST:]
    np.put_along_axis(similarities, beyond, 0.0, axis=1)
    weights: NDArray[np.float64] = similarities**_POWER
    totals = weights.sum(axis=1, keepdims=True)
    return weights / np.where(totals > 0, totals, 1.0)


def by_similar(passages: Sequence[Passage], vectors: Vector, weight: float) -> list[Passage]:
    """Returns the passages by their score and `weight` times the mean score of the passages that they resemble, best
    first. `vectors`: (n, dim)."""
    scores = np.array([each.score for each in passages])
    smoothed = scores + weight * (resemblance(vectors) @ scores)
    return ranked(replace(each, score=float(score)) for each, score in zip(passages, smoothed, strict=True))
