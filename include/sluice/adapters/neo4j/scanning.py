"""The statements that read the graph as it is, for the reconciler, and the ones that mend what nothing holds."""

from __future__ import annotations

from typing import LiteralString

# An id that is none is left to ORPHANS, or a page full of them would look like the end. The index is named: its order
# spares the sort (told in full, or the planner does not see it), and a page costs its own length.
PAGE: LiteralString = """
MATCH (c:Chunk) USING INDEX c:Chunk(collection, generation, chunk_id)
WHERE c.collection = $collection AND c.generation = $generation AND c.chunk_id > $after
  AND c.chunk_id =~ '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'
WITH c ORDER BY c.collection, c.generation, c.chunk_id LIMIT $limit
RETURN c.chunk_id AS chunk_id, c.tenant AS tenant, c.ordinal AS ordinal,
  [(c)<-[:HAS_CHUNK]-(d) | d.document_id] AS documents,
  [(c)-[m:MENTIONS]->(e) | [e.entity_id, m.count]] AS mentions
"""
# Weight = distinct chunks. One hop from the given entities to their chunks, one from each chunk to the others.
RELATED: LiteralString = """
UNWIND $ids AS id
MATCH (:Entity {entity_id: id, tenant: $tenant})<-[:MENTIONS]-(c:Chunk)
WHERE c.collection = $collection AND c.generation = $generation AND c.tenant = $tenant
WITH DISTINCT c
MATCH (c)-[:MENTIONS]->(e:Entity {tenant: $tenant})
WHERE NOT e.entity_id IN $ids
RETURN e.entity_id AS id, count(DISTINCT c) AS weight ORDER BY weight DESC, id LIMIT $limit
"""
_NO_DOCUMENT: LiteralString = "NOT (n)-[:HAS_CHUNK]->(:Chunk)"
_NO_CHUNK: LiteralString = (
    "n.collection IS NULL OR n.generation IS NULL OR NOT coalesce(toStringOrNull(n.chunk_id), '') =~ "
    "'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'"
)
_NO_ENTITY: LiteralString = "NOT (n)<-[:MENTIONS]-(:Chunk)"
ORPHANS: dict[str, LiteralString] = {
    "documents": "MATCH (n:Document) WHERE " + _NO_DOCUMENT + " RETURN elementId(n) AS id LIMIT $limit",
    "chunks": "MATCH (n:Chunk) WHERE " + _NO_CHUNK + " RETURN elementId(n) AS id LIMIT $limit",
    "entities": "MATCH (n:Entity) WHERE " + _NO_ENTITY + " RETURN elementId(n) AS id LIMIT $limit",
}
_LOCKED: LiteralString = """
UNWIND $ids AS id
MATCH (n) WHERE elementId(n) = id
SET n.sluice_lock = true
REMOVE n.sluice_lock
WITH n WHERE """
# Deleting takes the lock of the node; the condition is looked at behind it.
DROP_ORPHANS: dict[str, LiteralString] = {
    "documents": _LOCKED + "n:Document AND " + _NO_DOCUMENT + " DETACH DELETE n",
    "chunks": _LOCKED + "n:Chunk AND (" + _NO_CHUNK + ") DETACH DELETE n",
    "entities": _LOCKED + "n:Entity AND " + _NO_ENTITY + " DETACH DELETE n",
}
_WRONG_ENDS: LiteralString = """
CALL () {
  MATCH (a)-[r:HAS_CHUNK]->(b) WHERE NOT a:Document OR NOT b:Chunk RETURN r
  UNION ALL
  MATCH (a)-[r:MENTIONS]->(b) WHERE NOT a:Chunk OR NOT b:Entity RETURN r
}
"""
WRONG_EDGES: LiteralString = _WRONG_ENDS + "RETURN count(r)"
DROP_WRONG_EDGES: LiteralString = _WRONG_ENDS + "WITH r LIMIT $limit DELETE r"
