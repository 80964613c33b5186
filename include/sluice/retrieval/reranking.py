"""Reorders passages by a reranker, in bounded time: a reranker that fails or is late never delays or fails a search."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import BoundedSemaphore

from sluice.errors import shown_text
from sluice.model.passage import Passage
from sluice.ports.reranking import Reranker
from sluice.resilience import deadline

log = logging.getLogger(__name__)

_SHARE = 0.8  # of what is left of a search's time budget
_AT_ONCE = 4  # calls of the reranker; a search that finds no free one keeps its order


class Reranking:
    """Calls one reranker for the searches of a process."""

    def __init__(self, reranker: Reranker, candidates: int, timeout_s: float) -> None:
        """`candidates`: passages of a search that are scored. `timeout_s`: of one search."""
        self.candidates = candidates
        self._reranker, self._timeout_s = reranker, timeout_s
        self._free = BoundedSemaphore(_AT_ONCE)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="rerank")

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
        if not self._free.acquire(blocking=False):
            log.warning("reranking skipped: %d calls are running", _AT_ONCE)
            return None
        timeout_s = deadline.limited_s(self._timeout_s, _SHARE)
        try:
            future = self._pool.submit(self._reranker.scores, question, texts, timeout_s)
        except BaseException:
            self._free.release()
            raise
        future.add_done_callback(lambda _: self._free.release())
        try:
            scores = future.result(timeout_s)
            if len(scores) == len(texts):
                return scores
            log.warning("reranking skipped: %d scores for %d passages", len(scores), len(texts))
        except TimeoutError:
            log.warning("reranking skipped: no scores within %g s", timeout_s)
        except Exception as error:
            # Whatever a model or an endpoint raises, the search has its passages. A foreign error may quote them.
            log.warning("reranking skipped: %s", shown_text(error))
        return None


def _read_text(passage: Passage) -> str:
    """Returns title, headings and text: the words that were embedded."""
    return "\n".join((passage.title, *passage.headings, passage.text))
