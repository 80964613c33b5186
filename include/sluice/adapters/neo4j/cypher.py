"""Cypher statements for Neo4j. Every node is found by its id, through the index of a constraint."""

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
    # For the relations of a chunk: a relationship connects two entities and cannot point to the chunk too.
    "relates_chunk": "CREATE INDEX relates_chunk IF NOT EXISTS FOR ()-[r:RELATES]-() ON (r.chunk_id, r.generation)",
    # For the ABOUT relationships of one chunk: its document may have thousands of headings.
    "about_chunk": "CREATE INDEX about_chunk IF NOT EXISTS FOR ()-[r:ABOUT]-() ON (r.chunk_id, r.generation)",
}
ONLINE: LiteralString = "SHOW INDEXES YIELD name, state WHERE state = 'ONLINE' RETURN collect(name)"
# One statement for nodes and relationships: rows refer to documents and entities by their position in the lists that
# were just merged, which avoids an index lookup and a long id for every relationship (three times as fast).
# The entity's name is set again on purpose: a write takes the node's lock, so that a removal that sees the entity
# without mentions has to wait and check again.
# $entities: [entity_id, name, kind]; $names: [name, kind]; $rows: [chunk_id, document, ordinal, [[entity, count, name],
# …]]. A mention stores the name that its text used, so that the entity never shows a name that no chunk uses any more.
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
# $relations: [chunk_id, head, kind, tail]. After FORGET_RELATIONS, and a write that merged, and locked, both ends.
WRITE_RELATIONS: LiteralString = """
UNWIND $relations AS row
MATCH (head:Entity {entity_id: row[1]})
MATCH (tail:Entity {entity_id: row[3]})
CREATE (head)-[:RELATES {kind: row[2], chunk_id: row[0], generation: $generation}]->(tail)
"""
# $about: [chunk_id, document_id, entity_id, name, kind]. After FORGET_ABOUT, and a write that merged both ends.
WRITE_ABOUT: LiteralString = """
UNWIND $about AS row
MATCH (d:Document {document_id: row[1]})
MATCH (e:Entity {entity_id: row[2]})
CREATE (d)-[:ABOUT {name: row[3], kind: row[4], chunk_id: row[0], generation: $generation}]->(e)
"""
# By the chunk's id, not by its node: the node may have been deleted by hand.
FORGET_ABOUT: LiteralString = """
UNWIND $ids AS id
MATCH ()-[r:ABOUT {chunk_id: id, generation: $generation}]->(e)
WITH r, e.entity_id AS entity
DELETE r
RETURN DISTINCT entity
"""
FORGET_RELATIONS: LiteralString = """
UNWIND $ids AS id
MATCH ()-[r:RELATES {chunk_id: id, generation: $generation}]->()
DELETE r
"""
# Locks each chunk before it reads the mentions, so that two writers of one chunk run one after the other.
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
DETACH DELETE d
"""
REMOVE_ENTITIES: LiteralString = """
UNWIND $ids AS id
MATCH (e:Entity {entity_id: id})
SET e.name = e.name
WITH e WHERE NOT (e)<-[:MENTIONS|ABOUT]-()
DETACH DELETE e
"""
# After REMOVE_ENTITIES, in its transaction, which holds the locks. Mentions written by an older release have no name;
# they count as using the entity's name. EXISTS stops at the first match.
RENAME_ENTITIES: LiteralString = """
UNWIND $ids AS id
MATCH (e:Entity {entity_id: id})
WHERE NOT EXISTS {
  MATCH (e)<-[m:MENTIONS|ABOUT]-() WHERE coalesce(m.name, e.name) = e.name AND coalesce(m.kind, e.kind) = e.kind }
CALL (e) {
  MATCH (e)<-[m:MENTIONS|ABOUT]-() WHERE m.name IS NOT NULL
  RETURN m.name AS name, m.kind AS kind, sum(coalesce(m.count, 1)) AS times ORDER BY times DESC, name, kind LIMIT 1
}
SET e.name = name, e.kind = kind
"""
# Returns everything that is connected to a chunk; a node of the wrong kind is returned without an id.
_ROW: LiteralString = """
RETURN c.chunk_id AS chunk_id, c.tenant AS tenant, c.ordinal AS ordinal,
  [(c)<-[:HAS_CHUNK]-(d) | CASE WHEN d:Document THEN d.document_id END] AS documents,
  [(c)-[m:MENTIONS]->(e) | [CASE WHEN e:Entity THEN e.entity_id END, m.count]] AS mentions,
  COLLECT {
    MATCH (h)-[r:RELATES {chunk_id: c.chunk_id, generation: c.generation}]->(t)
    RETURN [CASE WHEN h:Entity THEN h.entity_id END, r.kind, CASE WHEN t:Entity THEN t.entity_id END]
  } AS relations,
  COLLECT {
    MATCH (d)-[r:ABOUT {chunk_id: c.chunk_id, generation: c.generation}]->(e)
    RETURN [CASE WHEN d:Document THEN d.document_id END, CASE WHEN e:Entity THEN e.entity_id END]
  } AS about
