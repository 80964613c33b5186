"""The statements that Neo4j is sent. Every node is found by its id, through a constraint's index."""

from __future__ import annotations

from typing import LiteralString

SCHEMA: dict[str, LiteralString] = {
    "document_id": "CREATE CONSTRAINT document_id IF NOT EXISTS FOR (d:Document) REQUIRE d.document_id IS UNIQUE",
    "chunk_id": "CREATE CONSTRAINT chunk_id IF NOT EXISTS FOR (c:Chunk) REQUIRE (c.chunk_id, c.generation) IS UNIQUE",
    "entity_id": "CREATE CONSTRAINT entity_id IF NOT EXISTS FOR (e:Entity) REQUIRE e.entity_id IS UNIQUE",
    # For counting a source's chunks after a run.
    "document_source": "CREATE INDEX document_source IF NOT EXISTS FOR (d:Document) ON (d.source_id)",
    # For counting a generation, of one tenant or of all.
    "chunk_scope": "CREATE INDEX chunk_scope IF NOT EXISTS FOR (c:Chunk) ON (c.collection, c.generation, c.tenant)",
    # For reading a generation page by page, in the order of ids.
    "chunk_page": "CREATE INDEX chunk_page IF NOT EXISTS FOR (c:Chunk) ON (c.collection, c.generation, c.chunk_id)",
}
ONLINE: LiteralString = "SHOW INDEXES YIELD name, state WHERE state = 'ONLINE' RETURN collect(name)"
# One statement for nodes and relationships: rows name documents and entities by their position in the lists that were
# just merged, which spares an index lookup and a long id for every relationship (three times as fast).
# The entity's name is set again on purpose: writing takes the node's lock, so that a removal which sees the entity
# without mentions has to wait, and look again.
# $entities: [entity_id, name, kind]; $names: [name, kind]; $rows: [chunk_id, document, ordinal, [[entity, count, name],
# …]]. A mention carries the name that its text used, so that the entity need not show one whose last user is gone.
_MERGE_ENDS: LiteralString = """
CALL () {
  UNWIND $documents AS id
  MERGE (d:Document {document_id: id})
  ON CREATE SET d.tenant = $tenant, d.collection = $collection, d.source_id = $source_id
  RETURN collect(d) AS documents
}
CALL () {
  UNWIND $entities AS row
  MERGE (e:Entity {entity_id: row[0]})
  ON CREATE SET e.tenant = $tenant, e.name = row[1], e.kind = row[2]
  ON MATCH SET e.name = e.name
  RETURN collect(e) AS entities
}
UNWIND $rows AS row
WITH entities, row, documents[row[1]] AS d
"""
_CREATE_CHUNK: LiteralString = """
CREATE (d)-[:HAS_CHUNK]->(c:Chunk {
  chunk_id: row[0], generation: $generation, collection: $collection, tenant: $tenant, ordinal: row[2]})
"""
_MERGE_CHUNK: LiteralString = """
MERGE (c:Chunk {chunk_id: row[0], generation: $generation})
SET c.ordinal = row[2], c.collection = $collection, c.tenant = $tenant
MERGE (d)-[:HAS_CHUNK]->(c)
"""
_CREATE_MENTIONS: LiteralString = """
WITH entities, c, row
UNWIND row[3] AS mention
WITH c, entities[mention[0]] AS e, mention[1] AS times, $names[mention[2]] AS name
CREATE (c)-[:MENTIONS {count: times, name: name[0], kind: name[1]}]->(e)
"""
WRITE_NEW: LiteralString = _MERGE_ENDS + _CREATE_CHUNK + _CREATE_MENTIONS
WRITE_KNOWN: LiteralString = _MERGE_ENDS + _MERGE_CHUNK + _CREATE_MENTIONS
# Takes the lock of each chunk before it reads the mentions: two writers of one chunk go one after the other.
KNOWN: LiteralString = """
UNWIND $ids AS id
MATCH (c:Chunk {chunk_id: id, generation: $generation})
SET c.ordinal = c.ordinal
WITH id, c
OPTIONAL MATCH (c)-[m:MENTIONS]->(e)
WITH id, c, collect(m) AS old, collect(e.entity_id) AS entities
FOREACH (m IN old | DELETE m)
WITH id, c, entities
OPTIONAL MATCH (d)-[h:HAS_CHUNK]->(c)
WITH id, entities, collect(h) AS held
FOREACH (h IN held | DELETE h)
RETURN id, entities
"""
REMOVE_CHUNKS: LiteralString = """
UNWIND $ids AS id
MATCH (c:Chunk {chunk_id: id, generation: $generation})
SET c.ordinal = c.ordinal
WITH c
OPTIONAL MATCH (c)-[:MENTIONS]->(e:Entity)
WITH c, collect(e.entity_id) AS entities
DETACH DELETE c
RETURN entities
"""
REMOVE_DOCUMENTS: LiteralString = """
UNWIND $ids AS id
MATCH (d:Document {document_id: id})
SET d.source_id = d.source_id
WITH d WHERE NOT (d)-[:HAS_CHUNK]->()
DELETE d
"""
REMOVE_ENTITIES: LiteralString = """
UNWIND $ids AS id
MATCH (e:Entity {entity_id: id})
SET e.name = e.name
WITH e WHERE NOT (e)<-[:MENTIONS]-()
DELETE e
"""
# After REMOVE_ENTITIES, in its transaction: that holds the locks. Mentions written by an older release carry no name,
# and are taken to use the one that is shown. EXISTS stops at the first mention that does.
RENAME_ENTITIES: LiteralString = """
UNWIND $ids AS id
MATCH (e:Entity {entity_id: id})
WHERE NOT EXISTS {
  MATCH (e)<-[m:MENTIONS]-() WHERE coalesce(m.name, e.name) = e.name AND coalesce(m.kind, e.kind) = e.kind }
CALL (e) {
  MATCH (e)<-[m:MENTIONS]-() WHERE m.name IS NOT NULL
  RETURN m.name AS name, m.kind AS kind, sum(m.count) AS times ORDER BY times DESC, name, kind LIMIT 1
}
SET e.name = name, e.kind = kind
"""
