"""What a graph says, read from its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sluice.model.generation import Generation
from sluice.ports.projections import GraphIndex


def relations(
    graph: GraphIndex, generation: Generation, tenant: str, entity_ids: Iterable[UUID]
) -> list[tuple[Any, int]]:
    """What chunks of this generation and tenant say of these, as head or tail, and how many say so: heaviest
    first, then in the order of relations."""
    wanted = set(entity_ids)
    rows = [row for row in graph.chunks(generation, None, 10_000) if row.tenant == tenant]
    said = Counter(each for row in rows for each in row.relations if wanted & {each[0], each[2]})
    return sorted(said.items(), key=lambda each: (-each[1], each[0]))
