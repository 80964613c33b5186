"""Links from texts to passages over MENTIONS and ABOUT."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, LiteralString
from uuid import UUID

from neo4j import READ_ACCESS, Driver

from sluice.adapters.neo4j.failures import asking
from sluice.model.generation import Generation
from sluice.model.links import Link, Seed

# Entities with more among the passages of the generation that the caller may read are left out: they connect passages
# of different subjects. Others must not count: links would tell of them, and the epoch of this collection does not
# follow their changes.
_MOST_ABOUT = 5
_MOST_MENTIONS = 50
# Entities with more in all collections and generations of the tenant are left out, too: reading them would take long
# (the worst case, 100 names in five passages, each with 450 mentions that the caller may not read: .2 s).
_MOST_READ = 500
# An entity that one passage mentions has weight 1, one that this many mention weight 0 (inverse document frequency).
_COMMON = 10_000
_ENOUGH = 3.0  # summed weight of shared entities at which a link is as strong as it gets
# Every node is found through an index. The degree of an entity, which its node has, is read before its relationships.
# `$readable` is a map whose keys are ids of sources: for a list of another order of magnitude, Neo4j plans it again.
_LINKS: LiteralString = """
UNWIND range(0, size($seeds) - 1) AS seed
WITH seed, $seeds[seed] AS given
CALL (given) {
  MATCH (:Chunk {chunk_id: given.chunk_id, generation: $generation})-[m:MENTIONS]->(e:Entity)
  RETURN e, m.name AS name, true AS mentioned
  UNION ALL
  UNWIND given.names AS id
  MATCH (e:Entity {entity_id: id})
  RETURN e, null AS name, false AS mentioned
}
WITH seed, given.document_id AS own, e, max(name) AS name, max(mentioned) AS mentioned
WHERE NOT EXISTS { (:Document {document_id: own})-[:ABOUT {generation: $generation}]->(e) }
WITH e, max(mentioned) AS mentioned, collect({seed: seed, own: own, name: name, mentioned: mentioned}) AS askers
CALL (e, mentioned) {
  WITH e WHERE COUNT { (e)<-[:ABOUT]-() } <= $most_read
  MATCH (e)<-[r:ABOUT {generation: $generation}]-(d:Document {collection: $collection}) WHERE $readable[d.source_id]
  WITH r, d LIMIT $most_about + 1
  WITH collect({chunk_id: r.chunk_id, document_id: d.document_id}) AS found
  WITH found, 1 / sqrt(size(found)) AS about WHERE size(found) <= $most_about
  UNWIND found AS one
  RETURN one, about, 0.0 AS shared
  UNION ALL
  WITH e WHERE mentioned AND COUNT { (e)<-[:MENTIONS]-() } <= $most_read
  MATCH (e)<-[:MENTIONS]-(c:Chunk {generation: $generation, collection: $collection})<-[:HAS_CHUNK]-(d:Document)
  WHERE $readable[d.source_id]
  WITH c, d LIMIT $most_mentions + 1
  WITH collect({chunk_id: c.chunk_id, document_id: d.document_id}) AS found WHERE size(found) <= $most_mentions
  WITH found, (1 - log(size(found)) / $log_common) / $enough AS shared
  UNWIND found AS one
  RETURN one, 0.0 AS about, shared
}
UNWIND askers AS asker
WITH asker, e, one, about, shared WHERE one.document_id <> asker.own AND (about > 0 OR asker.mentioned)
WITH asker.seed AS seed, one.chunk_id AS chunk_id, about, shared, e.entity_id AS entity_id, asker.name AS name
ORDER BY about + shared DESC, entity_id
WITH seed, chunk_id, max(about) AS about, sum(shared) AS shared, head(collect({id: entity_id, name: name})) AS best
WITH seed, {chunk_id: chunk_id, about: about, shared: CASE WHEN shared > 1 THEN 1.0 ELSE shared END,
            entity_id: best.id, name: best.name} AS link
ORDER BY 2 * link.about + link.shared DESC, link.chunk_id
WITH seed, collect(link)[..$limit] AS links
UNWIND links AS link
RETURN collect([seed, link.chunk_id, link.about, link.shared, link.entity_id, link.name]) AS rows
"""


class LinkReader:
    """Base class of `Neo4jGraph`, which sets the driver and the time limit of a call."""

    _driver: Driver
    _call_timeout_s: float

    def _asked(self, what: str, query: LiteralString, values: dict[str, Any]) -> Any:
        """Returns the single value of a read that somebody waits for: one attempt, as the guard of the query service
        decides about others. Raises Unavailable."""
        with (
            asking(what),
            self._driver.session(default_access_mode=READ_ACCESS) as session,
            session.begin_transaction(timeout=self._call_timeout_s, metadata={"app": "sluice"}) as transaction,
        ):
            return transaction.run(query, values).single(strict=True)[0]

    def links(self, generation: Generation, sources: Sequence[UUID], seeds: Sequence[Seed], limit: int) -> list[Link]:
        """Returns the strongest links of each seed, at most `limit` each, strongest first."""
        values = {
            "seeds": [_parameters(seed) for seed in seeds],
            "readable": {str(each): True for each in sources},
            "generation": generation.number,
            "collection": generation.collection,
            "limit": limit,
            "most_about": _MOST_ABOUT,
            "most_mentions": _MOST_MENTIONS,
            "most_read": _MOST_READ,
            "log_common": math.log(_COMMON),
            "enough": _ENOUGH,
        }
        rows = self._asked("find linked passages", _LINKS, values)  # in one record: each costs time
        return [link for row in rows if (link := _link(row))]


def _parameters(seed: Seed) -> dict[str, Any]:
    """Returns the seed for Cypher; the question has an empty document id, which equals none."""
    return {
        "chunk_id": str(seed.chunk_id) if seed.chunk_id else None,
        "document_id": str(seed.document_id or ""),
        "names": [str(each) for each in seed.names],
    }


def _link(row: Sequence[Any]) -> Link | None:
    """Returns the link; None where a node was written by something else, with ids that are no UUIDs."""
    seed, chunk_id, about, shared, entity_id, name = row
    try:
        return Link(seed, UUID(chunk_id), about, shared, UUID(entity_id), name)
    except (TypeError, ValueError, AttributeError):
        return None
