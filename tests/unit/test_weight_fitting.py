"""Weights are fitted to questions, and judged by those that were left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sluice.model.weights import DEFAULT, Weights
from sluice.retrieval.judged_candidates import JudgedCandidates
from sluice.retrieval.similar_passages import resemblance
from sluice.retrieval.weight_fitting import fit

RANDOM = np.random.default_rng(0)


def question(answer_by: str, passages: int = 20, dense_share: float | None = None) -> JudgedCandidates:
    """One relevant document among `passages`: first by this score, anywhere by the others."""
    scores = {name: RANDOM.random(passages) for name in ("dense", "sparse")}
    answer = int(np.argmax(scores[answer_by]))
    return JudgedCandidates(
        **scores,
        graph=np.zeros(passages),
        pairs=np.zeros(passages),
        metadata=np.zeros(passages),
        resemblance=np.zeros((passages, passages)),
        documents=np.arange(passages),
        gains=(np.arange(passages) == answer).astype(float),
        ideal=1.0,
        dense_share=dense_share,
    )


@pytest.mark.parametrize("answer_by", ["dense", "sparse"])
def test_the_better_retriever_gets_the_greater_share(answer_by: str) -> None:
    found = fit([question(answer_by) for _ in range(60)], DEFAULT)
    assert (found.weights.dense > 0.6) is (answer_by == "dense")
    assert found.gain > 0.1 and found.p < 0.01


def test_chance_is_no_gain() -> None:
    """The best weights for these questions say nothing of further ones."""
    either = [question("dense" if RANDOM.random() < 0.55 else "sparse") for _ in range(40)]
    shuffled = [replace(each, gains=RANDOM.permutation(each.gains)) for each in either]
    assert fit(shuffled, DEFAULT).p > 0.05


def test_similar_passages_count_where_answers_are_alike() -> None:
    """Of ten relevant passages each retriever finds half; they resemble each other."""
    questions = []
    for _ in range(40):
        vectors = RANDOM.normal(size=(40, 16)).astype(np.float32)
        vectors[:10] += 3
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        dense, sparse = RANDOM.random(40), RANDOM.random(40)
        dense[:5] += 0.5
        sparse[5:10] += 0.5
        gains = (np.arange(40) < 10).astype(float)
        ideal = float((1 / np.log2(np.arange(2, 12))).sum())
        zeros = np.zeros(40)
        questions.append(
            JudgedCandidates(dense, sparse, zeros, zeros, zeros, resemblance(vectors), np.arange(40), gains, ideal)
        )
    found = fit(questions, DEFAULT)
    assert found.weights.resemblance > 0.3 and found.gain > 0.05 and found.p < 0.01


def test_a_document_ranks_as_its_best_passage() -> None:
    zeros = np.zeros(3)
    found = JudgedCandidates(
        np.array([1.0, 0.9, 0.1]),
        zeros,
        zeros,
        zeros,
        zeros,
        np.zeros((3, 3)),
        np.array([0, 0, 1]),
        np.array([0.0, 0.0, 1.0]),
        1.0,
    )
    assert found.ndcg(Weights()) == pytest.approx(1 / np.log2(3))


def test_a_fixed_share_is_not_fitted() -> None:
    fixed = question("sparse", dense_share=0.0)
    assert fixed.ndcg(Weights(dense=1.0)) == fixed.ndcg(Weights(dense=0.0)) == 1.0
