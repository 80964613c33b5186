"""Passages that resemble good ones gain by the weight that was learned."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest

from sluice.model.passage import Passage
from sluice.retrieval.similar_passages import by_similar, resemblance

VECTORS = np.array([[1, 0], [0, 1], [0, 1], [0, 0]], np.float32)


def passage(number: int, score: float) -> Passage:
    id = UUID(int=number)
    return Passage(id, id, "a.md", "", "text", score, "file:///a.md", 0, 9, None, (), {}, 1, 1, id)


def test_a_passage_says_nothing_of_itself_nor_of_what_is_unlike_it() -> None:
    assert resemblance(VECTORS).tolist() == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert resemblance(VECTORS[:1]).tolist() == [[0]]


def test_the_nearest_five_count_by_their_similarity() -> None:
    angles = np.linspace(0, 1, 9)
    weights = resemblance(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32))
    assert (weights > 0).sum(axis=1).tolist() == [5] * 9
    assert weights.sum(axis=1) == pytest.approx(1)
    assert weights[0, 1] > weights[0, 5] > 0 and weights[0, 6] == 0


@pytest.mark.parametrize(("weight", "order"), [(0.0, [1, 2, 3, 4]), (0.5, [2, 3, 1, 4]), (-0.5, [1, 2, 4, 3])])
def test_neighbours_of_good_passages_gain_or_lose(weight: float, order: list[int]) -> None:
    passages = [passage(1, 0.9), passage(2, 0.8), passage(3, 0.6), passage(4, 0.4)]
    found = by_similar(passages, VECTORS, weight)
    assert [each.chunk_id.int for each in found] == order
