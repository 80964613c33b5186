"""Every check says in words what it asserts and what was observed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sluice.quality import checks, labels
from sluice.quality.labels import _LABELS

CODES = {check.code for suite in checks.SUITES.values() for check in suite}
GATES_PAGE = Path(__file__).resolve().parents[2] / "docs" / "gates.md"


def test_every_check_has_one_label_of_its_own() -> None:
    assert set(_LABELS) == CODES
    assert len({label for label, _ in _LABELS.values()}) == len(CODES)


@pytest.mark.parametrize("code", sorted(CODES))
def test_the_docs_name_each_check_by_its_label(code: str) -> None:
    assert f"| `{code}` | {labels.label(code)} |" in GATES_PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("code", "expectation", "label"),
    [
        ("duplicate_id", "expect_column_values_to_be_unique", "unique document ids"),
        ("wrong_length", "expect_column_values_to_be_between", "embeddings of length 1"),
        ("of_an_older_release", "not_empty", "of an older release"),
        (None, "not_empty", "not empty"),
    ],
)
def test_labels(code: str | None, expectation: str, label: str) -> None:
    assert labels.label(code, expectation) == label


@pytest.mark.parametrize(
    ("success", "blocking", "result"),
    [(True, True, "passed"), (True, False, "passed"), (False, False, "warning"), (False, True, "failed")],
)
def test_only_a_check_that_blocks_can_fail(success: bool, blocking: bool, result: str) -> None:
    assert labels.result(success, blocking) == result


@pytest.mark.parametrize(
    ("code", "observed", "words"),
    [
        ("too_long", 7_200_000.0, "7,200,000 characters"),
        ("empty_text", 0.0, "0 visible characters"),
        ("mojibake", 1.0, "1 place with misread characters"),
        ("binary_text", 0.42, "42% printable characters"),
        ("long_chunk", 1.3, "1.30 times the limit"),
        ("wrong_length", 0.25, "length differs from 1 by 0.25"),
        ("wrong_length", 1e9, "length is not a finite number"),
        ("duplicate_id", None, "another document of the batch has the same id"),
        ("personal_data", {"count": 3, "kinds": {"EMAIL": 2, "CREDIT_CARD": 1}, "at": []}, "2 email, 1 credit card"),
        ("language", {"language": "fra"}, "language: fra"),
        ("language", {"language": None}, "language: not recognised"),
        ("near_duplicate", {"similarity": 0.953, "document_id": "d1"}, "95% the same as document d1"),
        ("of_an_older_release", 1.5, "1.5"),
        ("of_an_older_release", None, "no value"),
        ("of_an_older_release", {"some_count": 2}, "some count: 2"),
        ("of_an_older_release", ["a"], "['a']"),
    ],
)
def test_what_was_observed_in_words(code: str, observed: Any, words: str) -> None:
    assert labels.observed_in_words(code, observed) == words


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_check_has_words_for_any_number(code: str) -> None:
    for observed in (None, 0, 1, 0.5, 1e9):
        assert labels.observed_in_words(code, observed)
