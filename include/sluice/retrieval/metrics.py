"""Metrics of rankings with confidence intervals: nDCG, recall, MRR and all-gold over the first ten documents.

nDCG as in Järvelin & Kekäläinen (ACM TOIS 20(4), 2002) with gains as judged (linear) and discount log2(rank + 1);
intervals by the percentile bootstrap over queries (Efron & Tibshirani 1993, ch. 13).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sluice.errors import BadRequest
from sluice.model.evaluation import METRICS

DEPTH = 10
SAMPLES = 1000
NAMES = METRICS

_DISCOUNT = 1 / np.log2(np.arange(2, DEPTH + 2))


def collapse(passages: Iterable[Sequence[str]]) -> list[str]:
    """Returns the names of the passages' documents, each at the rank of its best passage. `passages`: best first; of
    each the name of its document, then those of its near-duplicates."""
    return list(dict.fromkeys(name for names in passages for name in names))


def evaluate(
    rankings: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, float]], *, seed: int = 0
) -> dict[str, Any]:
    """Returns means over the ranked queries that have a relevant document (gain > 0); an empty ranking scores 0.

    `mrr` also uses the first ten documents only. `all_gold@10`: share of queries whose relevant documents are all
    among the ten. Also `queries` (their number) and `intervals` (95 %, [low, high] by name). Raises BadRequest if there
    is no such query.
    """
    return summary(np.array(list(by_query(rankings, qrels).values())), seed=seed)


def summary(values: NDArray[np.floating[Any]], *, seed: int = 0) -> dict[str, Any]:
    """Returns what `evaluate` returns. `values`: (queries, len(NAMES)), of `by_query`."""
    low, high = np.percentile(_resampled(values, seed), [2.5, 97.5], axis=0)
    figures: dict[str, Any] = {name: float(mean) for name, mean in zip(NAMES, values.mean(axis=0), strict=True)}
    intervals = {name: [float(low[i]), float(high[i])] for i, name in enumerate(NAMES)}
    return {**figures, "queries": len(values), "intervals": intervals}


def compare(
    rankings: Mapping[str, Sequence[str]],
    baseline: Mapping[str, Sequence[str]],
    qrels: Mapping[str, Mapping[str, float]],
    *,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Returns by name of the metric the mean difference to the baseline over the queries that both rank, and `p`: the
    two-sided probability of such a difference by chance (paired bootstrap). Raises BadRequest if there is no such
    query."""
    ours, theirs = by_query(rankings, qrels), by_query(baseline, qrels)
    values = np.array([np.subtract(ours[qid], theirs[qid]) for qid in ours if qid in theirs]).reshape(-1, len(NAMES))
    if not len(values):
        raise BadRequest("The two rankings have no query in common.")
    return differences(values, seed=seed)


def differences(values: NDArray[np.floating[Any]], *, seed: int = 0) -> dict[str, dict[str, float]]:
    """Returns what `compare` returns. `values`: (queries, len(NAMES)), the differences of each query."""
    means, p = paired(values, seed=seed)
    return {name: {"difference": float(means[i]), "p": float(p[i])} for i, name in enumerate(NAMES)}


def paired(
    values: NDArray[np.floating[Any]], *, seed: int = 0
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    """Returns the mean and the two-sided p of each column, (columns,) each, by the paired bootstrap. `values`:
    (queries, columns), the differences of each query."""
    samples = _resampled(values, seed)
    p = np.minimum(1.0, 2 * np.minimum((samples <= 0).mean(axis=0), (samples >= 0).mean(axis=0)))
    return values.mean(axis=0), p


def by_query(
    rankings: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, float]]
) -> dict[str, tuple[float, ...]]:
    """Returns the values of NAMES of each query that has a relevant document. Raises BadRequest if there is none."""
    rows: dict[str, tuple[float, ...]] = {
        qid: _scores(list(dict.fromkeys(ranking))[:DEPTH], relevant)
        for qid, ranking in rankings.items()
        if (relevant := {doc: gain for doc, gain in qrels.get(qid, {}).items() if gain > 0})
    }
    if not rows:
        raise BadRequest(
            "No query has both a ranking and a relevant document. Check that the ids in the queries file and in the "
            "first column of the qrels file are the same."
        )
    return rows


def _resampled(values: NDArray[np.floating[Any]], seed: int) -> NDArray[np.float64]:
    """Returns the means of SAMPLES bootstrap samples of the rows: (SAMPLES, columns)."""
    generator, count = np.random.default_rng(seed), len(values)
    return np.array([values[generator.integers(0, count, count)].mean(axis=0) for _ in range(SAMPLES)])


def _scores(ranking: Sequence[str], relevant: Mapping[str, float]) -> tuple[float, float, float, float]:
    gains = np.array([relevant.get(doc, 0.0) for doc in ranking])
    hits = np.flatnonzero(gains)
    return (
        discounted(gains) / ideal_gain(relevant.values()),
        len(hits) / len(relevant),
        1 / (int(hits[0]) + 1) if len(hits) else 0.0,
        float(len(hits) == len(relevant)),
    )


def ideal_gain(gains: Iterable[float]) -> float:
    """Returns the discounted gain of the best ranking of documents with these gains."""
    return discounted(np.array(sorted(gains, reverse=True)[:DEPTH]))


def discounted(gains: NDArray[np.float64]) -> float:
    """Returns the discounted gain of a ranking, by the gains of its first documents, at most DEPTH."""
    return float(gains @ _DISCOUNT[: len(gains)])
