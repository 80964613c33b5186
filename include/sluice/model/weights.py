"""Weights of what makes a passage's score, as they are or as they were learned from judgements."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

# Measured on open sets (docs/decisions/0051, 0061, 0063, 0064). The best dense share of bge-small is the same (0058).
DENSE_SHARE = 0.55


@dataclass(frozen=True, slots=True)
class Weights:
    """`dense`: share of the dense retriever in the fused score, from 0 to 1; the rest is BM25's. `pairs`: added to the
    score of a passage that has all pairs of the question's words. `metadata`: added for a value of metadata that the
    question names and no other document has. `resemblance`: weight of the scores of the passages
    that a passage resembles; negative: passages unlike the others gain."""

    dense: float = DENSE_SHARE
    pairs: float = 0.2
    resemblance: float = 0.0
    metadata: float = 0.3

    def to_json(self) -> dict[str, float]:
        """Returns the weights by name."""
        return asdict(self)


DEFAULT = Weights()


@dataclass(frozen=True, slots=True)
class LearnedWeights:
    """Weights of a tenant's searches in one generation. `gain`: of the mean nDCG@10 on `queries` questions, each
    searched with weights that were fitted without it; `p`: probability of such a gain by chance."""

    weights: Weights
    queries: int
    gain: float
    p: float
    learned_at: datetime | None = None  # None: not stored

    def to_json(self) -> dict[str, Any]:
        """Returns weights and evidence as JSON values."""
        evidence = {name: getattr(self, name) for name in ("queries", "gain", "p", "learned_at")}
        return {**self.weights.to_json(), **evidence}
