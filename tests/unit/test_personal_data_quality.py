"""How well personal data is found in labelled texts that the patterns were not tuned on (`python -m bench pii`)."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import pii

from sluice.quality.personal_data import personal_data

HELD_OUT = "pii/presidio_generated_large.jsonl"
# kind: precision and recall, by exact span; a little below what was measured
FLOORS = {
    "all": (0.97, 0.94),
    "EMAIL": (1, 1),
    "PHONE": (0.92, 0.83),
    "CREDIT_CARD": (1, 1),
    "IBAN": (1, 1),
    "US_SSN": (0.97, 1),
    "IP_ADDRESS": (1, 1),
}


@pytest.fixture(scope="module")
def labelled(test_data: Path) -> list[pii.Labelled]:
    return pii.read(test_data / HELD_OUT)


def test_exact_forms(labelled: list[pii.Labelled]) -> None:
    result = personal_data([text for text, _ in labelled], pii.BY_DEFAULT)
    scores = pii.scores(labelled, result, pii.BY_DEFAULT)
    assert set(scores) == set(FLOORS)
    for kind, (precision, recall) in FLOORS.items():
        assert scores[kind]["precision"] >= precision, (kind, scores[kind])
        assert scores[kind]["recall"] >= recall, (kind, scores[kind])


def test_names_of_people(labelled: list[pii.Labelled]) -> None:
    part = labelled[:400]
    scores = pii.scores(part, personal_data([text for text, _ in part], ["PERSON"]), ["PERSON"])
    assert scores["PERSON"]["precision"] >= 0.65
    assert scores["PERSON"]["recall"] >= 0.5
