"""Reorders passages by a reranker, in bounded time: a reranker that fails or is late never delays or fails a search.

In the query service a guard is around the reranker (`wiring/guards.py`): a search leaves a call that hangs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from sluice.errors import Unavailable, shown_text
from sluice.model.passage import Passage
from sluice.ports.reranking import Reranker
from sluice.resilience import deadline

log = logging.getLogger(__name__)


class Reranking:
    """Calls one reranker for the searches of a process."""

    def __init__(self, reranker: Reranker, candidates: int, timeout_s: float) -> None:
        """`candidates`: passages of a search that are scored. `timeout_s`: of one search."""
        self.candidates = candidates
        self._reranker, self._timeout_s = reranker, timeout_s

    def reordered(self, question: str, passages: Sequence[Passage]) -> list[Passage] | None:
        """Returns the passages, the first `candidates` of them by the reranker's score (`Passage.rerank`), best first.
        None: it failed, was late, or is busy."""
        first, rest = passages[: self.candidates], passages[self.candidates :]
        scores = self._scores(question, [_read_text(each) for each in first]) if first else []
        if scores is None:
            return None
        scored = [replace(each, rerank=score) for each, score in zip(first, scores, strict=True)]
        return [*sorted(scored, key=lambda each: -(each.rerank or 0.0)), *rest]

    def _scores(self, question: str, texts: Sequence[str]) -> list[float] | None:
        timeout_s = deadline.limited_s(self._timeout_s, 1.0)
        try:
            scores = self._reranker.scores(question, texts, timeout_s)
        except Unavailable as error:
            log.debug("reranking skipped: %s", error)  # its guard logs the change
        except Exception as error:
            # Whatever a model or an endpoint raises, the search has its passages. A foreign error may quote them.
            log.warning("reranking skipped: %s", shown_text(error))
        else:
            if len(scores) == len(texts):
                return scores
            log.warning("reranking skipped: %d scores for %d passages", len(scores), len(texts))
        return None


def _read_text(passage: Passage) -> str:
    """Returns title, headings and text: the words that were embedded."""
    return "\n".join((passage.title, *passage.headings, passage.text))
