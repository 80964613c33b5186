"""The port GraphIndex in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sluice.model import Generation, GraphChunk, GraphOrphans, GraphRow, Mention, Removal, Source


@dataclass(frozen=True, slots=True)
class ChunkNode:
    document_id: UUID
    source_id: UUID
    tenant: str
    collection: str
    ordinal: int
    mentions: tuple[Mention, ...]


class MemoryGraph:
    """`documents`, `chunk_nodes` (by chunk id and generation) and `entities` (id → kind, name) may be looked at."""

    def __init__(self) -> None:
        self.documents: set[UUID] = set()
        self.chunk_nodes: dict[tuple[UUID, int], ChunkNode] = {}
        self.entities: dict[UUID, tuple[str, str]] = {}

    def ensure(self) -> None:
        """There is nothing to make."""

    def write(self, source: Source, chunks: Sequence[GraphChunk]) -> None:
        spec, generation = source.spec, source.generation
        touched: set[UUID] = set()
        for chunk in chunks:
            self.documents.add(chunk.document_id)
            key = (chunk.chunk_id, generation.number)
            if key in self.chunk_nodes:
                touched.update(mention.entity_id for mention in self.chunk_nodes[key].mentions)
            self.chunk_nodes[key] = ChunkNode(
                chunk.document_id, source.source_id, spec.tenant, generation.collection, chunk.ordinal, chunk.mentions
            )
            for mention in chunk.mentions:
                self.entities.setdefault(mention.entity_id, (mention.kind, mention.name))
        self._drop_unmentioned(touched)

    def remove(self, removals: Sequence[Removal]) -> None:
        touched: set[UUID] = set()
        for removal in removals:
            for chunk_id in removal.chunk_ids:
                node = self.chunk_nodes.pop((chunk_id, removal.generation.number), None)
                touched.update(mention.entity_id for mention in (node.mentions if node else ()))
        held = {node.document_id for node in self.chunk_nodes.values()}
        self.documents -= {each.document_id for each in removals if each.document_gone} - held
        self._drop_unmentioned(touched)

    def count(self, generation: Generation, tenant: str | None = None, source: UUID | None = None) -> int:
        return sum(
            number == generation.number
            and node.collection == generation.collection
            and (tenant is None or node.tenant == tenant)
            and (source is None or node.source_id == source)
            for (_, number), node in self.chunk_nodes.items()
        )

    def chunks(self, generation: Generation, after: UUID | None, limit: int) -> list[GraphRow]:
        ids = sorted(
            chunk_id
            for (chunk_id, number), node in self.chunk_nodes.items()
            if number == generation.number and node.collection == generation.collection
        )
        return self.chunks_of(generation, [each for each in ids if after is None or each > after][:limit])

    def chunks_of(self, generation: Generation, chunk_ids: Sequence[UUID]) -> list[GraphRow]:
        nodes = {each: self.chunk_nodes.get((each, generation.number)) for each in chunk_ids}
        return [
            GraphRow(
                chunk_id,
                node.document_id,
                node.tenant,
                node.ordinal,
                tuple(sorted((mention.entity_id, mention.count) for mention in node.mentions)),
            )
            for chunk_id, node in nodes.items()
            if node is not None and node.collection == generation.collection
        ]

    def remove_chunks(self, generation: Generation, chunk_ids: Sequence[UUID]) -> None:
        nodes = [self.chunk_nodes.pop((each, generation.number), None) for each in chunk_ids]
        self._drop_unmentioned({mention.entity_id for node in nodes if node for mention in node.mentions})

    def orphans(self, limit: int) -> GraphOrphans:
        held = {node.document_id for node in self.chunk_nodes.values()}
        mentioned = {mention.entity_id for node in self.chunk_nodes.values() for mention in node.mentions}
        return GraphOrphans(
            tuple(str(each) for each in sorted(self.documents - held)[:limit]),
            tuple(str(each) for each in sorted(self.entities.keys() - mentioned)[:limit]),
        )

    def drop_orphans(self, orphans: GraphOrphans) -> int:
        now = self.orphans(len(self.documents) + len(self.entities))
        documents = {UUID(each) for each in set(orphans.documents) & set(now.documents)}
        entities = {UUID(each) for each in set(orphans.entities) & set(now.entities)}
        self.documents -= documents
        for entity_id in entities:
            del self.entities[entity_id]
        return len(documents) + len(entities)

    def ping(self) -> str:
        return "memory"

    def _drop_unmentioned(self, touched: set[UUID]) -> None:
        mentioned = {mention.entity_id for node in self.chunk_nodes.values() for mention in node.mentions}
        for entity_id in touched - mentioned:
            del self.entities[entity_id]
