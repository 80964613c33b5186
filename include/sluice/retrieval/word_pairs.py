"""Pairs of the question's words that stand near each other in a passage, too.

BM25 counts words and not where they stand. A passage with *lift coefficient* answers a question about it better than
one with *lift* here and *coefficient* there (term dependence: Metzler & Croft 2005, "A Markov Random Field Model for
Term Dependencies"; here without a model, over the passages that were read).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from sluice.model.passage import Passage

SHARE = 0.2  # added to the fused score of a passage that has all pairs (docs/decisions/0061)
_WINDOW = 4  # words from one to the other, at most

Terms = Callable[[str], Sequence[int]]
"""Text → the terms of its words, in order; negative for a stop word."""
Places = Mapping[int, Sequence[int]]


def by_word_pairs(passages: Sequence[Passage], question: str, terms: Terms) -> list[Passage]:
    """Returns the passages by their fused score and the share of the question's pairs that they have, best first.

    A pair of two words that few of the passages have weighs more (inverse document frequency among the passages)."""
    wanted = [term for term in terms(question) if term >= 0]
    pairs = [(one, other) for one, other in dict.fromkeys(pairwise(wanted)) if one != other]
    if not pairs:
        return list(passages)
    own = set(wanted)
    places = [_places(terms("\n".join((each.title, *each.headings, each.text))), own) for each in passages]
    weights = _weights(own, places)
    total = sum(weights[one] + weights[other] for one, other in pairs)
    scored = []
    for passage, found in zip(passages, places, strict=True):
        near = sum(weights[one] + weights[other] for one, other in pairs if _near(found, one, other))
        scored.append(replace(passage, score=passage.score + SHARE * near / total))
    return sorted(scored, key=lambda each: (-each.score, each.chunk_id))


def _places(terms: Sequence[int], wanted: set[int]) -> Places:
    places: dict[int, list[int]] = {}
    for place, term in enumerate(terms):
        if term in wanted:
            places.setdefault(term, []).append(place)
    return places


def _weights(wanted: set[int], places: Sequence[Places]) -> dict[int, float]:
    counts = {term: sum(term in each for each in places) for term in wanted}
    number = len(places)
    return {term: math.log(1 + (number - count + 0.5) / (count + 0.5)) for term, count in counts.items()}


def _near(places: Places, one: int, other: int) -> bool:
    return any(abs(a - b) <= _WINDOW for a in places.get(one, ()) for b in places.get(other, ()))
