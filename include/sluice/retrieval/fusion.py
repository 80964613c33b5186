"""Fusion: one order from the scores of several retrievers.

Each retriever's scores are brought to the scale from 0 to 1, and the fused score is their weighted mean (a convex
combination; Bruch, Gai, Ingber 2023, "An Analysis of Fusion Functions for Hybrid Retrieval"). Every candidate has its
true score of each retriever, also of those that did not return it, so no score has to be guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sluice.model.search import Candidate, Retriever

# The share of the dense retriever in the fused score; the rest is BM25's. Measured with minilm (docs/decisions/0051);
# the best of bge-small is the same (0058).
DENSE_SHARE = 0.55


def fused(candidates: Sequence[Candidate], retrievers: Sequence[Retriever]) -> list[Candidate]:
    """Returns the candidates with their fused scores, best first; equal scores are ordered by chunk id.

    Of one retriever alone the score is its own. A candidate without a score of the first retriever is left out: it was
    deleted while the index was queried (every passage has a similarity).
    """
    candidates = [each for each in candidates if retrievers[0] in each.scores]
    if not candidates:
        return []
    if len(retrievers) == 1:
        scores = [each.scores[retrievers[0]] for each in candidates]
    else:
        dense = np.array([each.scores["dense"] for each in candidates])
        sparse = np.array([each.scores.get("sparse", 0.0) for each in candidates])
        scores = (DENSE_SHARE * _scaled(dense, dense.min()) + (1 - DENSE_SHARE) * _scaled(sparse, 0.0)).tolist()
    ranked = [replace(each, score=score) for each, score in zip(candidates, scores, strict=True)]
    return sorted(ranked, key=lambda each: (-each.score, each.chunk_id))


def _scaled(scores: np.ndarray, lowest: float) -> np.ndarray:
    """Scales from `lowest` to the highest score to 0 to 1; all 0 where both are equal. BM25's lowest score is 0: no
    word of the question."""
    width = scores.max() - lowest
    return (scores - lowest) / width if width > 0 else np.zeros_like(scores)
