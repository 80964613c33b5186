"""Precision and recall of the detector of personal data on labelled synthetic texts, by exact span and by overlap.

The patterns were tuned on `presidio_synth_v2`; `presidio_generated_large` was only used to measure.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from sluice.quality.checks import DOCUMENTS, PERSONAL_TYPES
from sluice.quality.findings import Span
from sluice.quality.personal_data import personal_data

SETS = {"presidio_synth_v2": "tuned on", "presidio_generated_large": "held out"}
BY_DEFAULT = next(check.options for check in DOCUMENTS if check.code == "personal_data")
VARIANTS = {"patterns": BY_DEFAULT, "patterns and names": PERSONAL_TYPES}
# Label of the sets → kind of the gate. The gate does not look for other labels (street addresses, dates, ages, titles,
# domains, postcodes, driving licences): they are counted as `labelled otherwise`.
KINDS = {
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "CREDIT_CARD": "CREDIT_CARD",
    "IBAN_CODE": "IBAN",
    "US_SSN": "US_SSN",
    "IP_ADDRESS": "IP_ADDRESS",
    "PERSON": "PERSON",
    "GPE": "LOCATION",
    "LOCATION": "LOCATION",
    "ORGANIZATION": "ORGANIZATION",
    "NRP": "NRP",
}

Labelled = tuple[str, list[Span]]


def measure(data: Path) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, role in SETS.items():
        labelled = read(data / "pii" / f"{name}.jsonl")
        figures[name] = {"role": role, "texts": len(labelled)}
        for variant, kinds in VARIANTS.items():
            personal_data([text for text, _ in labelled[:300]], kinds)  # imports and models are not measured
            began_s = time.perf_counter()
            result = personal_data([text for text, _ in labelled], kinds)
            took_s = time.perf_counter() - began_s
            figures[name][variant] = {
                "ms_per_text": round(took_s / len(labelled) * 1000, 3),
                "labelled_otherwise": sum(span.kind not in kinds for _, gold in labelled for span in gold),
                **scores(labelled, result, kinds),
            }
    return figures


def read(path: Path) -> list[Labelled]:
    """Returns texts with their labelled spans. A label has the name that the gate uses, if there is one."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        (row["text"], [Span(start, end, KINDS.get(label, f"({label})")) for start, end, label in row["spans"]])
        for row in rows
    ]


def scores(
    labelled: Sequence[Labelled], result: Sequence[Collection[Span]], kinds: Collection[str]
) -> dict[str, dict[str, float]]:
    """Returns, by kind and in total: labelled, found, and precision and recall by exact span and by overlap."""
    counts: Counter[tuple[str, str]] = Counter()
    for (_, gold), spans in zip(labelled, result, strict=True):
        wanted = [span for span in gold if span.kind in kinds]
        for span in wanted:
            for name in (span.kind, "all"):
                counts[name, "labelled"] += 1
                counts[name, "exact"] += span in spans
                counts[name, "labels touched"] += _touches(span, spans)
        for span in spans:
            for name in (span.kind, "all"):
                counts[name, "found"] += 1
                counts[name, "found touching"] += _touches(span, wanted)
    return {name: _figures(counts, name) for name in ("all", *kinds) if counts[name, "labelled"]}


def _touches(span: Span, others: Iterable[Span]) -> bool:
    return any(span.kind == other.kind and span.start < other.end and other.start < span.end for other in others)


def _figures(counts: Counter[tuple[str, str]], name: str) -> dict[str, float]:
    labelled, result = counts[name, "labelled"], counts[name, "found"]
    return {
        "labelled": labelled,
        "found": result,
        "precision": round(counts[name, "exact"] / max(1, result), 3),
        "recall": round(counts[name, "exact"] / labelled, 3),
        "precision_overlap": round(counts[name, "found touching"] / max(1, result), 3),
        "recall_overlap": round(counts[name, "labels touched"] / labelled, 3),
    }
