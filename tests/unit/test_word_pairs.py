"""Passages in which the question's words stand together have more of its pairs than those that have them apart."""

from __future__ import annotations

from uuid import UUID

import pytest

from sluice.model.passage import Passage
from sluice.retrieval.word_pairs import pair_shares

NUMBERS: dict[str, int] = {}
TOGETHER = "the lift coefficient of a wing"
APART = "a lift in the house and far below it some coefficient"
STOP = {"the", "of", "a", "in", "and", "it", "some"}


def terms(text: str) -> list[int]:
    return [-1 if word in STOP else NUMBERS.setdefault(word, len(NUMBERS)) for word in text.split()]


def passage(text: str, title: str = "") -> Passage:
    id = UUID(int=1)
    return Passage(id, id, "a.md", title, text, 0.5, "file:///a.md", 0, 9, None, (), {}, 1, 1, id)


def shares(*passages: Passage, question: str = "the lift of coefficient") -> list[float]:
    return pair_shares(passages, question, terms)


def test_words_together_are_a_pair_and_words_apart_are_none() -> None:
    assert shares(passage(APART), passage(TOGETHER)) == [0.0, pytest.approx(1.0)]


def test_a_title_counts_and_either_order_counts() -> None:
    assert shares(passage("of planes", title="coefficient and lift")) == [pytest.approx(1.0)]


def test_a_passage_with_all_pairs_has_the_whole_share() -> None:
    all_pairs, one, none = shares(
        passage("lift coefficient wing"),
        passage("coefficient wing"),
        passage(APART),
        question="lift coefficient wing",
    )
    assert all_pairs == pytest.approx(1.0) and 0 < one < 1 and none == 0.0


def test_pairs_that_few_passages_have_weigh_more() -> None:
    common = [passage("wing flow")] * 7
    found = shares(passage("lift coefficient"), *common, question="wing flow lift coefficient")
    assert found[0] > found[1] > 0


@pytest.mark.parametrize("question", ["", "the", "lift", "lift lift", "the lift"])
def test_a_question_without_a_pair(question: str) -> None:
    assert shares(passage(APART), passage(TOGETHER), question=question) == [0.0, 0.0]
