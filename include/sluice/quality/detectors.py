"""Detectors for documents: personal data, secrets, language, near-duplicates and boilerplate.

Each detector returns one number for each document, which the gate checks, and details for the gate's rows. A detector
that is off costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sluice.model.document import Document
from sluice.model.gates import Signature
from sluice.quality.boilerplate import boilerplate_shares
from sluice.quality.checks import Check
from sluice.quality.duplicates import FindSimilar, closest, signature
from sluice.quality.findings import Findings, Span, strings
from sluice.quality.language import language
from sluice.quality.personal_data import personal_data
from sluice.quality.secrets import secrets

DETECTORS = frozenset({"personal_data", "secrets", "language", "near_duplicate", "boilerplate"})
_AT_ONCE = 200  # documents
Scan = Callable[[Sequence[str]], Sequence[tuple[Span, ...]]]


@dataclass(slots=True)
class DetectorResults:
    """Results of the detectors for a batch of documents, in order."""

    columns: dict[str, list[Any]] = field(default_factory=dict)  # one number for each document; None: unknown
    details: dict[str, list[Any]] = field(default_factory=dict)  # code of the check → details for the gate's rows
    findings: dict[str, list[Findings]] = field(default_factory=dict)  # code of the check → findings
    signatures: dict[UUID, Signature] = field(default_factory=dict)


def detect(
    documents: Sequence[Document],
    checks: Sequence[Check],
    index_key: bytes,
    collection_id: UUID,
    similar: FindSimilar,
    on_checked: Callable[[float], None],
) -> DetectorResults:
    """Runs the detectors whose checks are on. `on_checked` gets the number of further documents that are done; a
    detector counts as its share of all detectors."""
    on = {check.code: check for check in checks if check.code in DETECTORS}
    seen = DetectorResults()

    def tell(count: int) -> None:
        on_checked(count / len(on))

    if check := on.get("personal_data"):
        kinds = check.options
        _find(seen, check, documents, lambda texts: personal_data(texts, kinds), tell)
    if check := on.get("secrets"):
        _find(seen, check, documents, lambda texts: [secrets(text) for text in texts], tell)
    if check := on.get("language"):
        languages = [language(document.text) for document in documents]
        seen.columns[check.column] = [None if each is None else int(each not in check.options) for each in languages]
        seen.details[check.code] = [{"language": each} for each in languages]
        tell(len(documents))
    if check := on.get("near_duplicate"):
        _compare(seen, check, documents, index_key, collection_id, similar, tell)
    if check := on.get("boilerplate"):
        seen.columns[check.column] = boilerplate_shares([document.text for document in documents])
        tell(len(documents))
    return seen


def _find(
    seen: DetectorResults, check: Check, documents: Sequence[Document], scan: Scan, tell: Callable[[int], None]
) -> None:
    """Runs one detector on text, title and the strings of the metadata."""
    findings: list[Findings] = []
    for start in range(0, len(documents), _AT_ONCE):
        some = documents[start : start + _AT_ONCE]
        texts: list[str] = []
        for document in some:
            texts += [document.text, document.title, *(value for _, value in strings(document.metadata))]
        spans = iter(scan(texts))
        findings += [
            Findings(
                text=next(spans),
                title=next(spans),
                metadata=tuple((path, span) for path, _ in strings(document.metadata) for span in next(spans)),
            )
            for document in some
        ]
        tell(len(some))
    seen.findings[check.code] = findings
    seen.columns[check.column] = [each.count for each in findings]
    seen.details[check.code] = [each.to_json() if each.count else None for each in findings]


def _compare(
    seen: DetectorResults,
    check: Check,
    documents: Sequence[Document],
    index_key: bytes,
    collection_id: UUID,
    similar: FindSimilar,
    tell: Callable[[int], None],
) -> None:
    for document in documents:
        tell(1)
        if (own := signature(document, index_key, collection_id)) is not None:
            seen.signatures[document.document_id] = own
    bands = sorted({band for own in seen.signatures.values() for band in own.bands})
    nearest = closest(documents, seen.signatures, similar(bands) if bands else ())
    places = [nearest.get(document.document_id) for document in documents]
    seen.columns[check.column] = [place[0] if place else 0.0 for place in places]
    seen.details[check.code] = [
        {"similarity": place[0], "document_id": str(place[1])} if place else None for place in places
    ]
