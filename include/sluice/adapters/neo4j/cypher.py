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
    # For paging through a generation in the order of ids.
    "chunk_pages": "CREATE INDEX chunk_pages IF NOT EXISTS FOR (c:Chunk) ON (c.collection, c.generation, c.chunk_id)",
}
ONLINE: LiteralString = "SHOW INDEXES YIELD name, state WHERE state = 'ONLINE' RETURN collect(name)"
# One statement for nodes and relationships: rows name documents and entities by their position in the lists that were
# just merged, which spares an index lookup and a long id for every relationship (three times as fast).
# The entity's name is set again on purpose: writing takes the node's lock, so that a removal which sees the entity
# without mentions has to wait, and look again.
# $entities: [entity_id, name, kind]; $rows: [chunk_id, document, ordinal, [[entity, count], …]].
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
ON CREATE SET c.collection = $collection, c.tenant = $tenant
SET c.ordinal = row[2]
MERGE (d)-[:HAS_CHUNK]->(c)
"""
_CREATE_MENTIONS: LiteralString = """
WITH entities, c, row
UNWIND row[3] AS mention
WITH c, entities[mention[0]] AS e, mention[1] AS times
CREATE (c)-[:MENTIONS {count: times}]->(e)
"""
WRITE_NEW: LiteralString = _MERGE_ENDS + _CREATE_CHUNK + _CREATE_MENTIONS
WRITE_KNOWN: LiteralString = _MERGE_ENDS + _MERGE_CHUNK + _CREATE_MENTIONS
# Takes the lock of each chunk before it reads the mentions: two writers of one chunk go one after the other.
KNOWN: LiteralString = """
UNWIND $ids AS id
MATCH (c:Chunk {chunk_id: id, generation: $generation})
SET c.ordinal = c.ordinal
WITH id, c
OPTIONAL MATCH (c)-[m:MENTIONS]->(e:Entity)
WITH id, collect(m) AS old, collect(e.entity_id) AS entities
FOREACH (m IN old | DELETE m)
RETURN id, entities
"""
REMOVE_CHUNKS: LiteralString = """
UNWIND $ids AS id
MATCH (c:Chunk {chunk_id: id, generation: $generation})
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
_ROW: LiteralString = """
OPTIONAL MATCH (d:Document)-[:HAS_CHUNK]->(c)
WITH c, collect(d.document_id) AS documents
OPTIONAL MATCH (c)-[m:MENTIONS]->(e:Entity)
RETURN c.chunk_id AS chunk_id, documents, c.tenant AS tenant, c.ordinal AS ordinal,
       collect(CASE WHEN e IS NULL THEN NULL ELSE [e.entity_id, m.count] END) AS mentions
"""
# A node with an id that is no UUID is not one of a page: it is found among the orphans.
_ID = "'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'"
CHUNKS_AFTER: LiteralString = f"""
MATCH (c:Chunk) USING INDEX c:Chunk(collection, generation, chunk_id)
WHERE c.collection = $collection AND c.generation = $generation AND c.chunk_id > $after AND c.chunk_id =~ {_ID}
WITH c ORDER BY c.chunk_id LIMIT $limit
{_ROW} ORDER BY chunk_id
"""
CHUNKS_OF: LiteralString = f"""
UNWIND $ids AS id
MATCH (c:Chunk {{chunk_id: id, generation: $generation}}) WHERE c.collection = $collection
{_ROW}
"""
_LONE_DOCUMENT: LiteralString = "NOT (n)-[:HAS_CHUNK]->()"
_LONE_ENTITY: LiteralString = "NOT (n)<-[:MENTIONS]-()"
_STRAY_CHUNK: LiteralString = (
    f"n.chunk_id IS NULL OR n.collection IS NULL OR n.generation IS NULL OR NOT n.chunk_id =~ {_ID}"
)
LONE: dict[str, LiteralString] = {
    "documents": f"MATCH (n:Document) WHERE {_LONE_DOCUMENT} RETURN elementId(n) AS id LIMIT $limit",
    "entities": f"MATCH (n:Entity) WHERE {_LONE_ENTITY} RETURN elementId(n) AS id LIMIT $limit",
    "chunks": f"MATCH (n:Chunk) WHERE {_STRAY_CHUNK} RETURN elementId(n) AS id LIMIT $limit",
}
# Writing takes the node's lock: whoever is about to hang something on it goes before, or finds it gone.
_DROP: LiteralString = """
UNWIND $ids AS id
MATCH (n) WHERE elementId(n) = id
SET n.dropping = true
WITH n, 0 AS locked
REMOVE n.dropping
WITH n WHERE
"""
DROP: dict[str, LiteralString] = {
    "chunks": f"{_DROP} n:Chunk AND ({_STRAY_CHUNK}) DETACH DELETE n RETURN count(*)",
    "documents": f"{_DROP} n:Document AND {_LONE_DOCUMENT} DETACH DELETE n RETURN count(*)",
    "entities": f"{_DROP} n:Entity AND {_LONE_ENTITY} DETACH DELETE n RETURN count(*)",
}
