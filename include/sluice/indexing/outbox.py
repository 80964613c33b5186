"""Drains the outbox: removes from vectors and graph the chunks that the ledger no longer has."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sluice.model.generation import Generation
from sluice.model.points import OutboxEntry
from sluice.ports.outbox import Outbox
from sluice.ports.projections import GraphIndex, VectorIndex

_ENTRIES_AT_ONCE = 500


def drain(
    generation: Generation, *, outbox: Outbox, vectors: VectorIndex, graph: GraphIndex | None, wait: bool = True
) -> int:
    """Processes the outbox of a collection; returns how many chunks were deleted. Safe to repeat.

    `wait`: also waits for entries that another caller is processing, so that the outbox is empty afterwards."""
    deleted = 0
    while True:
        with outbox.entries(generation.collection_id, _ENTRIES_AT_ONCE, wait=wait) as entries:
            if not entries:
                return deleted
            deleted += _remove(entries, vectors, graph)


def _remove(entries: Sequence[OutboxEntry], vectors: VectorIndex, graph: GraphIndex | None) -> int:
    by_generation: dict[int, tuple[Generation, list[UUID]]] = {}
    for entry in entries:
        chunk_ids = by_generation.setdefault(entry.generation.number, (entry.generation, []))[1]
        chunk_ids.extend(entry.chunk_ids)
    for generation, chunk_ids in by_generation.values():
        vectors.delete(generation, chunk_ids)
    if graph is not None:
        graph.remove(entries)
    return sum(len(chunk_ids) for _, chunk_ids in by_generation.values())
