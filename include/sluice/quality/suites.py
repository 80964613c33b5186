"""The suites: all checks of documents, chunks and vectors. A reason says what to do and never quotes the text.

A collection may change each check: see `rules`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sluice.errors import BadRequest
from sluice.model.gates import GateAction
from sluice.quality.language import LANGUAGES

_BETWEEN = "expect_column_values_to_be_between"
_NOT_NULL = "expect_column_values_to_not_be_null"
_UNIQUE = "expect_column_values_to_be_unique"
PERSONAL_TYPES = (
    "EMAIL",
    "PHONE",
    "CREDIT_CARD",
    "IBAN",
    "US_SSN",
    "IP_ADDRESS",
    # By a language model, at several milliseconds a page and often wrong: only at the request of a collection.
    "PERSON",
    "LOCATION",
    "ORGANIZATION",
    "NRP",
)


@dataclass(frozen=True, slots=True)
class Check:
    code: str  # stable and unique over all suites: quarantine records store it
    expectation: str
    column: str  # of `features`, `chunks` or `vectors`
    action: GateAction
    reason: str  # {limit} is filled in
    bound: str = ""  # min_value or max_value, where the expectation takes one
    limit: float | None = None
    masks: bool = False  # whether its findings can be replaced by placeholders
    options: tuple[str, ...] = ()  # the kinds that it looks for
    known: tuple[str, ...] = ()  # the kinds that it supports; empty: any

    @property
    def blocking(self) -> bool:
        return self.action == "block"


_CUT = (
    "Title or metadata exceeded its limit and was cut; `metadata_cut` in its metadata says where. Correct the source."
)
_SHARED = (
    "More than {limit:.0%} of the texts of its batch, or ten of them, have the same vector: the embedder ignores their "
    "content. Check its model or endpoint; the next run computes the vectors again."
)

DOCUMENTS = (
    Check(
        "duplicate_id",
        _UNIQUE,
        "document_id",
        "block",
        "The batch contains this document twice. Run the ingest again; if this recurs, report it with the run's id.",
    ),
    Check(
        "empty_text",
        _BETWEEN,
        "visible_chars",
        "block",
        "No text was found in it. If it is a scan, run it through OCR; if it is empty, fill it or remove it.",
        "min_value",
        1,
    ),
    Check(
        "too_long",
        _BETWEEN,
        "chars",
        "block",
        "Its text is longer than {limit:,} characters. Split it into several documents, or raise the limit.",
        "max_value",
        5_000_000,
    ),
    Check(
        "no_type",
        _NOT_NULL,
        "mime",
        "block",
        "Its type could not be determined. Give the file the extension that fits its content.",
    ),
    Check(
        "binary_text",
        _BETWEEN,
        "printable_share",
        "block",
        "Less than {limit:.0%} of its characters are printable: it is binary, or a PDF whose fonts do not map to "
        "letters. Export it again as text, DOCX or searchable PDF.",
        "min_value",
        0.90,
    ),
    Check(
        "wrong_encoding",
        _BETWEEN,
        "replacement_share",
        "block",
        "More than {limit:.0%} of its characters are replacement characters: it was not saved in the encoding that it "
        "declares. Save it as UTF-8.",
        "max_value",
        0.05,
    ),
    Check(
        "unbroken_text",
        _BETWEEN,
        "unbroken_share",
        "block",
        "More than {limit:.0%} of it is one run of letters without a space: it is encoded or compressed data. Decode "
        "it first, or exclude it.",
        "max_value",
        0.5,
    ),
    Check(
        "repeated_text",
        _BETWEEN,
        "repeated_share",
        "block",
        "More than {limit:.0%} of it is the same character: it is padding, not text. Export it again, or exclude it.",
        "max_value",
        0.9,
    ),
    Check("no_title", _NOT_NULL, "title", "flag", "It has no title; citations show its name."),
    Check("metadata_cut", _BETWEEN, "metadata_cut", "flag", _CUT, "max_value", 0),
    Check(
        "some_replacements",
        _BETWEEN,
        "replacements",
        "flag",
        "Some characters were lost by a wrong encoding and replaced by U+FFFD. Save it as UTF-8.",
        "max_value",
        0,
    ),
    Check(
        "mojibake",
        _BETWEEN,
        "mojibake",
        "flag",
        "Some of its text was once decoded with a wrong charset (ü became Ã¼), so searches for the correct words do "
        "not find it. Save its source again as UTF-8.",
        "max_value",
        0,
    ),
    Check(
        "few_letters",
        _BETWEEN,
        "letter_share",
        "flag",
        "Less than {limit:.0%} of its characters are letters or digits; searches may not find it.",
        "min_value",
        0.5,
    ),
    Check(
        "recovered_text",
        _BETWEEN,
        "words_recovered",
        "flag",
        "Its parser left out more than {limit:,} words. A plain extraction added them, perhaps at the end of its text "
        "or without their layout. If that matters, save it again with another program.",
        "max_value",
        100,
    ),
    Check(
        "personal_data",
        _BETWEEN,
        "personal_data",
        "flag",
        "It contains personal data (the gate's rows show how much and where). Remove it, or let the gate mask it.",
        "max_value",
        0,
        masks=True,
        options=("EMAIL", "PHONE", "CREDIT_CARD", "IBAN", "US_SSN", "IP_ADDRESS"),
        known=PERSONAL_TYPES,
    ),
    Check(
        "secrets",
        _BETWEEN,
        "secrets",
        "mask",
        "It seems to contain a password, token or private key (the gate's rows show where). Revoke it, then remove it "
        "from the source.",
        "max_value",
        0,
        masks=True,
    ),
    Check(
        "language",
        _BETWEEN,
        "other_language",
        "off",
        "It is in another language than this collection expects. Exclude it, or add its language to the gate.",
        "max_value",
        0,
        options=("eng",),
        known=LANGUAGES,
    ),
    Check(
        "near_duplicate",
        _BETWEEN,
        "similarity",
        "flag",
        "It is more than {limit:.0%} the same as an earlier document (see the gate's rows). Exclude one of them.",
        "max_value",
        0.9,
    ),
    Check(
        "boilerplate",
        _BETWEEN,
        "boilerplate_share",
        "flag",
        "More than {limit:.0%} of it is in lines that other documents of its batch repeat: navigation, notices, "
        "licence headers. Extract the main text only, or exclude it.",
        "max_value",
        0.5,
    ),
)

_BROKEN = "This is a defect of Sluice, not of the document: report it with the run's id. The served version stays."

CHUNKS = (
    Check("duplicate_chunk", _UNIQUE, "chunk_id", "block", f"Two of its chunks have the same id. {_BROKEN}"),
    Check("blank_chunk", _BETWEEN, "visible_chars", "block", f"One of its chunks is blank. {_BROKEN}", "min_value", 1),
    Check(
        "wrong_offsets",
        _BETWEEN,
        "wrong_offsets",
        "block",
        f"The offsets of a chunk do not lead to its text. {_BROKEN}",
        "max_value",
        0,
    ),
    Check(
        "wrong_order",
        _BETWEEN,
        "wrong_order",
        "block",
        f"Its chunks are not numbered 0, 1, 2, … {_BROKEN}",
        "max_value",
        0,
    ),
    Check(
        "long_chunk",
        _BETWEEN,
        "size_share",
        "block",
        "One of its chunks is longer than the collection's chunker allows; the embedder would cut it. Report it with "
        "the run's id, or raise the limit (1 is the chunker's).",
        "max_value",
        1,
    ),
    Check(
        "lost_text",
        _BETWEEN,
        "uncovered_chars",
        "block",
        f"More than {{limit:,}} characters of it are in no chunk. {_BROKEN}",
        "max_value",
        0,
    ),
)

VECTORS = (
    Check(
        "wrong_dimension",
        _BETWEEN,
        "wrong_dimension",
        "block",
        "The dimension of a vector differs from the collection's. Check the embedder, then run it again.",
        "max_value",
        0,
    ),
    Check(
        "wrong_length",
        _BETWEEN,
        "length_error",
        "block",
        "A vector is not finite or not of length 1. Check the embedder, then run it again.",
        "max_value",
        1e-3,
    ),
    Check(
        "constant_vector",
        _BETWEEN,
        "spread",
        "block",
        "All components of a vector are equal, so it has no meaning. Check the embedder, then run it again.",
        "min_value",
        1e-9,
    ),
    Check(
        "wrong_terms",
        _BETWEEN,
        "wrong_terms",
        "block",
        f"A sparse vector has weights that are not positive numbers. {_BROKEN}",
        "max_value",
        0,
    ),
    Check("shared_vector", _BETWEEN, "shared_share", "block", _SHARED, "max_value", 0.5),
    Check(
        "same_vector",
        _BETWEEN,
        "same_vector",
        "flag",
        "Different texts of the batch have the same vector; the embedder may not distinguish them.",
        "max_value",
        0,
    ),
    Check(
        "no_terms",
        _BETWEEN,
        "no_terms",
        "flag",
        "A chunk has letters but no search terms (only stopwords): only dense search finds it.",
        "max_value",
        0,
    ),
)

SUITES: dict[str, tuple[Check, ...]] = {"documents": DOCUMENTS, "chunks": CHUNKS, "vectors": VECTORS}


def check_of(code: str) -> Check:
    """Raises BadRequest that lists the codes."""
    return next(check for check in SUITES[suite_of(code)] if check.code == code)


def suite_of(code: str) -> str:
    """Raises BadRequest that lists the codes."""
    for suite, checks in SUITES.items():
        if any(check.code == code for check in checks):
            return suite
    listed = "; ".join(f"{suite}: {', '.join(check.code for check in checks)}" for suite, checks in SUITES.items())
    raise BadRequest(f"No gate has a check {code!r}. There are {listed}.")
