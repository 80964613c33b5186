"""One order from the scores of two retrievers."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pytest

from sluice.model.search import VECTOR_RETRIEVERS, Candidate, Retriever
from sluice.model.weights import DENSE_SHARE
from sluice.retrieval.fusion import Scale, foreign_share


def candidate(number: int, **scores: float) -> Candidate:
    return Candidate(UUID(int=number), scores)


def fused(candidates: Sequence[Candidate], retrievers: Sequence[Retriever] = VECTOR_RETRIEVERS) -> list[Candidate]:
    return Scale.of(candidates, retrievers).fused(candidates)


def order(*candidates: Candidate) -> list[int]:
    return [each.chunk_id.int for each in fused(candidates)]


def test_both_retrievers_are_on_one_scale() -> None:
    """BM25's scores are tens of times those of cosines; neither decides alone."""
    best_of_both, by_words, by_meaning = (
        candidate(1, dense=0.6, sparse=20.0),
        candidate(2, dense=0.1, sparse=24.0),
        candidate(3, dense=0.7, sparse=1.0),
    )
    assert order(by_words, by_meaning, best_of_both)[0] == 1
    result = fused([by_words, by_meaning, best_of_both])
    share = DENSE_SHARE
    assert result[0].score == pytest.approx(share * (0.6 - 0.1) / (0.7 - 0.1) + (1 - share) * 20 / 24)


def test_no_word_of_the_question_is_the_lowest_score_of_bm25() -> None:
    nothing, little, much = (
        candidate(1, dense=0.5),
        candidate(2, dense=0.5, sparse=1.0),
        candidate(3, sparse=9.0, dense=0),
    )
    result = {each.chunk_id.int: each.score for each in fused([nothing, little, much])}
    assert result == pytest.approx({1: DENSE_SHARE, 2: DENSE_SHARE + (1 - DENSE_SHARE) / 9, 3: 1 - DENSE_SHARE})


def test_a_retriever_that_tells_nothing_leaves_the_order_to_the_other() -> None:
    assert order(candidate(1, dense=0.3), candidate(2, dense=0.4)) == [2, 1]
    assert order(candidate(1, dense=0.4, sparse=2.0), candidate(2, dense=0.4, sparse=3.0)) == [2, 1]


@pytest.mark.parametrize("retriever", VECTOR_RETRIEVERS)
def test_one_retriever_alone_keeps_its_order(retriever: Retriever) -> None:
    result = fused([candidate(n, **{retriever: n / 10}) for n in (1, 3, 2)], (retriever,))
    assert [each.chunk_id.int for each in result] == [3, 2, 1]
    assert result[0].score == 1


def test_candidates_that_links_lead_to_are_scored_on_the_same_scale() -> None:
    scale = Scale.of([candidate(1, dense=0.2, sparse=8.0), candidate(2, dense=0.6)], VECTOR_RETRIEVERS)
    below, half = scale.fused([candidate(3, dense=0.4, sparse=4.0), candidate(4, dense=0.0)])[::-1]
    assert half.score == pytest.approx(0.5)
    assert below.score < 0


def test_equal_scores_are_ordered_by_id() -> None:
    assert order(*(candidate(n, dense=0.5, sparse=1.0) for n in (3, 1, 2))) == [1, 2, 3]
    assert order() == []


def test_a_passage_that_was_deleted_meanwhile_is_left_out() -> None:
    """The two requests of a query see the index one after the other."""
    assert order(candidate(1, sparse=9.0), candidate(2, dense=0.4, sparse=3.0)) == [2]


@pytest.mark.parametrize(
    ("embedder", "question", "less"),
    [
        ("minilm", "من هو رئيس الوزراء؟", True),
        ("minilm", "谁是总理 2026?", True),
        ("bge-small", "Кто премьер-министр?", True),
        ("minilm", "Wer führt die Regierung?", False),
        ("minilm", "Who leads 中国?", False),
        ("minilm", "2026?", False),
        ("openai:multilingual", "谁是总理?", False),
        ("hash:64", "谁是总理?", False),
    ],
)
def test_similarities_of_an_english_embedder_count_less_in_other_scripts(
    embedder: str, question: str, less: bool
) -> None:
    share = foreign_share(embedder, question)
    assert (share is not None and share < DENSE_SHARE) is less
