"""How a run is cut into batches."""

from __future__ import annotations

import pytest

from sluice import flow


@pytest.mark.parametrize(
    ("documents", "slots", "most", "size"),
    [
        (3, 2, 400, 50),  # one batch: a task's start costs more than its work
        (120, 2, 400, 50),
        (1_400, 2, 400, 350),  # two batches a slot
        (1_400, 8, 400, 88),
        (20_000, 2, 400, 400),
        (20_000, 2, 5_000, 5_000),
        (30, 2, 10, 10),  # a limit below the least that pays off is kept
        (2_000_000, 2, 400, 2_000),  # Airflow maps over a thousand and some
        (0, 2, 400, 50),
    ],
)
def test_the_size_of_a_batch_follows_from_the_work_and_the_slots(
    documents: int, slots: int, most: int, size: int
) -> None:
    assert flow.batch_size(documents, slots, most) == size
