"""Links in the graph, from texts to passages."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Seed:
    """A text from which links start: a passage, or the question (without ids)."""

    names: tuple[UUID, ...]  # ids that entities named in the text would have; most do not exist
    chunk_id: UUID | None = None
    document_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A link from a seed to a passage of another document."""

    seed: int  # position in the list of seeds
    chunk_id: UUID
    about: float  # 0 to 1: the passage begins a document or section about an entity that the seed names
    shared: float  # 0 to 1: rare entities that both mention
    entity_id: UUID  # the strongest of them
    name: str | None  # as the seed's text spells it; None: one of `Seed.names`
