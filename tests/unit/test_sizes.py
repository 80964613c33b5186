"""Sizes in words."""

from __future__ import annotations

import pytest

from sluice.model.sizes import size_in_words


@pytest.mark.parametrize(
    ("size_bytes", "words"), [(0, "0 bytes"), (999, "999 bytes"), (1_234_567, "1.2 MB"), (10**16, "10000.0 TB")]
)
def test_sizes_in_words(size_bytes: int, words: str) -> None:
    assert size_in_words(size_bytes) == words
