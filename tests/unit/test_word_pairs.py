"""Passages in which the question's words stand together come before those that have them apart."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pytest

from sluice.model.passage import Passage
from sluice.model.weights import WORD_PAIRS
from sluice.retrieval.word_pairs import by_word_pairs

NUMBERS: dict[str, int] = {}
TOGETHER = "the lift coefficient of a wing"
APART = "a lift in the house and far below it some coefficient"
STOP = {"the", "of", "a", "in", "and", "it", "some"}


def terms(text: str) -> list[int]:
    return [-1 if word in STOP else NUMBERS.setdefault(word, len(NUMBERS)) for word in text.split()]


def passage(number: int, text: str, score: float = 0.5, title: str = "") -> Passage:
    id = UUID(int=number)
    return Passage(id, id, "a.md", title, text, score, "file:///a.md", 0, 9, None, (), {}, 1, 1, id)


def order(passages: Sequence[Passage], question: str = "what is the lift of coefficient") -> list[int]:
    return [each.chunk_id.int for each in by_word_pairs(passages, question, terms, WORD_PAIRS)]


def test_words_together_come_before_words_apart() -> None:
    assert order([passage(1, APART), passage(2, TOGETHER)]) == [2, 1]
    assert order([passage(1, APART, score=0.75), passage(2, TOGETHER)]) == [1, 2]


def test_a_title_counts_and_either_order_counts() -> None:
    assert order([passage(1, APART), passage(2, "of planes", title="coefficient and lift")]) == [2, 1]


def test_all_pairs_are_worth_the_weight() -> None:
    both = by_word_pairs([passage(1, "lift coefficient wing"), passage(2, APART)], "lift coefficient wing", terms, 0.3)
    assert both[0].score == pytest.approx(0.5 + 0.3)
    assert both[1].score == 0.5


def test_pairs_that_few_passages_have_weigh_more() -> None:
    common = [passage(number, "wing flow") for number in range(3, 9)]
    assert (
        order([passage(1, "wing flow"), passage(2, "lift coefficient"), *common], "wing flow lift coefficient")[0] == 2
    )


@pytest.mark.parametrize("question", ["", "the", "lift", "lift lift", "the lift"])
def test_without_a_pair_the_order_stays(question: str) -> None:
    assert order([passage(2, APART), passage(1, TOGETHER)], question) == [2, 1]
