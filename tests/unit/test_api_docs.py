"""docs/api.md holds what it promises: its bodies are accepted, its filters can be, its table of filters is complete."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sluice.api.limits import FORM_TIMEOUT_S, MAX_BODY_BYTES, MAX_UPLOAD_BYTES
from sluice.api.schemas import SearchAnswer, SearchBody
from sluice.errors import BadRequest
from sluice.model.filters import MAX_VALUES, parse_filters
from sluice.model.search import DEGRADATIONS
from sluice.retrieval.relevance import RELEVANCE_FLOORS
from sluice.retrieval.searching import MAX_QUERY_CHARS, MAX_TOP_K
from sluice.settings import Settings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
BODIES = [*re.findall(r"^```json\n(.*?)^```", PAGE, re.M | re.S), *re.findall(r"-d '(\{.*?\})'", PAGE)]
FILTERS = re.findall(r"^\| [a-z ]+ \| `(\{.*?\})` \|", PAGE, re.M)
DECLARED = Settings.model_fields["filter_fields"].default.split(",")


def test_there_are_examples() -> None:
    assert (len(BODIES), len(FILTERS)) == (4, 4)


@pytest.mark.parametrize("body", BODIES)
def test_bodies_of_searches_are_accepted(body: str) -> None:
    search = SearchBody.model_validate_json(body)
    assert search.query and search.collection
    assert [condition.field for condition in parse_filters(search.filters, DECLARED)] == list(search.filters)


@pytest.mark.parametrize("filters", FILTERS)
def test_filters_can_be(filters: str) -> None:
    assert parse_filters(json.loads(filters), DECLARED)


@pytest.mark.parametrize("wanted", [{"none": ["en"]}, {"exists": True}, []])
def test_what_is_not_in_this_release_is_refused(wanted: Any) -> None:
    with pytest.raises(BadRequest):
        parse_filters({"language": wanted}, ["language"])


def test_every_field_of_a_search_is_told() -> None:
    output = set(re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.M))
    assert set(SearchBody.model_fields) == output


def test_every_word_of_a_degraded_search_is_told() -> None:
    section = PAGE.partition("### When a dependency is down")[2].partition("## Filters")[0]
    assert {word for word in DEGRADATIONS if f"`{word}`" not in section} == set()


def test_the_limits_are_those_of_the_code() -> None:
    for text in (
        f"1 to {MAX_QUERY_CHARS:,} characters",
        f"1 to {MAX_TOP_K}",
        f"1 to {MAX_VALUES} values",
        f"{MAX_BODY_BYTES // 1024} KiB",
        f"{MAX_UPLOAD_BYTES // 1024**2} MiB",
        f"{FORM_TIMEOUT_S:.0f} s",
        f"{RELEVANCE_FLOORS['minilm']:.2f} for `minilm`, {RELEVANCE_FLOORS['wordllama']:.2f} for `wordllama`",
    ):
        assert text in PAGE, text
    assert f"minilm {RELEVANCE_FLOORS['minilm']:.2f}, wordllama {RELEVANCE_FLOORS['wordllama']:.2f}" in str(
        SearchAnswer.model_fields["nothing_relevant"].description
    )
