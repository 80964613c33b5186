"""Scans of the stored graph: its rows and its orphans."""

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
    """Base class of `Neo4jGraph`, which sets the driver and the limits of a transaction."""

    _driver: Driver
    _transaction: Callable[[Any], Any]

    def chunks(self, generation: Generation, after: UUID | None, limit: int) -> list[GraphRow]:
        """Returns a page in the order of chunk ids. Nodes whose id is no UUID are left out; they are orphans."""
        values = {**_scope(generation), "after": str(after) if after is not None else "", "limit": limit}
        with asking("page through chunks"), self._driver.session() as session:
            return [_row(each) for each in session.execute_read(self._transaction(_all), CHUNKS_AFTER, values)]

    def chunks_of(self, generation: Generation, chunk_ids: Sequence[UUID]) -> list[GraphRow]:
        """Returns those of the chunks that exist."""
        rows: list[GraphRow] = []
        with self._driver.session() as session:
            for start in range(0, len(chunk_ids), _BATCH_IDS):
                ids = [str(each) for each in chunk_ids[start : start + _BATCH_IDS]]
                with asking(f"read {len(ids)} chunks"):
                    values = {**_scope(generation), "ids": ids}
                    rows += [_row(each) for each in session.execute_read(self._transaction(_all), CHUNKS_OF, values)]
        return rows

    def orphans(self, limit: int) -> GraphOrphans:
        """Returns nodes and relationships that nothing refers to, in any collection, at most `limit` of each kind.
        Reads the whole graph."""
        with asking("find orphans"), self._driver.session() as session:
            lone = {
                kind: tuple(
                    each["id"] for each in session.execute_read(self._transaction(_all), query, {"limit": limit})
                )
                for kind, query in LONE.items()
            }
        return GraphOrphans(**lone)

    def drop_orphans(self, orphans: GraphOrphans) -> int:
        """Deletes orphans, chunks first. Nodes that only these chunks used become orphans, which the next call of
        `orphans` finds."""
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


def _row(record: dict[str, Any]) -> GraphRow:
    documents = record["documents"]
    mentions = [(_id(entity_id), count if isinstance(count, int) else 0) for entity_id, count in record["mentions"]]
    relations = [(_id(head), str(kind), _id(tail)) for head, kind, tail in record["relations"]]
    about = [(_id(document), _id(entity)) for document, entity in record["about"]]
    return GraphRow(
        UUID(record["chunk_id"]),
        _id(documents[0]) if len(documents) == 1 else None,
        record["tenant"],
        record["ordinal"],
        tuple(sorted(mentions, key=lambda each: (str(each[0]), each[1]))),
        tuple(sorted(relations, key=lambda each: tuple(map(str, each)))),
        tuple(sorted(about, key=lambda each: tuple(map(str, each)))),
    )


def _id(value: Any) -> UUID | None:
    """Returns None unless the id is spelled as Sluice spells UUIDs: a lookup by that spelling would not find it."""
    try:
        id = UUID(value)
    except (TypeError, ValueError, AttributeError):
        return None
    return id if str(id) == value else None
