"""The port GraphIndex in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sluice.model import Generation, GraphChunk, Mention, Removal, Source


@dataclass(frozen=True, slots=True)
class ChunkNode:
    document_id: UUID
    source_id: UUID
    tenant: str
    collection: str
    ordinal: int
    mentions: tuple[Mention, ...]


class MemoryGraph:
    """`documents`, `chunks` (by chunk id and generation number) and `entities` (id → kind, name) may be looked at."""

    def __init__(self) -> None:
        self.documents: set[UUID] = set()
        self.chunks: dict[tuple[UUID, int], ChunkNode] = {}
        self.entities: dict[UUID, tuple[str, str]] = {}

    def ensure(self) -> None:
        """There is nothing to make."""

    def write(self, source: Source, chunks: Sequence[GraphChunk]) -> None:
        spec, generation = source.spec, source.generation
        touched: set[UUID] = set()
        for chunk in chunks:
            self.documents.add(chunk.document_id)
            key = (chunk.chunk_id, generation.number)
            if key in self.chunks:
                touched.update(mention.entity_id for mention in self.chunks[key].mentions)
            self.chunks[key] = ChunkNode(
                chunk.document_id, source.source_id, spec.tenant, generation.collection, chunk.ordinal, chunk.mentions
            )
            for mention in chunk.mentions:
                self.entities.setdefault(mention.entity_id, (mention.kind, mention.name))
        self._drop_unmentioned(touched)

    def remove(self, removals: Sequence[Removal]) -> None:
        touched: set[UUID] = set()
        for removal in removals:
            for chunk_id in removal.chunk_ids:
                node = self.chunks.pop((chunk_id, removal.generation.number), None)
                touched.update(mention.entity_id for mention in (node.mentions if node else ()))
        held = {node.document_id for node in self.chunks.values()}
        self.documents -= {each.document_id for each in removals if each.document_gone} - held
        self._drop_unmentioned(touched)

    def count(self, generation: Generation, tenant: str | None = None, source: UUID | None = None) -> int:
        return sum(
            number == generation.number
            and node.collection == generation.collection
            and (tenant is None or node.tenant == tenant)
            and (source is None or node.source_id == source)
            for (_, number), node in self.chunks.items()
        )

    def ping(self) -> str:
        return "memory"

    def _drop_unmentioned(self, touched: set[UUID]) -> None:
        mentioned = {mention.entity_id for node in self.chunks.values() for mention in node.mentions}
        for entity_id in touched - mentioned:
            del self.entities[entity_id]
