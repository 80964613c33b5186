"""Counts of documents and chunks per store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any
from uuid import UUID

from sluice.errors import Transient
from sluice.model.generation import Generation
from sluice.ports.collections import Collections
from sluice.ports.projections import GraphIndex, VectorIndex

Counters = Mapping[str, Callable[[], int]]


def by_collection(collections: Collections) -> list[tuple[Generation, dict[str, Any]]]:
    """Returns live generations with the ledger's counts of each."""
    return [
        (each, {"name": each.collection, "generation": each.number, **asdict(collections.counts(each))})
        for each in collections.generations()
    ]


def counters(
    generation: Generation,
    *,
    vectors: VectorIndex,
    graph: GraphIndex | None,
    tenant: str | None = None,
    source: UUID | None = None,
) -> Counters:
    """Returns functions that count chunks, by store: of a generation, or of one tenant's or source's part of it.

    Includes Neo4j where the generation has a graph. A function raises Unavailable where its store is down."""
    stores: dict[str, VectorIndex | GraphIndex] = {"qdrant": vectors}
    if graph is not None and generation.has_graph:
        stores["neo4j"] = graph
    return {name: partial(store.count, generation, tenant=tenant, source=source) for name, store in stores.items()}


def counted(counters: Counters, up: Collection[str] | None = None) -> dict[str, int | None]:
    """Returns the counts; None where a store is down. `up`: the stores to query; None: all."""
    return {name: _count(count) if up is None or name in up else None for name, count in counters.items()}


def _count(count: Callable[[], int]) -> int | None:
    try:
        return count()
    except Transient:
        return None
