"""Passages whose metadata a question names come first."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from sluice.embedding.bm25 import term_sequence
from sluice.model.passage import Passage
from sluice.retrieval.named_metadata import named_values

KEY = bytes(32)
ID = UUID(int=1)
OTHERS: list[dict[str, Any]] = [{"source": "The Age", "tags": ["opinion"]} for _ in range(9)]


def passage(metadata: dict[str, Any]) -> Passage:
    return Passage(ID, ID, "a.md", "", "text", 0.5, "file:///a.md", 0, 9, None, (), metadata, 1, 1, ID)


def rarities(question: str, *all_metadata: dict[str, Any], languages: tuple[str, ...] = ()) -> list[float]:
    passages = [passage(each) for each in all_metadata]
    return named_values(passages, question, languages, lambda text: term_sequence(text, KEY))


@pytest.mark.parametrize(
    ("metadata", "question"),
    [
        ({"source": "The Verge"}, "What did 'The Verge' say of it?"),
        ({"source": "The Verge"}, "what did the verge's reporter say"),
        ({"source": "Cnbc | World Business News Leader"}, "In Cnbc | World business news leader, who …?"),
        ({"author": "O\u2019Reilly, Tim"}, "the books of O'Reilly, Tim"),
        ({"author": "GÖDEL"}, "Was bewies Gödel?"),
        ({"tags": ["tax", "pension"]}, "what is the pension age"),
        ({"year": 2024}, "the budget of 2024"),
        ({"author": "Donald E. Knuth"}, "What did Knuth write about sorting?"),
        ({"authors": ["van Dijk, J.", "Lee, Kim"]}, "the papers by Lee and others"),
        ({"publisher": "路透社"}, "据路透社报道，价格是多少？"),
        ({"published_at": "2023-11-06T22:42:00+00:00"}, "the reports of 2023-11-06"),
        ({"published_at": "2023-11-06"}, "on November 6, 2023, who won?"),
        ({"published_at": "2023-11-06"}, "who won on the 6 november 2023"),
        ({"published_at": "2023-11-06"}, "who won on November 6th, 2023?"),
        ({"published_at": "2023-11-06"}, "who won on Nov 6, 2023?"),
    ],
)
def test_a_value_in_the_question_counts(metadata: dict[str, Any], question: str) -> None:
    first, *others = rarities(question, metadata, *OTHERS)
    assert first == pytest.approx(1.0) and not any(others)


@pytest.mark.parametrize(
    ("language", "question"),
    [
        ("deu", "Wer gewann am 6. November 2023?"),
        ("deu", "Wer gewann am 06.11.2023?"),
        ("fra", "Qui a gagné le 6 novembre 2023 ?"),
        ("spa", "¿Quién ganó el 6 de noviembre de 2023?"),
        ("cmn", "2023年11月6日的比赛谁赢了"),
        ("rus", "Кто победил 6 ноября 2023 г.?"),
    ],
)
def test_dates_are_understood_in_the_languages_of_the_collection(language: str, question: str) -> None:
    day = {"published_at": "2023-11-06T10:00:00Z"}
    assert rarities(question, day, *OTHERS, languages=("eng", language))[0] == pytest.approx(1.0)
    another = {"published_at": "2023-11-07T10:00:00Z"}
    assert not any(rarities(question, another, *OTHERS, languages=("eng", language)))


@pytest.mark.parametrize(
    ("metadata", "question"),
    [
        ({"source": "The Verge"}, "which verge is the steepest"),
        ({"source": "Wired"}, "is the house wireda or unwired"),
        ({"language": "en"}, "the en dash"),
        ({"visibility": "the"}, "tell me the truth"),
        ({"public": True}, "is it True"),
        ({"weight": 2.5}, "2.5 tons"),
        ({"note": {"text": "pension"}}, "what is the pension age"),
        ({"note": "pension " * 20}, "pension " * 20),
        ({"gate_flags": ["language"]}, "which language is it"),
        ({"published_at": "2023-11-06"}, "November 6"),
        ({"published_at": "2023-13-06"}, "the 6 of 2023"),
        ({"source": "", "author": "!?"}, "who wrote it!?"),
        ({"author": "Ann Field"}, "the field of a magnet"),
        ({"author": ", "}, "Who wrote it"),
        ({"source": "Donald E. Knuth"}, "What did Knuth write about sorting?"),
        ({}, "who wrote it"),
    ],
)
def test_what_names_nothing(metadata: dict[str, Any], question: str) -> None:
    assert not any(rarities(question, metadata, *OTHERS))


def test_values_that_few_passages_have_count_more() -> None:
    rare, common = rarities("The Verge and The Age", {"source": "The Verge"}, *OTHERS)[:2]
    assert rare == pytest.approx(1.0) and 0 < common < 0.1
    assert rarities("The Verge", *[{"source": "The Verge"}] * 30)[0] < 0.02


def test_several_values_add_up_and_equal_ones_count_once() -> None:
    both = {"source": "The Verge", "publisher": "The Verge", "published_at": "2023-11-06"}
    assert rarities("The Verge of 2023-11-06", both, *OTHERS)[0] == pytest.approx(2.0)


def test_only_so_many_values_of_a_passage_are_looked_at() -> None:
    many = {"tags": [f"tag {number}" for number in range(5000)], "source": "The Verge"}
    assert rarities("The Verge", many, *OTHERS)[0] == 0.0
    assert rarities("tag 7", many, *OTHERS)[0] == pytest.approx(1.0)


def test_no_passages_and_one_passage() -> None:
    assert rarities("The Verge") == []
    assert rarities("The Verge", {"source": "The Verge"}) == [pytest.approx(1.0)]


def test_a_language_that_is_not_known_is_passed_over() -> None:
    day = {"published_at": "2023-11-06"}
    assert rarities("on 6 November 2023", day, languages=("zzz", "und", "eng")) == [pytest.approx(1.0)]
