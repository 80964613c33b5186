"""Pooling and batches of sentence encoders, against values computed by hand."""

from __future__ import annotations

import numpy as np

from sluice.adapters.embedders.local import unit_rows
from sluice.adapters.embedders.onnx import batches, first_token_pooling, mean_pooling

# Two texts of three and two tokens, two components each; the last token of the second is padding.
TOKENS = np.array([[[1, 0], [0, 2], [3, 2]], [[2, 0], [0, 4], [99, -99]]], np.float32)
MASK = np.array([[1, 1, 1], [1, 1, 0]], np.int64)


def test_the_mean_leaves_padding_out() -> None:
    # Sums (4, 4) and (2, 4): directions of the means (4/3, 4/3) and (1, 2).
    expected = [[np.sqrt(0.5), np.sqrt(0.5)], [1 / np.sqrt(5), 2 / np.sqrt(5)]]
    np.testing.assert_allclose(unit_rows(mean_pooling(TOKENS, MASK)), expected, atol=1e-7)


def test_the_first_token_stands_for_the_text() -> None:
    before = TOKENS.copy()
    np.testing.assert_allclose(unit_rows(first_token_pooling(TOKENS, MASK)), [[1, 0], [1, 0]], atol=1e-7)
    np.testing.assert_array_equal(TOKENS, before)


def test_batches_are_sorted_by_length_and_bounded_with_their_padding() -> None:
    lengths = np.array([5, 1, 9, 4, 2])
    assert [batch.tolist() for batch in batches(lengths, 8)] == [[1, 4], [3], [0], [2]]
    assert [batch.tolist() for batch in batches(lengths, 10)] == [[1, 4], [3, 0], [2]]


def test_without_a_limit_of_tokens_each_text_is_alone() -> None:
    assert [batch.tolist() for batch in batches(np.array([3, 1, 2]), 0)] == [[1], [2], [0]]
    assert list(batches(np.array([], np.int64), 0)) == []