"""
_ID: LiteralString = "'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'"
# Nodes whose id is no UUID are left out, because a page full of them would look like the end; they are orphans. The
# index is named so that its order replaces the sort; ORDER BY lists all its columns, or the planner does not use it.
CHUNKS_AFTER: LiteralString = f"""
MATCH (c:Chunk) USING INDEX c:Chunk(collection, generation, chunk_id)
WHERE c.collection = $collection AND c.generation = $generation AND c.chunk_id > $after AND c.chunk_id =~ {_ID}
WITH c ORDER BY c.collection, c.generation, c.chunk_id LIMIT $limit
{_ROW}"""
CHUNKS_OF: LiteralString = f"""
UNWIND $ids AS id
MATCH (c:Chunk {{chunk_id: id, generation: $generation}}) WHERE c.collection = $collection
{_ROW}"""
_LONE_DOCUMENT: LiteralString = "NOT (n)-[:HAS_CHUNK]->(:Chunk)"
_LONE_ENTITY: LiteralString = "NOT (n)<-[:MENTIONS]-(:Chunk) AND NOT (n)<-[:ABOUT]-(:Document)"
_STRAY_CHUNK: LiteralString = (
    f"n.collection IS NULL OR n.generation IS NULL OR NOT coalesce(toStringOrNull(n.chunk_id), '') =~ {_ID}"
)
_LONE_RELATION: LiteralString = (
    "NOT a:Entity OR NOT b:Entity OR NOT EXISTS { (:Chunk {chunk_id: r.chunk_id, generation: r.generation}) }"
)
_LONE_ABOUT: LiteralString = (
    "NOT a:Document OR NOT b:Entity OR NOT EXISTS { (:Chunk {chunk_id: r.chunk_id, generation: r.generation}) }"
)
LONE: dict[str, LiteralString] = {
    "chunks": f"MATCH (n:Chunk) WHERE {_STRAY_CHUNK} RETURN elementId(n) AS id LIMIT $limit",
    "documents": f"MATCH (n:Document) WHERE {_LONE_DOCUMENT} RETURN elementId(n) AS id LIMIT $limit",
    "entities": f"MATCH (n:Entity) WHERE {_LONE_ENTITY} RETURN elementId(n) AS id LIMIT $limit",
    "edges": f"""
CALL () {{
  MATCH (a)-[r:HAS_CHUNK]->(b) WHERE NOT a:Document OR NOT b:Chunk RETURN r
  UNION ALL
  MATCH (a)-[r:MENTIONS]->(b) WHERE NOT a:Chunk OR NOT b:Entity RETURN r
  UNION ALL
  MATCH (a)-[r:RELATES]->(b) WHERE {_LONE_RELATION} RETURN r
  UNION ALL
  MATCH (a)-[r:ABOUT]->(b) WHERE {_LONE_ABOUT} RETURN r
}}
RETURN elementId(r) AS id LIMIT $limit""",
}
# A write takes the node's lock: a transaction that connects something to the node runs before, or finds it deleted.
_DROP: LiteralString = """
UNWIND $ids AS id
MATCH (n) WHERE elementId(n) = id
SET n.dropping = true
WITH n, 0 AS locked
REMOVE n.dropping
WITH n WHERE
"""
# In the order of deletion.
DROP: dict[str, LiteralString] = {
    "chunks": f"{_DROP} n:Chunk AND ({_STRAY_CHUNK}) DETACH DELETE n RETURN count(*)",
    "documents": f"{_DROP} n:Document AND {_LONE_DOCUMENT} DETACH DELETE n RETURN count(*)",
    "entities": f"{_DROP} n:Entity AND {_LONE_ENTITY} DETACH DELETE n RETURN count(*)",
    "edges": f"""
UNWIND $ids AS id
MATCH (a)-[r]->(b) WHERE elementId(r) = id
  AND (type(r) = 'HAS_CHUNK' AND (NOT a:Document OR NOT b:Chunk) OR
       type(r) = 'MENTIONS' AND (NOT a:Chunk OR NOT b:Entity) OR
       type(r) = 'RELATES' AND ({_LONE_RELATION}) OR
       type(r) = 'ABOUT' AND ({_LONE_ABOUT}))
DELETE r RETURN count(*)""",
}
