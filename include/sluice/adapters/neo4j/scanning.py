"""The graph as it is: its rows, and what nothing supports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, LiteralString
from uuid import UUID

from neo4j import Driver, ManagedTransaction

from sluice.adapters.neo4j.cypher import CHUNKS_AFTER, CHUNKS_OF, DROP, LONE
from sluice.adapters.neo4j.failures import asking
from sluice.model.generation import Generation
from sluice.model.points import GraphOrphans, GraphRow

_BATCH_IDS = 2000


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
        """What nothing supports, in any collection, at most `limit` of each kind. Looks at everything."""
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
    relations = [(_id(head), str(kind), _id(tail)) for head, kind, tail in found["relations"]]
    about = [(_id(document), _id(entity)) for document, entity in found["about"]]
    return GraphRow(
        UUID(found["chunk_id"]),
        _id(documents[0]) if len(documents) == 1 else None,
        found["tenant"],
        found["ordinal"],
        tuple(sorted(mentions, key=lambda each: (str(each[0]), each[1]))),
        tuple(sorted(relations, key=lambda each: tuple(map(str, each)))),
        tuple(sorted(about, key=lambda each: tuple(map(str, each)))),
    )


def _id(value: Any) -> UUID | None:
    """None where it is not spelled as ours are: looking for it by our spelling would not find it."""
    try:
        id = UUID(value)
    except (TypeError, ValueError, AttributeError):
        return None
    return id if str(id) == value else None
