"""Texts of checks and of observed values. Pages, docs and API use only these texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

Result = Literal["passed", "warning", "failed"]
Words = Callable[[float], str]


def _counted(one: str, many: str | None = None) -> Words:
    return lambda value: f"{value:,.0f} {one if value == 1 else many or f'{one}s'}"


def _share(of: str) -> Words:
    return lambda value: f"{value:.0%} {of}"


def _length_error(value: float) -> str:
    return "length is not a finite number" if value >= 1e6 else f"length differs from 1 by {value:.3g}"


def _always(words: str) -> Words:
    return lambda value: words


# Code of the check → (what it asserts, the observed number in words).
_LABELS: dict[str, tuple[str, Words]] = {
    "duplicate_id": ("unique document ids", _always("another document of the batch has the same id")),
    "empty_text": ("text is not empty", _counted("visible character")),
    "too_long": ("text within the length limit", _counted("character")),
    "no_type": ("file type is known", _always("the type could not be determined")),
    "binary_text": ("text is printable", _share("printable characters")),
    "wrong_encoding": ("encoding is the declared one", _share("replacement characters (U+FFFD)")),
    "unbroken_text": ("text has spaces", _share("of the text is one run without a space")),
    "repeated_text": ("characters vary", _share("of the text is one character")),
    "no_title": ("title is present", _always("no title")),
    "metadata_cut": ("title and metadata within bounds", _counted("field was cut", "fields were cut")),
    "some_replacements": ("no lost characters", _counted("replacement character (U+FFFD)", "replacement characters")),
    "mojibake": ("no misread characters", _counted("place with misread characters", "places with misread characters")),
    "few_letters": ("mostly letters and digits", _share("letters and digits")),
    "recovered_text": ("parser read all words", _counted("word was left out", "words were left out")),
    "personal_data": ("no personal data", _counted("place")),
    "secrets": ("no secrets", _counted("place")),
    "language": ("expected language", _always("another language")),
    "near_duplicate": ("no near-duplicates", _share("the same as an earlier document")),
    "boilerplate": ("mostly text of its own", _share("of the text is repeated in other documents")),
    "duplicate_chunk": ("unique chunk ids", _always("another chunk has the same id")),
    "blank_chunk": ("chunks are not blank", _counted("visible character")),
    "wrong_offsets": ("chunk offsets lead to their text", _always("the offsets lead to other text")),
    "wrong_order": ("chunks numbered in order", _always("the number is out of order")),
    "long_chunk": ("chunks within the size limit", lambda value: f"{value:.2f} times the limit"),
    "lost_text": ("all text is in chunks", _counted("character in no chunk", "characters in no chunk")),
    "wrong_dimension": ("embeddings of the collection's dimension", _always("another dimension")),
    "wrong_length": ("embeddings of length 1", _length_error),
    "constant_vector": ("components of embeddings vary", _always("all components are equal")),
    "wrong_terms": ("sparse weights are positive", _always("a weight is not a positive number")),
    "shared_vector": ("embeddings tell texts apart", _share("of the batch's texts have this embedding")),
    "same_vector": ("different texts have different embeddings", _always("another text has the same embedding")),
    "no_terms": ("chunks have search terms", _always("no search term")),
    "quality_drop": ("search quality did not drop", lambda value: f"nDCG@10 fell by {value:.3f}"),
}


def label(code: str | None, expectation: str = "") -> str:
    """Returns what a check asserts ("unique document ids"). A check of an older release is named by its code or
    expectation."""
    if code in _LABELS:
        return _LABELS[code][0]
    return (code or expectation).replace("_", " ")


def result(success: bool, blocking: bool) -> Result:
    """Returns the result of a check. Only a blocking check can fail; another one gives a warning."""
    return "passed" if success else "failed" if blocking else "warning"


def observed_in_words(code: str | None, observed: Any) -> str:
    """Describes the value that a failed row recorded. Never contains text of the document."""
    if isinstance(observed, Mapping):
        return _details_in_words(observed)
    words = _LABELS[code][1] if code in _LABELS else None
    if isinstance(observed, bool) or not isinstance(observed, int | float | None):
        return str(observed)
    if observed is None:
        return words(0) if words else "no value"
    return words(observed) if words else f"{observed:g}"


def _details_in_words(observed: Mapping[str, Any]) -> str:
    if isinstance(kinds := observed.get("kinds"), Mapping):
        return ", ".join(f"{count} {str(kind).replace('_', ' ').lower()}" for kind, count in kinds.items()) or "nothing"
    if "language" in observed:
        return f"language: {observed['language'] or 'not recognised'}"
    if isinstance(alike := observed.get("similarity"), int | float):
        other = f" {observed['document_id']}" if "document_id" in observed else ""
        return f"{alike:.0%} the same as document{other}"
    return ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in observed.items())
