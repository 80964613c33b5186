"""The reconciler's side of the graph: rows as they are, and nodes that nothing supports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, LiteralString
from uuid import UUID

from neo4j import Driver, ManagedTransaction

from sluice.adapters.neo4j.cypher import CHUNKS_AFTER, CHUNKS_OF, DROP, LONE
from sluice.adapters.neo4j.failures import asking
from sluice.model import Generation, GraphOrphans, GraphRow

_BATCH_IDS = 2000
_NOBODY = UUID(int=0)  # stands for what is no id: it equals nothing that the ledger expects


class GraphScan:
    """A part of `Neo4jGraph`, which has the driver and the limits of a transaction."""

    _driver: Driver
    _transaction: Callable[[Any], Any]

    def chunks(self, generation: Generation, after: UUID | None, limit: int) -> list[GraphRow]:
        """In the order of chunk ids; nodes whose id is no UUID are among the orphans."""
        values = {**_scope(generation), "after": str(after) if after is not None else "", "limit": limit}
        with asking("page through chunks"), self._driver.session() as session:
            return [_row(each) for each in session.execute_read(self._transaction(_all), CHUNKS_AFTER, values)]

    def chunks_of(self, generation: Generation, chunk_ids: Sequence[UUID]) -> list[GraphRow]:
        """Those of these that are there."""
        found: list[GraphRow] = []
        with self._driver.session() as session:
            for start in range(0, len(chunk_ids), _BATCH_IDS):
                ids = [str(each) for each in chunk_ids[start : start + _BATCH_IDS]]
                with asking(f"read {len(ids)} chunks"):
                    values = {**_scope(generation), "ids": ids}
                    found += [_row(each) for each in session.execute_read(self._transaction(_all), CHUNKS_OF, values)]
        return found

    def orphans(self, limit: int) -> GraphOrphans:
        """Nodes of any collection that nothing supports, at most `limit` of each kind."""
        with asking("look for orphans"), self._driver.session() as session:
            lone = {
                kind: tuple(
                    each["id"] for each in session.execute_read(self._transaction(_all), query, {"limit": limit})
                )
                for kind, query in LONE.items()
            }
        return GraphOrphans(**lone)

    def drop_orphans(self, orphans: GraphOrphans) -> int:
        """Chunks first: what only they held up is an orphan by then, and found by the next look."""
        dropped = 0
        with self._driver.session() as session:
            for kind, query in DROP.items():
                ids = sorted(getattr(orphans, kind))
                for start in range(0, len(ids), _BATCH_IDS):
                    with asking(f"drop orphaned {kind}"):
                        values = {"ids": ids[start : start + _BATCH_IDS]}
                        (row,) = session.execute_write(self._transaction(_all), query, values)
                        dropped += row["count(*)"]
        return dropped


def _scope(generation: Generation) -> dict[str, Any]:
    return {"collection": generation.collection, "generation": generation.number}


def _all(tx: ManagedTransaction, query: LiteralString, values: dict[str, Any]) -> list[dict[str, Any]]:
    return tx.run(query, values).data()


def _row(found: dict[str, Any]) -> GraphRow:
    documents = found["documents"]
    mentions = [(_id(entity_id), count if isinstance(count, int) else 0) for entity_id, count in found["mentions"]]
    return GraphRow(
        UUID(found["chunk_id"]),
        _id(documents[0]) if len(documents) == 1 else None,
        found["tenant"],
        found["ordinal"],
        tuple(sorted(mentions)),
    )


def _id(value: Any) -> UUID:
    try:
        return UUID(value)
    except (TypeError, ValueError, AttributeError):
        return _NOBODY
