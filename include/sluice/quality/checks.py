"""The suites: all checks of documents, chunks, vectors and retrieval. A reason says what to do and quotes no text.

A collection may change each check: see `gate_rules`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sluice.errors import BadRequest
from sluice.model.gates import GateAction
from sluice.model.spelling import unknown_names
from sluice.quality.language import LANGUAGES

_BETWEEN = "expect_column_values_to_be_between"
_EXACT_TYPES = ("EMAIL", "PHONE", "CREDIT_CARD", "IBAN", "US_SSN", "IP_ADDRESS")
# The others by a language model, at several milliseconds a page and often wrong: only at the request of a collection.
PERSONAL_TYPES = (*_EXACT_TYPES, "PERSON", "LOCATION", "ORGANIZATION", "NRP")


@dataclass(frozen=True, slots=True)
class Check:
    code: str  # stable and unique over all suites: quarantine records store it
    expectation: str
    column: str  # of `document_features`, `chunk_features` or `vector_features`
    action: GateAction
    reason: str  # {limit} is filled in
    bound: str = ""  # min_value or max_value, where the expectation takes one
    limit: float | None = None
    limits: tuple[float, float] = (-math.inf, math.inf)  # that a rule may set
    masks: bool = False  # whether its findings can be replaced by placeholders
    options: tuple[str, ...] = ()  # the kinds that it looks for
    known: tuple[str, ...] = ()  # the kinds that it supports; empty: any

    @property
    def blocking(self) -> bool:
        return self.action == "block"


_BROKEN = "This is a defect of Sluice, not of the document: report it with the run's id. The served version stays."
# Code → what the owner of a document that fails the check reads; {limit} is filled in.
_REASONS = {
    "duplicate_id": (
        "The batch contains this document twice. Run the ingest again; if this recurs, report it with the run's id."
    ),
    "empty_text": "No text was found in it. If it is a scan, run it through OCR; if it is empty, fill it or remove it.",
    "too_long": "Its text is longer than {limit:,} characters. Split it into several documents, or raise the limit.",
    "no_type": "Its type could not be determined. Give the file the extension that fits its content.",
    "binary_text": (
        "Less than {limit:.0%} of its characters are printable: it is binary, or a PDF whose fonts do not map to "
        "letters. Export it again as text, DOCX or searchable PDF."
    ),
    "wrong_encoding": (
        "More than {limit:.0%} of its characters are replacement characters: it was not saved in the encoding that it "
        "declares. Save it as UTF-8."
    ),
    "unbroken_text": (
        "More than {limit:.0%} of it is one run of letters without a space: it is encoded or compressed data. Decode "
        "it first, or exclude it."
    ),
    "repeated_text": (
        "More than {limit:.0%} of it is the same character: it is padding, not text. Export it again, or exclude it."
    ),
    "no_title": "It has no title; citations show its name.",
    "metadata_cut": (
        "Title or metadata exceeded its limit and was cut; `metadata_cut` in its metadata says where. Correct the "
        "source."
    ),
    "some_replacements": "Some characters were lost by a wrong encoding and replaced by U+FFFD. Save it as UTF-8.",
    "mojibake": (
        "Some of its text was once decoded with a wrong charset (ü became Ã¼), so searches for the correct words do "
        "not find it. Save its source again as UTF-8."
    ),
    "few_letters": "Less than {limit:.0%} of its characters are letters or digits; searches may not find it.",
    "recovered_text": (
        "Its parser left out more than {limit:,} words. A plain extraction added them, perhaps at the end of its text "
        "or without their layout. If that matters, save it again with another program."
    ),
    "personal_data": (
        "It contains personal data (the gate's rows show how much and where). Remove it, or let the gate mask it."
    ),
    "secrets": (
        "It seems to contain a password, token or private key (the gate's rows show where). Revoke it, then remove it "
        "from the source."
    ),
    "language": "It is in another language than this collection expects. Exclude it, or add its language to the gate.",
    "near_duplicate": (
        "It is more than {limit:.0%} the same as an earlier document (see the gate's rows). Exclude one of them."
    ),
    "boilerplate": (
        "More than {limit:.0%} of it is in lines that other documents of its batch repeat: navigation, notices, "
        "licence headers. Extract the main text only, or exclude it."
    ),
    "duplicate_chunk": f"Two of its chunks have the same id. {_BROKEN}",
    "blank_chunk": f"One of its chunks is blank. {_BROKEN}",
    "wrong_offsets": f"The offsets of a chunk do not lead to its text. {_BROKEN}",
    "wrong_order": f"Its chunks are not numbered 0, 1, 2, … {_BROKEN}",
    "long_chunk": (
        "One of its chunks is longer than the collection's chunker allows; the embedder would cut it. Report it with "
        "the run's id, or raise the limit (1 is the chunker's)."
    ),
    "lost_text": f"More than {{limit:,}} characters of it are in no chunk. {_BROKEN}",
    "wrong_dimension": (
        "The dimension of a vector differs from the collection's. Check the embedder, then run it again."
    ),
    "wrong_length": "A vector is not finite or not of length 1. Check the embedder, then run it again.",
    "constant_vector": (
        "All components of a vector are equal, so it has no meaning. Check the embedder, then run it again."
    ),
    "wrong_terms": f"A sparse vector has weights that are not positive numbers. {_BROKEN}",
    "shared_vector": (
        "More than {limit:.0%} of the texts of its batch, or ten of them, have the same vector: the embedder ignores "
        "their content. Check its model or endpoint; the next run computes the vectors again."
    ),
    "same_vector": "Different texts of the batch have the same vector; the embedder may not distinguish them.",
    "no_terms": "A chunk has letters but no search terms (only stopwords): only dense search finds it.",
    "quality_drop": (
        "The nDCG@10 of a golden set is more than {limit:g} below that of the last evaluation that passed. Look at "
        "what changed since; if the new level is right, evaluate again with accept_drop."
    ),
}


def _at_most(code: str, column: str, limit: float, action: GateAction, **options: Any) -> Check:
    """Checks that no value of the column exceeds the limit."""
    return Check(code, _BETWEEN, column, action, _REASONS[code], "max_value", limit, **options)


def _at_least(code: str, column: str, limit: float, action: GateAction) -> Check:
    """Checks that no value of the column is below the limit."""
    return Check(code, _BETWEEN, column, action, _REASONS[code], "min_value", limit)


def _present(code: str, column: str, action: GateAction) -> Check:
    """Checks that every row has a value in the column."""
    return Check(code, "expect_column_values_to_not_be_null", column, action, _REASONS[code])


def _unique(code: str, column: str) -> Check:
    """Checks that no two rows have the same value in the column."""
    return Check(code, "expect_column_values_to_be_unique", column, "block", _REASONS[code])


DOCUMENTS = (
    _unique("duplicate_id", "document_id"),
    _at_least("empty_text", "visible_chars", 1, "block"),
    _at_most("too_long", "chars", 5_000_000, "block"),
    _present("no_type", "mime", "block"),
    _at_least("binary_text", "printable_share", 0.9, "block"),
    _at_most("wrong_encoding", "replacement_share", 0.05, "block"),
    _at_most("unbroken_text", "unbroken_share", 0.5, "block"),
    _at_most("repeated_text", "repeated_share", 0.9, "block"),
    _present("no_title", "title", "flag"),
    _at_most("metadata_cut", "metadata_cut", 0, "flag"),
    _at_most("some_replacements", "replacements", 0, "flag"),
    _at_most("mojibake", "mojibake", 0, "flag"),
    _at_least("few_letters", "letter_share", 0.5, "flag"),
    _at_most("recovered_text", "words_recovered", 100, "flag"),
    _at_most("personal_data", "personal_data", 0, "flag", masks=True, options=_EXACT_TYPES, known=PERSONAL_TYPES),
    _at_most("secrets", "secrets", 0, "mask", masks=True),
    _at_most("language", "other_language", 0, "off", options=("eng",), known=LANGUAGES),
    _at_most("near_duplicate", "similarity", 0.9, "flag"),
    _at_most("boilerplate", "boilerplate_share", 0.5, "flag"),
)
CHUNKS = (
    _unique("duplicate_chunk", "chunk_id"),
    _at_least("blank_chunk", "visible_chars", 1, "block"),
    _at_most("wrong_offsets", "wrong_offsets", 0, "block"),
    _at_most("wrong_order", "wrong_order", 0, "block"),
    _at_most("long_chunk", "size_share", 1, "block"),
    _at_most("lost_text", "uncovered_chars", 0, "block"),
)
VECTORS = (
    _at_most("wrong_dimension", "wrong_dimension", 0, "block"),
    _at_most("wrong_length", "length_error", 1e-3, "block"),
    _at_least("constant_vector", "spread", 1e-9, "block"),
    _at_most("wrong_terms", "wrong_terms", 0, "block"),
    _at_most("shared_vector", "shared_share", 0.5, "block"),
    _at_most("same_vector", "same_vector", 0, "flag"),
    _at_most("no_terms", "no_terms", 0, "flag"),
)

# Of evaluations, not of batches: `maintenance.evaluation` makes this check, without Great Expectations.
RETRIEVAL = (
    Check(
        "quality_drop",
        "expect_column_mean_to_be_between",
        "ndcg_drop",
        "flag",
        _REASONS["quality_drop"],
        "max_value",
        0.02,
        limits=(0.0, 1.0),
    ),
)

SUITES: dict[str, tuple[Check, ...]] = {
    "documents": DOCUMENTS,
    "chunks": CHUNKS,
    "vectors": VECTORS,
    "retrieval": RETRIEVAL,
}


def check_of(code: str) -> Check:
    """Raises BadRequest that names the nearest code and lists all."""
    return next(check for check in SUITES[suite_of(code)] if check.code == code)


def suite_of(code: str) -> str:
    """Raises BadRequest that names the nearest code and lists all."""
    suites = {check.code: suite for suite, checks in SUITES.items() for check in checks}
    if unknown := unknown_names([code], suites, "check"):
        raise BadRequest(unknown)
    return suites[code]
