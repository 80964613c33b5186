"""A run's summary in words."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from sluice.model.quarantine import QuarantineRecord
from sluice.pipeline.summary import ChunkCounts, DocumentCounts, EmbeddingCost, EmbeddingCounts, RunSummary

SUMMARY = RunSummary(
    run_id=uuid4(),
    collection="docs",
    generation=1,
    documents=DocumentCounts(seen=3, quarantined=3),
    chunks=ChunkCounts(total=7),
    embeddings=EmbeddingCounts(),
    cost=EmbeddingCost(),
    stopped=None,
    remaining=0,
    seconds=1.0,
    quarantine={"empty": 3},
    gates="",
    stages={},
    gx_import_seconds=0.0,
)


@pytest.mark.parametrize(("named", "more"), [(0, False), (2, True), (3, False)])
def test_documents_in_quarantine_are_named_and_the_others_not_kept_quiet(named: int, more: bool) -> None:
    refused = [
        QuarantineRecord(uuid4(), f"{n}.md", "", "docs", "", uuid4(), "extract", "empty", "", datetime.now(UTC), None)
        for n in range(named)
    ]
    lines = SUMMARY.lines(iter(refused))
    assert [line for line in lines if line.startswith("    empty")] == [f"    empty: {n}.md" for n in range(named)]
    assert ("    and more: sluice quarantine list --collection docs" in lines) is more
