"""Rerankers: models that read question and passage together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Reranker(Protocol):
    """One model. Threads may share it."""

    def scores(self, question: str, texts: Sequence[str], timeout_s: float) -> list[float]:
        """Returns one finite score for each text, in their order; higher is better. Scores are comparable within one
        call. Raises Unavailable (down), Slow (not done in `timeout_s`) or Terminal (model or request rejected)."""
