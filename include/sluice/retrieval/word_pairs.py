"""Pairs of the question's words that stand near each other in a passage, too.

BM25 counts words and not where they stand. A passage with *lift coefficient* answers a question about it better than
one with *lift* here and *coefficient* there (term dependence: Metzler & Croft 2005, "A Markov Random Field Model for
Term Dependencies"; here without a model, over the passages that were read).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from sluice.model.passage import Passage

_WINDOW = 4  # words from one to the other, at most

Terms = Callable[[str], Sequence[int]]
"""Text → the terms of its words, in order; negative for a stop word."""
Places = Mapping[int, Sequence[int]]


def pair_shares(passages: Sequence[Passage], question: str, terms: Terms) -> list[float]:
    """Returns the share of the question's pairs that each passage has, from 0 to 1.

    A pair of two words that few of the passages have weighs more (inverse document frequency among the passages)."""
    wanted = [term for term in terms(question) if term >= 0]
    pairs = [(one, other) for one, other in dict.fromkeys(pairwise(wanted)) if one != other]
    if not pairs:
        return [0.0] * len(passages)
    own = set(wanted)
    places = [_places(terms("\n".join((each.title, *each.headings, each.text))), own) for each in passages]
    weights = _weights(own, places)
    total = sum(weights[one] + weights[other] for one, other in pairs)
    return [
        sum(weights[one] + weights[other] for one, other in pairs if _near(found, one, other)) / total
        for found in places
    ]


def rarity(count: int, number: int) -> float:
    """Returns the inverse document frequency of what `count` of `number` passages have (the form of BM25)."""
    return math.log(1 + (number - count + 0.5) / (count + 0.5))


def _places(terms: Sequence[int], wanted: set[int]) -> Places:
    places: dict[int, list[int]] = {}
    for place, term in enumerate(terms):
        if term in wanted:
            places.setdefault(term, []).append(place)
    return places


def _weights(wanted: set[int], places: Sequence[Places]) -> dict[int, float]:
    counts = {term: sum(term in each for each in places) for term in wanted}
    return {term: rarity(count, len(places)) for term, count in counts.items()}


def _near(places: Places, one: int, other: int) -> bool:
    return any(abs(a - b) <= _WINDOW for a in places.get(one, ()) for b in places.get(other, ()))
