"""Passages whose metadata a question names gain, by how few documents have the value."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from sluice.model.passage import Passage
from sluice.retrieval.named_metadata import MOST, named_values

OTHERS: list[dict[str, Any]] = [{"source": "The Age", "tags": ["opinion"]} for _ in range(9)]
DAY = {"published_at": "2023-11-06T22:42:00+00:00"}


def passage(document: int, metadata: dict[str, Any]) -> Passage:
    id = UUID(int=document)
    return Passage(id, id, "a.md", "", "text", 0.5, "file:///a.md", 0, 9, None, (), metadata, 1, 1, id)


def scores(question: str, *all_metadata: dict[str, Any], languages: tuple[str, ...] = ("eng",)) -> list[float]:
    passages = [passage(number, each) for number, each in enumerate(all_metadata)]
    return named_values(passages, question, languages)


@pytest.mark.parametrize(
    ("metadata", "question"),
    [
        ({"source": "The Verge"}, "What did 'The Verge' say of it?"),
        ({"source": "The Verge"}, "what did the verge's reporter say"),
        ({"source": "TechCrunch"}, "TechCrunch reported what?"),
        ({"source": "Polygon"}, "After Polygon reported on it, who agreed?"),
        ({"source": "Cnbc | World Business News Leader"}, "In Cnbc | World business news leader, who?"),
        ({"author": "O\u2019Reilly, Tim"}, "the books of O'Reilly, Tim"),
        ({"author": "Kurt GÖDEL"}, "Was bewies Kurt Go\u0308del?"),
        ({"author": "Kurt Gödel"}, "what did kurt godel prove"),
        ({"city": "İstanbul"}, "the weather in Istanbul"),
        ({"tags": ["tax", "pension age"]}, "what is the pension age"),
        ({"model": "A380"}, "how long is the a380"),
        ({"studio": "20th Century Fox"}, "the films of 20th Century Fox"),
        ({"year": 2024}, "the budget of 2024"),
        ({"publisher": "路透社"}, "据路透社报道，价格是多少？"),
        ({"publisher": "رويترز"}, "ماذا قالت رويترز"),
    ],
)
def test_a_value_that_stands_in_the_question_counts(metadata: dict[str, Any], question: str) -> None:
    first, *others = scores(question, metadata, *OTHERS)
    assert first == pytest.approx(1.0) and not any(others)


@pytest.mark.parametrize(
    ("language", "question"),
    [
        ("eng", "the reports of 2023-11-06"),
        ("eng", "on November 6, 2023, who won?"),
        ("eng", "who won on the 6 november 2023"),
        ("eng", "who won on the 6th of November, 2023?"),
        ("eng", "who won on Nov. 6, 2023?"),
        ("eng", "who won on 11/6/2023 or 6/11/2023"),
        ("deu", "Wer gewann am 6. November 2023?"),
        ("deu", "Wer gewann am 06.11.2023?"),
        ("deu", "Wer gewann am 6.11.2023?"),
        ("fra", "Qui a gagné le 6 novembre 2023 ?"),
        ("spa", "¿Quién ganó el 6 de noviembre de 2023?"),
        ("hun", "Ki nyert 2023. november 6-án?"),
        ("cmn", "2023年11月6日的比赛谁赢了"),
        ("kor", "2023년 11월 6일에 누가 이겼나"),
        ("rus", "Кто победил 6 ноября 2023 года?"),
        ("arb", "من فاز في ٦ نوفمبر ٢٠٢٣"),
    ],
)
def test_days_are_understood_in_the_languages_of_the_collection(language: str, question: str) -> None:
    languages = ("eng", language)
    assert scores(question, DAY, *OTHERS, languages=languages)[0] == pytest.approx(1.0)
    another = {"published_at": "2023-11-07T10:00:00Z"}
    assert not any(scores(question, another, *OTHERS, languages=languages))


def test_abbreviations_of_september() -> None:
    day = {"published_at": "2023-09-06"}
    for question in ("on Sep 6, 2023", "on Sept 6, 2023", "on 6 September 2023"):
        assert scores(question, day, *OTHERS)[0] == pytest.approx(1.0), question


def test_two_days_in_one_question() -> None:
    question = "between the report of 2023-11-24 and that of November 25, 2023"
    days = [{"published_at": f"2023-11-{day}"} for day in (24, 25, 26)]
    assert [score > 0 for score in scores(question, *days, *OTHERS)[:4]] == [True, True, False, False]


@pytest.mark.parametrize(
    ("metadata", "question"),
    [
        ({"source": "The Verge"}, "which verge is the steepest"),
        ({"source": "Wired"}, "is the house Unwired or wired"),
        ({"source": "Fortune"}, "Fortune favours whom? Fortune again"),
        ({"priority": "high"}, "how high is the tower"),
        ({"author": "George Will"}, "Will interest rates rise?"),
        ({"language": "English"}, "the English garden"),
        ({"sheets": ["Data", "Summary"]}, "what is a Data Summary"),
        ({"pages": 404}, "what does error 404 mean"),
        ({"number": 500}, "500 tons"),
        ({"number": 10**5000}, "how many"),
        ({"public": True}, "is it True"),
        ({"weight": 2024.0}, "2024 tons"),
        ({"t": "mit"}, "wie ist das mit dem Urlaub"),
        ({"t": "на"}, "стол На полу"),
        ({"note": {"text": "The Verge"}}, "The Verge"),
        ({"note": "The Verge " * 20}, "The Verge " * 20),
        ({"gate_flags": ["The Verge"]}, "The Verge"),
        (DAY, "November 6"),
        (DAY, "in 2023, 12 people and 6 dogs"),
        ({"published_at": "2023-13-06"}, "the 6 of 13 2023"),
        ({"source": "", "author": "!?", "editor": None, "tags": [[], {}, float("nan")]}, "who wrote it!?"),
        ({}, "who wrote it"),
    ],
)
def test_what_names_nothing(metadata: dict[str, Any], question: str) -> None:
    assert not any(scores(question, metadata, *OTHERS))


def test_values_that_few_documents_have_count_more() -> None:
    rare, common = scores("The Verge and The Age", {"source": "The Verge"}, *OTHERS)[:2]
    assert rare == pytest.approx(1.0) and 0 < common < 0.1
    hours = [{"published_at": f"2023-11-06T{hour:02d}:00Z"} for hour in range(24)]
    assert max(scores("reports of 2023-11-06", *hours)) < 0.02, "of one day, although no two are equal"


def test_passages_of_one_document_count_once() -> None:
    book = [passage(1, {"author": "Donald Knuth"})] * 20
    others = [passage(number, {"author": "Ann Lee"}) for number in range(2, 12)]
    found = named_values([*book, *others], "what did Donald Knuth write", ("eng",))
    assert found == [pytest.approx(1.0)] * 20 + [0.0] * 10


def test_several_values_add_up_and_equal_ones_count_once() -> None:
    both = {"source": "The Verge", "publisher": "the verge", "created": "2023-11-06T10:00Z", "modified": "2023-11-06"}
    assert scores("The Verge of 2023-11-06", both, *OTHERS)[0] == pytest.approx(2.0)
    assert scores("The Verge", both, *OTHERS)[0] == pytest.approx(1.0)


def test_many_keywords_do_not_win() -> None:
    question = "Which Pumps does The Verge recommend for Cellars near the River Rhine in Winter?"
    stuffed = {"tags": question.split(), **{f"field {number}": word for number, word in enumerate(question.split())}}
    assert scores(question, stuffed, *OTHERS)[0] == MOST
    assert scores(question, {"tags": question.split()}, *OTHERS)[0] == pytest.approx(1.0)


def test_only_so_many_values_of_a_document_are_looked_at() -> None:
    many = {"tags": [f"tag {number}" for number in range(5000)], "source": "The Verge"}
    assert scores("The Verge", many, *OTHERS)[0] == 0.0
    assert scores("about tag 7", many, *OTHERS)[0] == pytest.approx(1.0)


def test_no_passages_and_one_passage() -> None:
    assert scores("The Verge") == []
    assert scores("The Verge", {"source": "The Verge"}) == [pytest.approx(1.0)]


def test_a_language_that_is_not_known_is_passed_over() -> None:
    assert scores("on 6 November 2023", DAY, languages=("zzz", "und", "")) == [pytest.approx(1.0)]
