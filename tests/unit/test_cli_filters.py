"""`sluice search --filter`: JSON or text."""

from __future__ import annotations

import pytest
import typer

from sluice.cli import documents


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("year=7", ("year", 7)),
        ("name=seven", ("name", "seven")),
        ('year={"gte": 7}', ("year", {"gte": 7})),
        ('year={"none": [7, "a"], "exists": true}', ("year", {"none": [7, "a"], "exists": True})),
        ("year=[]", ("year", [])),
    ],
)
def test_a_filter_is_json_or_text(text: str, result: tuple[str, object]) -> None:
    assert documents._filter(text) == result


@pytest.mark.parametrize("text", ["year={gte: 7}", "year=[1, 2", 'name="seven', "year"])
def test_a_filter_that_is_neither_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        documents._filter(text)
