"""The port GraphIndex in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sluice.model.chunk import Mention, Relation
from sluice.model.generation import Generation
from sluice.model.points import GraphChunk, GraphOrphans, GraphRow, OutboxEntry
from sluice.model.source import Source


@dataclass(frozen=True, slots=True)
class ChunkNode:
    document_id: UUID
    source_id: UUID
    tenant: str
    collection: str
    ordinal: int
    mentions: tuple[Mention, ...]
    relations: tuple[Relation, ...]


class MemoryGraph:
    """Tests may read `documents`, `chunks_by_key` (chunk id, generation number) and `entities` (id → kind, name)."""

    def __init__(self) -> None:
        self.documents: set[UUID] = set()
        self.chunks_by_key: dict[tuple[UUID, int], ChunkNode] = {}
        self.entities: dict[UUID, tuple[str, str]] = {}

    def ensure(self) -> None:
        """Does nothing."""

    def write(self, source: Source, chunks: Sequence[GraphChunk]) -> None:
        spec, generation = source.spec, source.generation
        touched: set[UUID] = set()
        for chunk in chunks:
            self.documents.add(chunk.document_id)
            key = (chunk.chunk_id, generation.number)
            if key in self.chunks_by_key:
                touched.update(mention.entity_id for mention in self.chunks_by_key[key].mentions)
            self.chunks_by_key[key] = ChunkNode(
                chunk.document_id,
                source.source_id,
                spec.tenant,
                generation.collection,
                chunk.ordinal,
                chunk.mentions,
                chunk.relations,
            )
            for mention in chunk.mentions:
                self.entities.setdefault(mention.entity_id, (mention.kind, mention.name))
        self._drop_unmentioned(touched)

    def remove(self, entries: Sequence[OutboxEntry]) -> None:
        touched: set[UUID] = set()
        for entry in entries:
            for chunk_id in entry.chunk_ids:
                node = self.chunks_by_key.pop((chunk_id, entry.generation.number), None)
                touched.update(mention.entity_id for mention in (node.mentions if node else ()))
        held = {node.document_id for node in self.chunks_by_key.values()}
        self.documents -= {each.document_id for each in entries if each.document_gone} - held
        self._drop_unmentioned(touched)

    def remove_chunks(self, generation: Generation, chunk_ids: Sequence[UUID]) -> None:
        nodes = [self.chunks_by_key.pop((id, generation.number), None) for id in chunk_ids]
        self._drop_unmentioned({mention.entity_id for node in nodes if node for mention in node.mentions})

    def drop(self, generation: Generation) -> None:
        own = self._of(generation)
        self.remove(
            [OutboxEntry(0, generation, node.document_id, (id,), document_gone=True) for id, node in own.items()]
        )

    def chunks(self, generation: Generation, after: UUID | None, limit: int) -> list[GraphRow]:
        own = self._of(generation)
        ids = sorted(id for id in own if after is None or id > after)[:limit]
        return [_row(id, own[id]) for id in ids]

    def chunks_of(self, generation: Generation, chunk_ids: Sequence[UUID]) -> list[GraphRow]:
        own = self._of(generation)
        return [_row(id, own[id]) for id in chunk_ids if id in own]

    def orphans(self, limit: int) -> GraphOrphans:
        held = {node.document_id for node in self.chunks_by_key.values()}
        mentioned = {mention.entity_id for node in self.chunks_by_key.values() for mention in node.mentions}
        return GraphOrphans(
            documents=tuple(sorted(map(str, self.documents - held)))[:limit],
            entities=tuple(sorted(map(str, self.entities.keys() - mentioned)))[:limit],
        )

    def drop_orphans(self, orphans: GraphOrphans) -> int:
        now = self.orphans(len(self.documents) + len(self.entities))
        documents = set(orphans.documents) & set(now.documents)
        entities = set(orphans.entities) & set(now.entities)
        self.documents -= {UUID(id) for id in documents}
        for id in entities:
            del self.entities[UUID(id)]
        return len(documents) + len(entities)

    def count(self, generation: Generation, tenant: str | None = None, source: UUID | None = None) -> int:
        return sum(
            number == generation.number
            and node.collection == generation.collection
            and (tenant is None or node.tenant == tenant)
            and (source is None or node.source_id == source)
            for (_, number), node in self.chunks_by_key.items()
        )

    def ping(self) -> str:
        return "memory"

    def _of(self, generation: Generation) -> dict[UUID, ChunkNode]:
        return {
            id: node
            for (id, number), node in self.chunks_by_key.items()
            if number == generation.number and node.collection == generation.collection
        }

    def _drop_unmentioned(self, touched: set[UUID]) -> None:
        """Deletes entities without mentions; gives the others a name that one of their mentions has."""
        used: dict[UUID, Counter[tuple[str, str]]] = {id: Counter() for id in touched}
        for node in self.chunks_by_key.values():
            for mention in node.mentions:
                if mention.entity_id in touched:
                    used[mention.entity_id][mention.kind, mention.name] += mention.count + mention.about
        for entity_id, names in used.items():
            if not names:
                self.entities.pop(entity_id, None)
            elif self.entities[entity_id] not in names:
                self.entities[entity_id] = min(names, key=lambda each: (-names[each], each[1], each[0]))


def _row(id: UUID, node: ChunkNode) -> GraphRow:
    mentions = sorted((mention.entity_id, mention.count) for mention in node.mentions if mention.count)
    about = sorted((node.document_id, mention.entity_id) for mention in node.mentions if mention.about)
    relations = tuple(sorted(node.relations))
    return GraphRow(id, node.document_id, node.tenant, node.ordinal, tuple(mentions), relations, tuple(about))
