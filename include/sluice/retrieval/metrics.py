"""Metrics of rankings with confidence intervals: nDCG, recall, MRR and all-gold over the first ten documents.

nDCG as in Järvelin & Kekäläinen (ACM TOIS 20(4), 2002) with gains as judged (linear) and discount log2(rank + 1);
intervals by the percentile bootstrap over queries (Efron & Tibshirani 1993, ch. 13).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sluice.errors import BadRequest
from sluice.model.evaluation import METRICS

DEPTH = 10
SAMPLES = 1000
NAMES = METRICS

_DISCOUNT = 1 / np.log2(np.arange(2, DEPTH + 2))


class Named(Protocol):
    """A document by its external id."""

    @property
    def external_id(self) -> str: ...


class Found(Named, Protocol):
    """The attributes of a passage that the metrics need."""

    @property
    def duplicates(self) -> Sequence[Named]: ...


def collapse(passages: Iterable[Found]) -> list[str]:
    """Returns the external ids of the passages' documents, each at the rank of its best passage. The documents of its
    near-duplicates, which the passage names, follow it. `passages`: best first."""
    named = (each.external_id for passage in passages for each in (passage, *passage.duplicates))
    return list(dict.fromkeys(named))


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
    samples = _resampled(values, seed)
    p = np.minimum(1.0, 2 * np.minimum((samples <= 0).mean(axis=0), (samples >= 0).mean(axis=0)))
    means = values.mean(axis=0)
    return {name: {"difference": float(means[i]), "p": float(p[i])} for i, name in enumerate(NAMES)}


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
    ideal = np.array(sorted(relevant.values(), reverse=True)[:DEPTH])
    hits = np.flatnonzero(gains)
    return (
        _discounted(gains) / _discounted(ideal),
        len(hits) / len(relevant),
        1 / (int(hits[0]) + 1) if len(hits) else 0.0,
        float(len(hits) == len(relevant)),
    )


def _discounted(gains: NDArray[np.float64]) -> float:
    return float(gains @ _DISCOUNT[: len(gains)])


def read_queries(path: Path) -> dict[str, str]:
    """Reads JSON lines with `_id` and `text`; returns text by id. Raises BadRequest, which names the line."""
    queries: dict[str, str] = {}
    for where, line in lines(path):
        try:
            row = json.loads(line)
            qid, text = str(row["_id"]), row["text"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            wanted = 'Each line is one JSON object: {"_id": …, "text": …}.'
            raise BadRequest(f"{where} is not a query. {wanted}") from error
        if not isinstance(text, str) or not text.strip():
            raise BadRequest(f"{where}: the text of query {qid!r} is empty or not a string. Give it one, or drop it.")
        if qid in queries:
            raise BadRequest(f"{where}: query {qid!r} is there twice. Ids must be unique.")
        queries[qid] = text
    if not queries:
        raise BadRequest(f"{path.name} holds no query.")
    return queries


def read_qrels(path: Path) -> dict[str, dict[str, float]]:
    """Reads tab-separated query-id, corpus-id and score, with or without a header; returns query → document → gain.
    Raises BadRequest, which names the line."""
    qrels: dict[str, dict[str, float]] = {}
    for number, (where, line) in enumerate(lines(path)):
        cells = line.split("\t")
        gain = _number(cells[2]) if len(cells) == 3 else None
        if gain is None:
            if number == 0 and len(cells) == 3:
                continue
            wanted = "Each line is query-id, corpus-id and a number, tabs between."
            raise BadRequest(f"{where} is not a judgement. {wanted}")
        qrels.setdefault(cells[0], {})[cells[1]] = gain
    if not qrels:
        raise BadRequest(f"{path.name} holds no judgement.")
    return qrels


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yields (`file, line n`, content) of each line that is not blank. Raises BadRequest."""
    for number, line in enumerate(file_text(path).split("\n"), start=1):
        if line.strip():
            yield f"{path.name}, line {number}", line.rstrip("\r")


def file_text(path: Path, newline: str | None = None) -> str:
    """Returns the text of a file in UTF-8; `newline` as for `open`. Raises BadRequest."""
    try:
        with path.open(encoding="utf-8-sig", newline=newline) as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{path} cannot be read as UTF-8 text ({error}). Nothing was evaluated.") from error
