"""How a run is cut into batches."""

from __future__ import annotations

from uuid import uuid4

import pytest

from sluice.model.scan import ListingEntry, WorkItem
from sluice.pipeline import batching

ABSTRACT, REPORT = 1_000, 1_000_000  # bytes


def items(documents: int, size_bytes: int) -> list[WorkItem]:
    return [WorkItem(uuid4(), ListingEntry(f"{n}", f"file:///{n}", "", size_bytes), new=True) for n in range(documents)]


@pytest.mark.parametrize(
    ("documents", "size_bytes", "slots", "most", "sizes"),
    [
        (3, ABSTRACT, 2, 5_000, [3]),
        (300, ABSTRACT, 2, 5_000, [300]),  # the start of its tasks costs more than its work
        (1_400, ABSTRACT, 2, 5_000, [700, 700]),
        (6_400, ABSTRACT, 2, 5_000, [1_600] * 4),  # two batches a slot
        (6_400, ABSTRACT, 8, 5_000, [712] * 8 + [704]),
        (40_000, ABSTRACT, 2, 5_000, [5_000] * 8),
        (30, ABSTRACT, 2, 10, [10, 10, 10]),  # a limit below the least that pays off is kept
        (40, REPORT, 2, 5_000, [10] * 4),
        (100, REPORT, 1, 5_000, [50, 50]),
        (130, REPORT, 1, 5_000, [64, 64, 2]),  # 64 MB at a time
        (2_000, ABSTRACT, 2, 1, [5] * 400),  # Airflow maps over a thousand and some
        (3_000, 60 * REPORT, 2, 5_000, [7] * 428 + [4]),  # the same, by bytes
        (400_000, ABSTRACT, 1_024, 5_000, [2_000] * 200),  # and by slots
        (0, ABSTRACT, 2, 5_000, []),
    ],
)
def test_batches_follow_from_documents_bytes_and_slots(
    documents: int, size_bytes: int, slots: int, most: int, sizes: list[int]
) -> None:
    given = items(documents, size_bytes)
    cut = list(batching.batches(given, most, slots))
    assert [len(batch) for batch in cut] == sizes
    assert [item for batch in cut for item in batch] == given


def test_without_slots_only_the_limits_count() -> None:
    assert [len(batch) for batch in batching.batches(items(1_000, ABSTRACT), 400)] == [400, 400, 200]
