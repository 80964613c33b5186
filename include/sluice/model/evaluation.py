"""Evaluations: the quality of a collection's search on a golden set, and its comparison with an earlier one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sluice.model.gates import GateAction
from sluice.model.generation import Profile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

METRICS = ("ndcg@10", "recall@10", "mrr", "all_gold@10")
FUSED = "fused"  # all retrievers together, as users search
FILES = "files"  # in place of a golden set's name: an evaluation of files


@dataclass(frozen=True, slots=True)
class RetrieverScores:
    """Metrics of one retriever, or of all together (`fused`).

    `values`: (queries, len(METRICS)), float32, in the order of `Evaluation.hashes`."""

    retriever: str
    values: NDArray[np.float32]
    metrics: dict[str, float]
    intervals: dict[str, list[float]]  # 95 %, [low, high]
    latency_p50_ms: float
    latency_p95_ms: float

    def to_json(self) -> dict[str, Any]:
        """Returns the metrics as JSON values, without those of each question."""
        latency = {"p50": self.latency_p50_ms, "p95": self.latency_p95_ms}
        return {**self.metrics, "intervals": self.intervals, "latency_ms": latency}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The fused nDCG@10 against an earlier evaluation, over the questions whose judgements are the same in both.

    `drop`: the mean decrease; negative: it rose. `p`: two-sided, by the paired bootstrap."""

    action: GateAction
    limit: float  # drop that is reported
    baseline_id: UUID | None  # None: there was nothing to compare with
    queries: int
    worse: int  # questions with a lower nDCG@10
    drop: float
    p: float
    dropped: bool
    accepted: bool = False  # the drop was approved: later evaluations are compared with this one

    @property
    def result(self) -> str:
        """passed, warning or failed."""
        if not self.dropped or self.accepted:
            return "passed"
        return "failed" if self.action == "block" else "warning"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation of a collection. `hashes`: see `model.golden.judged_hash`, one for each question."""

    evaluation_id: UUID
    tenant: str
    collection: str
    golden_set: str
    golden_version: str
    generation: int
    profile: Profile
    run_id: UUID | None  # the last run that had changed the collection; None: unknown
    orchestrator: str | None  # who evaluated
    evaluated_at: datetime
    queries: int
    top_k: int
    seconds: float
    hashes: tuple[bytes, ...]
    scores: tuple[RetrieverScores, ...]
    comparison: Comparison | None = None  # None: the check is off

    def of(self, retriever: str) -> RetrieverScores:
        """Returns the scores of one retriever. Raises KeyError."""
        found = next((each for each in self.scores if each.retriever == retriever), None)
        if found is None:
            raise KeyError(retriever)
        return found

    def to_json(self) -> dict[str, Any]:
        """Returns the evaluation as JSON values, without the scores of each question."""
        names = ("evaluation_id", "tenant", "collection", "golden_set", "golden_version", "generation", "run_id")
        later = ("orchestrator", "evaluated_at", "queries", "top_k", "seconds")
        return {
            **{name: getattr(self, name) for name in names},
            "embedder": self.profile.embedder,
            "chunker": self.profile.chunker,
            "entities": self.profile.entities,
            **{name: getattr(self, name) for name in later},
            "retrievers": {each.retriever: each.to_json() for each in self.scores},
            "comparison": None if self.comparison is None else comparison_json(self.comparison),
        }


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Returns the comparison as JSON values."""
    names = ("action", "limit", "baseline_id", "queries", "worse", "drop", "p", "accepted", "result")
    return {name: getattr(comparison, name) for name in names}
