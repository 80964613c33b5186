"""Metadata that others wrote: within bounds when it is stored, and without our own flags."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluice.model.metadata import CUT, MAX_BYTES, RECOVERED, checked, cleaned, described
from sluice.model.records import parse_record


def size(metadata: dict[str, Any]) -> int:
    return len(json.dumps(metadata, ensure_ascii=False).encode())


@pytest.mark.parametrize("rest", range(0, 60, 3))
def test_what_was_cut_is_listed_within_the_bounds(rest: int) -> None:
    metadata = {
        "\u00fc" * 150: "x" * (MAX_BYTES // 2 - rest),
        "b": "x" * (MAX_BYTES // 2 - 400),
        **{f"{'n' * 90}{place}": float("nan") for place in range(30)},
    }
    result = cleaned(metadata)
    assert size(result) <= MAX_BYTES and result[CUT] and "b" in result
    _, again = described("t" * 2000, {**result, "c": "\0"})
    assert size(again) <= MAX_BYTES and again[CUT][: len(result[CUT])] == result[CUT]


def test_a_title_that_was_cut_is_listed_within_the_bounds() -> None:
    metadata = {"a": "x" * (MAX_BYTES - 20 - 9), "b": 1}
    assert cleaned(metadata) == metadata
    title, result = described("t" * 2000, metadata)
    assert title == "t" * 1000 and size(result) <= MAX_BYTES and result == {"b": 1, CUT: ["title", "a"]}


def test_nothing_else_is_left_out() -> None:
    metadata = {"a": "x" * (MAX_BYTES // 2), "b": "y" * (MAX_BYTES // 2 - 18)}
    assert size(metadata) == MAX_BYTES and cleaned(metadata) == metadata
    assert cleaned({**metadata, "c": 1}) == {"b": metadata["b"], "c": 1, CUT: ["a"]}


@pytest.mark.parametrize("own", [CUT, RECOVERED])
def test_nobody_else_sets_our_flags(own: str) -> None:
    with pytest.raises(ValueError, match=f"metadata.{own}: Sluice sets this key itself"):
        checked({own: 1})
    with pytest.raises(ValueError, match="itself"):
        parse_record(json.dumps({"_id": "a", "text": "b", own: ["x"]}).encode())
    assert checked({"a": {own: 1}}) == {"a": {own: 1}}
