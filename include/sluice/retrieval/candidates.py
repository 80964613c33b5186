"""Candidates of a search, from the vector index, or from the ledger's full text while the index does not answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sluice.errors import Transient, Unavailable
from sluice.model.filters import Condition, inexact
from sluice.model.generation import Generation
from sluice.model.search import Candidate, Degradation, Retriever, VectorQuery
from sluice.ports.full_text import FullText
from sluice.ports.projections import VectorIndex

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found:
    """Candidates, in no order. `retrievers`: those that served. `complete`: there are no more candidates. `undecided`:
    the conditions that must still be compared with the ledger's metadata."""

    candidates: list[Candidate]
    retrievers: tuple[Retriever, ...]
    degraded: tuple[Degradation, ...]
    complete: bool
    undecided: Sequence[Condition]


def find(
    vectors: VectorIndex,
    full_text: FullText | None,
    generation: Generation,
    query: VectorQuery,
    conditions: Sequence[Condition],
    *,
    needs_index: bool = False,
) -> Found:
    """Returns the candidates of the vector index. If it does not answer, returns those that the full text finds by the
    words of the question; raises the index's error if that cannot serve: the query has no words (`sparse`), or the
    caller needs more than words."""
    try:
        candidates = vectors.search(generation, query)
    except Unavailable as error:
        if full_text is None or query.sparse is None or needs_index:
            raise
        # The guard of the index logs the change.
        log.debug("search falls back to the full text: collection=%s error=%s", generation.collection, error)
        return _by_words(full_text, generation, query, conditions)
    undecided = [each for each in conditions if inexact(each)]
    return Found(candidates, query.retrievers, (), len(candidates) < query.limit, undecided)


def _by_words(
    full_text: FullText, generation: Generation, query: VectorQuery, conditions: Sequence[Condition]
) -> Found:
    hits = full_text.search(generation, query)
    degraded: list[Degradation] = ["full_text"]
    if query.dense is not None:
        degraded.insert(0, "dense")
    if not hits.all_chunks:
        degraded.append("terms")
    return Found(hits.candidates, ("sparse",), tuple(degraded), hits.complete, conditions)


def incomplete(found: Found, word: Degradation) -> tuple[Degradation, ...]:
    """Returns the words for a result that has too few passages, although there may be more candidates. `word`: why no
    more were examined."""
    return ("filters", word) if "full_text" in found.degraded and found.undecided else (word,)


def attempted(step: Callable[[], T], word: Degradation) -> tuple[T | None, tuple[Degradation, ...]]:
    """Returns the result of a step that a search can do without, and no word; or None and the word for `degraded` if a
    dependency did not answer in time."""
    try:
        return step(), ()
    except Transient as error:
        log.debug("search without %s: %s", word, error)  # its guard logs the change
        return None, (word,)
