"""docs/api.md holds what it promises: its bodies are accepted, its filters can be, its table of filters is complete."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from sluice.adapters.rerankers.endpoint import DIALECTS
from sluice.api.limits import FORM_TIMEOUT_S, MAX_BODY_BYTES, MAX_UPLOAD_BYTES
from sluice.api.schemas import Reason, SearchAnswer, SearchBody
from sluice.model.filters import MAX_COMPARED_CHARS, MAX_VALUES, parse_filters
from sluice.model.search import DEGRADATIONS
from sluice.retrieval.arranging import DIVERSE_POOL
from sluice.retrieval.near_duplicates import SIMILAR
from sluice.retrieval.neighbours import MAX_CONTEXT, MAX_SIDE_CHARS
from sluice.retrieval.relevance import RELEVANCE_FLOORS
from sluice.retrieval.searching import MAX_QUERY_CHARS, MAX_TOP_K
from sluice.settings import Settings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
BODIES = [*re.findall(r"^```json\n(.*?)^```", PAGE, re.M | re.S), *re.findall(r"-d '(\{.*?\})'", PAGE)]
FILTERS = re.findall(r"^\| [a-z ]+ \| `(\{.*?\})` \|", PAGE, re.M)
DECLARED = Settings.model_fields["filter_fields"].default.split(",")


def test_there_are_examples() -> None:
    assert (len(BODIES), len(FILTERS)) == (5, 6)


@pytest.mark.parametrize("body", BODIES)
def test_bodies_of_searches_are_accepted(body: str) -> None:
    search = SearchBody.model_validate_json(body)
    assert search.query and search.collection
    assert [condition.field for condition in parse_filters(search.filters, DECLARED)] == list(search.filters)


@pytest.mark.parametrize("filters", FILTERS)
def test_filters_can_be(filters: str) -> None:
    assert parse_filters(json.loads(filters), DECLARED)


def test_every_field_of_a_search_is_told() -> None:
    table = PAGE.partition("| field | default | meaning |")[2].partition("\n\n")[0]
    assert set(SearchBody.model_fields) == set(re.findall(r"^\| `([a-z_]+)` \|", table, re.M))


def test_every_reason_and_reranker_is_told() -> None:
    codes = get_args(Reason.model_fields["code"].annotation)
    assert {*codes} <= set(re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.M))
    for kind in ("off", "onnx:<folder>", *(f"{name}:<model>" for name in ("cohere", "jina")), *DIALECTS):
        assert f"`{kind}" in PAGE
    settings = Settings.model_fields
    assert f"`SLUICE_RERANKER_CANDIDATES` ({settings['reranker_candidates'].default})" in PAGE
    assert f"`SLUICE_RERANKER_TIMEOUT_S` ({settings['reranker_timeout_s'].default:g} s)" in PAGE
    assert f"0 to {MAX_CONTEXT} neighbouring chunks" in PAGE
    assert f"at most {MAX_SIDE_CHARS:,} characters" in PAGE
    assert f"the best {DIVERSE_POOL} passages" in PAGE
    assert f"{SIMILAR:.0%} of".replace("%", " %") in PAGE
    assert f"more than {MAX_COMPARED_CHARS} characters" in PAGE


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
