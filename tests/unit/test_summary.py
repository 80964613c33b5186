"""A run's summary in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from sluice.model.quarantine import Refusal
from sluice.pipeline import summary

SUMMARY: dict[str, Any] = {
    "documents": {"seen": 3, "new": 0, "changed": 0, "unchanged": 0, "moved": 0, "deleted": 0, "quarantined": 3},
    "quarantine": {"empty": 3},
    "chunks": {"written": 0, "removed": 0, "total": 7},
    "embeddings": {"computed": 0, "cached": 0},
    "cost": {"tokens": 0, "texts": 0, "seconds": 0.0, "money": None},
    "collection": "docs",
    "seconds": 1.0,
    "stages": {},
    "stopped": None,
}


@pytest.mark.parametrize(("named", "more"), [(0, False), (2, True), (3, False)])
def test_documents_in_quarantine_are_named_and_the_others_not_kept_quiet(named: int, more: bool) -> None:
    refused = [
        Refusal(uuid4(), f"{n}.md", "", "docs", "", uuid4(), "extract", "empty", "", datetime.now(UTC), None)
        for n in range(named)
    ]
    lines = summary.summary_lines(SUMMARY, iter(refused))
    assert [line for line in lines if line.startswith("    empty")] == [f"    empty: {n}.md" for n in range(named)]
    assert ("    and more: sluice quarantine list --collection docs" in lines) is more
