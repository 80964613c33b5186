"""What is expected of a document, in one place. A reason says what to do, and never quotes the text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sluice.errors import BadRequest

SUITE_NAME = "documents"

_BETWEEN = "expect_column_values_to_be_between"
_NOT_NULL = "expect_column_values_to_not_be_null"
_UNIQUE = "expect_column_values_to_be_unique"


@dataclass(frozen=True, slots=True)
class Check:
    code: str  # stable: quarantine records carry it
    expectation: str
    column: str  # of `features.features`
    blocking: bool
    reason: str  # {limit} is filled in
    bound: str = ""  # min_value or max_value, where the expectation takes one
    limit: float | None = None


DOCUMENTS = (
    Check(
        "duplicate_id",
        _UNIQUE,
        "document_id",
        True,
        "The batch holds this document twice. Run the ingest again; if it comes back, report it with the run's id.",
    ),
    Check(
        "empty_text",
        _BETWEEN,
        "visible_chars",
        True,
        "No text was found in it. If it is a scan, run it through OCR; if it is empty, fill it or remove it.",
        "min_value",
        1,
    ),
    Check(
        "too_long",
        _BETWEEN,
        "chars",
        True,
        "Its text is longer than {limit:,} characters. Split it into several documents, or raise the limit.",
        "max_value",
        5_000_000,
    ),
    Check(
        "no_type",
        _NOT_NULL,
        "mime",
        True,
        "Its type could not be told. Give the file the extension that fits its content.",
    ),
    Check(
        "binary_text",
        _BETWEEN,
        "printable_share",
        True,
        "Less than {limit:.0%} of it are printable characters: it is binary, or a PDF whose fonts do not say which "
        "letters they draw. Export it again as text, DOCX or searchable PDF.",
        "min_value",
        0.90,
    ),
    Check(
        "wrong_encoding",
        _BETWEEN,
        "replacement_share",
        True,
        "More than {limit:.0%} of it are replacement characters: it was saved in another encoding than it says. Save "
        "it as UTF-8.",
        "max_value",
        0.05,
    ),
    Check(
        "unbroken_text",
        _BETWEEN,
        "unbroken_share",
        True,
        "More than {limit:.0%} of it is one run of letters without a space: it is encoded or compressed data. Decode "
        "it first, or exclude it.",
        "max_value",
        0.5,
    ),
    Check(
        "repeated_text",
        _BETWEEN,
        "repeated_share",
        True,
        "More than {limit:.0%} of it is one and the same character: it is filling, not text. Export it again, or "
        "exclude it.",
        "max_value",
        0.9,
    ),
    Check("no_title", _NOT_NULL, "title", False, "It has no title; citations will show its name."),
    Check(
        "some_replacements",
        _BETWEEN,
        "replacement_share",
        False,
        "A few characters were lost to a wrong encoding. Save it as UTF-8.",
        "max_value",
        0.001,
    ),
    Check(
        "few_letters",
        _BETWEEN,
        "letter_share",
        False,
        "Less than {limit:.0%} of it are letters or digits; searches may not find it.",
        "min_value",
        0.5,
    ),
)


def with_overrides(overrides: Mapping[str, Any], checks: tuple[Check, ...] = DOCUMENTS) -> tuple[Check, ...]:
    """The suite with other limits, or without the checks whose limit is None. Raises BadRequest."""
    known = {check.code: check for check in checks}
    for code, limit in overrides.items():
        if code not in known:
            raise BadRequest(f"The gate has no check {code!r}. It has: {', '.join(known)}.")
        numeric = isinstance(limit, int | float) and not isinstance(limit, bool)
        if limit is not None and not (known[code].bound and numeric):
            takes = "a number or None" if known[code].bound else "None only"
            raise BadRequest(f"Check {code!r} takes {takes}, not {limit!r}.")
    return tuple(
        replace(check, limit=overrides.get(check.code, check.limit))
        for check in checks
        if not (check.code in overrides and overrides[check.code] is None)
    )
