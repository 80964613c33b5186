"""Fusion: one order from the scores of several retrievers.

The scores of the dense and the sparse retriever are brought to the scale from 0 to 1, and the fused score is their
weighted mean (a convex combination; Bruch, Gai, Ingber 2023, "An Analysis of Fusion Functions for Hybrid Retrieval").
Every candidate has its true score of each, also of the one that did not return it, so no score has to be guessed. The
strength of links in the graph is added to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sluice.model.languages import EMBEDDED
from sluice.model.passage import Passage
from sluice.model.search import Candidate, Retriever
from sluice.model.weights import DENSE_SHARE

# The share of the dense retriever for a question in another script than Latin and an embedder of English: its
# similarities say little (docs/decisions/0051).
_FOREIGN_SHARE = 0.2
Scored = TypeVar("Scored", Candidate, Passage)
_LETTER = re.compile(r"[^\W\d_]")
_LATIN = re.compile("[a-zA-Z\u00aa-\u024f\u1e00-\u1eff]")


@dataclass(frozen=True, slots=True)
class Scale:
    """The range of each vector retriever's scores over the candidates of one query: (lowest, highest).

    BM25's lowest score is 0: no word of the question."""

    ranges: tuple[tuple[Retriever, float, float], ...]
    dense_share: float = DENSE_SHARE

    @staticmethod
    def of(candidates: Sequence[Candidate], retrievers: Sequence[Retriever], dense_share: float = DENSE_SHARE) -> Scale:
        """Measures the ranges. `retrievers`: the vector retrievers of the query, at least one."""
        return Scale(tuple(_range(candidates, each) for each in retrievers), dense_share)

    def fused(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Returns the candidates with their fused scores, best first; equal scores are ordered by chunk id.

        A candidate without a score of the first retriever is left out: it was deleted while the index was queried
        (every passage has a similarity)."""
        candidates = [each for each in candidates if self.ranges[0][0] in each.scores]
        total = np.zeros(len(candidates))
        for retriever, scores in self.scaled([each.scores for each in candidates]).items():
            total += self._share(retriever) * scores
        return ranked([replace(each, score=float(score)) for each, score in zip(candidates, total, strict=True)])

    def scaled(self, scores: Sequence[Mapping[str, float]]) -> dict[Retriever, NDArray[np.float64]]:
        """Returns the scores (n,) of each vector retriever on the scale from 0 to 1."""
        return {
            retriever: _scaled(np.array([each.get(retriever, 0.0) for each in scores]), lowest, highest)
            for retriever, lowest, highest in self.ranges
        }

    def _share(self, retriever: Retriever) -> float:
        if len(self.ranges) == 1:
            return 1.0
        return self.dense_share if retriever == "dense" else 1 - self.dense_share


def foreign_share(embedder: str, question: str) -> float | None:
    """Returns the share of the dense retriever in the fused score if the embedder was trained on English alone and most
    letters of the question are not Latin; else None."""
    letters = _LETTER.findall(question)
    if embedder.partition(":")[0] in EMBEDDED and sum(map(bool, map(_LATIN.match, letters))) < len(letters) / 2:
        return _FOREIGN_SHARE
    return None


def ranked(scored: Iterable[Scored]) -> list[Scored]:
    """Returns candidates or passages in the order of their scores, best first; equal ones by chunk id."""
    return sorted(scored, key=lambda each: (-each.score, each.chunk_id))


def _range(candidates: Sequence[Candidate], retriever: Retriever) -> tuple[Retriever, float, float]:
    scores = [each.scores[retriever] for each in candidates if retriever in each.scores] or [0.0]
    return retriever, min(scores) if retriever == "dense" else 0.0, max(scores)


def _scaled(scores: NDArray[np.float64], lowest: float, highest: float) -> NDArray[np.float64]:
    """Scales from `lowest` to `highest` to 0 to 1; all 0 where both are equal."""
    width = highest - lowest
    return (scores - lowest) / width if width > 0 else np.zeros_like(scores)
