"""Fits the weights of search to judged questions, and measures them on questions that they were not fitted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sluice.model.weights import DEFAULT, Weights
from sluice.retrieval import metrics
from sluice.retrieval.judged_candidates import JudgedCandidates

# Values that are tried, one weight after the other, until none is better (coordinate ascent).
GRID: Mapping[str, tuple[float, ...]] = {
    "resemblance": (-0.2, -0.1, 0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0),
    "dense": (0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8),
    "pairs": (0.0, 0.1, 0.2, 0.3, 0.4),
    "metadata": (0.0, 0.1, 0.2, 0.3, 0.4, 0.6),
}
FOLDS = 5
_ROUNDS = 3
_LEAST_STEP = 0.001  # of the mean nDCG@10; smaller steps are noise


@dataclass(frozen=True, slots=True)
class Fit:
    """`weights`: fitted to all questions. `gain`, `p`: of nDCG@10 against the weights in use, each question searched
    with weights that were fitted without it (cross-validation); two-sided paired bootstrap."""

    weights: Weights
    gain: float
    p: float


def fit(questions: Sequence[JudgedCandidates], in_use: Weights, *, seed: int = 0) -> Fit:
    """Fits the weights. `questions`: at least FOLDS."""
    places = np.random.default_rng(seed).permutation(len(questions))
    now = np.array([each.ndcg(in_use) for each in questions])
    then = np.zeros(len(questions))
    for held_out in np.array_split(places, FOLDS):
        rest = [questions[place] for place in np.setdiff1d(places, held_out)]
        weights = _best(rest)
        then[held_out] = [questions[place].ndcg(weights) for place in held_out]
    [gain], [p] = metrics.paired((then - now)[:, np.newaxis], seed=seed)
    return Fit(_best(questions), float(gain), float(p))


def _best(questions: Sequence[JudgedCandidates]) -> Weights:
    best, highest = DEFAULT, _mean(questions, DEFAULT)
    for _ in range(_ROUNDS):
        before = best
        for name, values in GRID.items():
            for value in values:
                tried = replace(best, **{name: value})
                mean = _mean(questions, tried)
                if mean > highest + _LEAST_STEP:
                    best, highest = tried, mean
        if best == before:
            break
    return best


def _mean(questions: Sequence[JudgedCandidates], weights: Weights) -> float:
    return float(np.mean([each.ndcg(weights) for each in questions]))
