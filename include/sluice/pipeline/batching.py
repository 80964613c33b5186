"""Divides the documents of a run into batches (docs/decisions/0046)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import TypeVar

from sluice.model.scan import WorkItem

T = TypeVar("T")
_SLICE_BYTES = 64_000_000  # raw bytes in memory at a time
_LEAST_WORK = 800  # of a batch; less takes a shorter time than the start of its five tasks (docs/decisions/0046)
_UNIT_BYTES = 8_000  # bytes whose work equals the fixed work of one document
_MOST_BATCHES = 400  # of a run, by documents and by bytes; Airflow maps over 1,024 at most ([core] max_map_length)


@dataclass(frozen=True, slots=True)
class Batch:
    """The batch of a run that a stage works on."""

    number: int
    documents: int  # as the reference says; fewer remain where keys were destroyed since


def batches(items: Sequence[WorkItem], most: int, slots: int | None = None) -> Iterator[list[WorkItem]]:
    """Divides items into batches of at most `most` documents and `_SLICE_BYTES` bytes.

    One larger document is a batch of its own. Batches are larger where Airflow could not map over so many.

    `slots`: how many tasks of one stage run at a time. Batches then have equal work, two per slot, so that no slot
    idles long while another finishes. There are fewer where starting a task would cost more than its work."""
    most = max(most, ceil(len(items) / _MOST_BATCHES))
    most_bytes = max(_SLICE_BYTES, sum(item.entry.size_bytes for item in items) / _MOST_BATCHES)
    total = sum(map(_work, items))
    share = total / max(1, min(2 * slots, _MOST_BATCHES // 2, round(total / _LEAST_WORK))) if slots else inf
    batch: list[WorkItem] = []
    size_bytes, work = 0, 0.0
    for item in items:
        full = len(batch) >= most or size_bytes + item.entry.size_bytes > most_bytes or work >= share
        if batch and full:
            yield batch
            batch, size_bytes, work = [], 0, 0.0
        batch.append(item)
        size_bytes += item.entry.size_bytes
        work += _work(item)
    if batch:
        yield batch


def parts(documents: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """Yields parts of at most `most` documents, in order."""
    return (documents[at : at + most] for at in range(0, len(documents), most))


def _work(item: WorkItem) -> float:
    return 1 + item.entry.size_bytes / _UNIT_BYTES
