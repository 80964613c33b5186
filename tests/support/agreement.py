"""What every store holds of a source, in the source's own words: to be compared with a fresh ingest, ids apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from qdrant_client import QdrantClient
from sqlalchemy import Engine, text

from sluice.adapters.entities.naming import normalise
from sluice.encryption import ciphers
from sluice.model.source import Source, SourceSpec
from sluice.ports.content import Recognized
from sluice.wiring.application import Sluice

_SERVED = text("""
    SELECT d.document_id, d.external_id, v.sealed_title, c.chunk_id, c.ordinal, c.text_hash, c.sealed_text,
           c.sealed_headings, c.sealed_names, c.page
    FROM documents d JOIN versions v ON v.document_id = d.document_id AND v.state = 'active'
    LEFT JOIN chunks c USING (version_id)
    WHERE d.source_id = :source_id AND d.deleted_at IS NULL ORDER BY d.external_id, c.ordinal
""")
_MENTIONS = (
    "MATCH (d:Document {source_id: $source})-[:HAS_CHUNK]->(c:Chunk) OPTIONAL MATCH (c)-[m:MENTIONS]->(e:Entity) "
    "RETURN c.chunk_id AS chunk_id, d.document_id AS document_id, c.ordinal AS ordinal, "
    "collect([e.name, m.name, m.kind, m.count]) AS mentions"
)
_RELATIONS = (
    "MATCH (head:Entity {tenant: $tenant})-[r:RELATES]->(tail) "
    "OPTIONAL MATCH (d)-[:HAS_CHUNK]->(:Chunk {chunk_id: r.chunk_id, generation: r.generation}) "
    "WITH head, r, tail, d WHERE d IS NULL OR d.source_id = $source "
    "RETURN r.chunk_id AS chunk_id, head.name AS head, r.kind AS kind, tail.name AS tail"
)
_ABOUT = (
    "MATCH (d:Document {source_id: $source})-[r:ABOUT]->(e:Entity) "
    "RETURN d.document_id AS document_id, r.chunk_id AS chunk_id, e.name AS entity, r.name AS name"
)

Place = tuple[str, int]  # external id, ordinal


class Capitals:
    """A quick extractor: entities are words in capitals, one in another is located there. What is tested is the
    bookkeeping, not the recognition."""

    name = "capitals"
    _word = re.compile(r"\b[A-Z]{3,12}\b")
    _inside = re.compile(r"\b([A-Z]{3,12}) in (?=([A-Z]{3,12})\b)")

    def extract(self, texts: Sequence[str]) -> list[Recognized]:
        return [self._recognize(each) for each in texts]

    def _recognize(self, text: str) -> Recognized:
        entities = [("ORG", word, count) for word, count in Counter(self._word.findall(text)).items()]
        inside = {(one, "located_in", other) for one, other in self._inside.findall(text) if one != other}
        return Recognized(entities, sorted(inside))


@dataclass
class Held:
    """By place in the source. Equal for two ingests of the same content, whatever their ids."""

    titles: dict[str, str] = field(default_factory=dict)
    texts: dict[Place, tuple[str, tuple[str, ...], int | None]] = field(default_factory=dict)
    vectors: dict[Place, tuple[float, ...]] = field(default_factory=dict)
    # Entity, own name, own kind, count. An entity is named as its spellings normalise: which of them it
    # shows, and which kind, depends on what came first.
    mentions: dict[Place, tuple[tuple[str, str, str, int], ...]] = field(default_factory=dict)
    relations: dict[Place, set[tuple[str, str, str]]] = field(default_factory=dict)
    about: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)  # external id: entity, own name


@dataclass
class Snapshot:
    held: Held
    hashes: set[bytes]  # of the embedded texts
    strays: list[str]  # what a projection holds and the ledger does not


def snapshot(sluice: Sluice, engine: Engine, qdrant: QdrantClient, neo4j: Any, source: Source) -> Snapshot:
    """Reads all three stores; every chunk of the ledger must be in each, or a KeyError says which is not."""
    with engine.connect() as connection:
        rows = connection.execute(_SERVED, {"source_id": source.source_id}).all()
    keys = sluice.keyring.get(sorted({row.document_id for row in rows}))
    readable = ciphers(source.spec.tenant, keys)
    held, places, hashes = Held(), {}, set()
    for row in rows:
        cipher = readable[row.document_id]
        held.titles[row.external_id] = cipher.decrypt_text("title", row.sealed_title)
        if row.chunk_id is None:
            continue
        place = (row.external_id, row.ordinal)
        places[str(row.chunk_id)] = place
        hashes.add(bytes(row.text_hash))
        headings = tuple(cipher.decrypt_json("headings", row.sealed_headings, row.chunk_id))
        held.texts[place] = (cipher.decrypt_text("chunk", row.sealed_text, row.chunk_id), headings, row.page)
    strays = _points(qdrant, source, places, held)
    if neo4j is not None:
        strays += _nodes(neo4j, source, places, held)
    assert held.vectors.keys() == held.texts.keys(), "points are missing"
    assert neo4j is None or held.mentions.keys() == held.texts.keys(), "nodes are missing"
    return Snapshot(held, hashes, strays)


@dataclass
class Stores:
    """The stores themselves, past the adapters that are tested."""

    engine: Engine
    qdrant: QdrantClient
    neo4j: Any

    def snapshot(self, sluice: Sluice, spec: SourceSpec) -> Snapshot:
        source = sluice.ledger.sources.open(spec, sluice.profile(), sluice.settings.declared_fields)
        return snapshot(sluice, self.engine, self.qdrant, self.neo4j, source)


def _points(qdrant: QdrantClient, source: Source, places: dict[str, Place], held: Held) -> list[str]:
    strays, after = [], None
    while True:
        points, after = qdrant.scroll(
            source.generation.backing_collection, limit=1000, offset=after, with_vectors=True, with_payload=True
        )
        for point in points:
            assert point.payload and isinstance(point.vector, dict)
            if point.payload["source_id"] != str(source.source_id):
                continue
            if place := places.get(str(point.id)):
                held.vectors[place] = tuple(np.round(np.asarray(point.vector["dense"]), 4).tolist())
            else:
                strays.append(f"point {point.id}")
        if after is None:
            return strays


def _nodes(neo4j: Any, source: Source, places: dict[str, Place], held: Held) -> list[str]:
    strays = []
    records, _, _ = neo4j.execute_query(_MENTIONS, source=str(source.source_id))
    for record in records:
        if place := places.get(record["chunk_id"]):
            assert record["ordinal"] == place[1]
            mentions = [(normalise(each[0]), *each[1:]) for each in record["mentions"] if each[0]]
            held.mentions[place] = tuple(sorted(mentions))
        else:
            strays.append(f"node {record['chunk_id']}")
    records, _, _ = neo4j.execute_query(_RELATIONS, tenant=source.spec.tenant, source=str(source.source_id))
    for record in records:
        if place := places.get(record["chunk_id"]):
            said = held.relations.setdefault(place, set())
            relation = (normalise(record["head"]), record["kind"], normalise(record["tail"]))
            assert relation not in said, "a relationship twice"
            said.add(relation)
        else:
            strays.append(f"relation of {record['chunk_id']}")
    records, _, _ = neo4j.execute_query(_ABOUT, source=str(source.source_id))
    about: dict[str, list[tuple[str, str]]] = {}
    for record in records:
        if place := places.get(record["chunk_id"]):
            about.setdefault(place[0], []).append((normalise(record["entity"]), record["name"]))
        else:
            strays.append(f"what {record['document_id']} is about")
    held.about = {external_id: tuple(sorted(names)) for external_id, names in about.items()}
    return strays


def assert_equal(one: Held, other: Held) -> None:
    for name in ("titles", "texts", "vectors", "mentions", "relations", "about"):
        left, right = getattr(one, name), getattr(other, name)
        differing = _differing(left, right)
        assert not differing, f"{name} differ at {differing[:3]}"


def _differing(left: dict[object, object], right: dict[object, object]) -> Sequence[object]:
    return [place for place in left.keys() | right.keys() if left.get(place) != right.get(place)]


def ids_of(engine: Engine, source_id: UUID) -> dict[str, UUID]:
    """External id → document id, of the living."""
    query = text("SELECT external_id, document_id FROM documents WHERE source_id = :s AND deleted_at IS NULL")
    with engine.connect() as connection:
        return {row.external_id: row.document_id for row in connection.execute(query, {"s": source_id})}
