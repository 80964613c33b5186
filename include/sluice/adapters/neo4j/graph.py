"""The port GraphIndex on Neo4j.

- `(:Document)-[:HAS_CHUNK]->(:Chunk)-[:MENTIONS {count}]->(:Entity)`: entities in the text of a chunk
- `(:Entity)-[:RELATES {kind, chunk_id, generation}]->(:Entity)`: a relation that a chunk states
- `(:Document)-[:ABOUT {chunk_id, generation}]->(:Entity)`: named by the title or a heading in one of its chunks

Every node is found by its id, so a repeated write changes nothing. A batch is one transaction. Rows are sorted by id so
that two writers lock in the same order; the driver retries transactions that still deadlock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString
from uuid import UUID

from neo4j import Driver, GraphDatabase, ManagedTransaction, NotificationMinimumSeverity, Query, unit_of_work
from neo4j.exceptions import ConstraintError

from sluice.adapters.neo4j.cypher import (
    FORGET_ABOUT,
    FORGET_RELATIONS,
    KNOWN,
    ONLINE,
    REMOVE_CHUNKS,
    REMOVE_DOCUMENTS,
    REMOVE_ENTITIES,
    RENAME_ENTITIES,
    SCHEMA,
    WRITE_ABOUT,
    WRITE_KNOWN,
    WRITE_NEW,
    WRITE_RELATIONS,
)
from sluice.adapters.neo4j.failures import asking
from sluice.adapters.neo4j.links import LinkReader
from sluice.adapters.neo4j.scanning import GraphScan
from sluice.model.generation import Generation
from sluice.model.points import GraphChunk, OutboxEntry
from sluice.model.sizes import split_by_size
from sluice.model.source import Source

_BATCH_CHUNKS = 2000
_BATCH_MENTIONS = 20_000


class Neo4jGraph(GraphScan, LinkReader):
    """A pool of connections to one Neo4j; threads may share it. The server ends a transaction after `call_timeout_s`.

    The driver detects a hung server after `server.bolt.connection_keep_alive` × `…_probes`, which the server sends when
    a connection is opened: 120 s by default. Set 5s × 2 on the server.
    """

    def __init__(
        self,
        uri: str,
        user: str,
        password: str,
        *,
        connect_timeout_s: float = 5.0,
        call_timeout_s: float = 30.0,
    ) -> None:
        self._call_timeout_s = call_timeout_s
        with asking("configure the driver"):
            self._driver: Driver = GraphDatabase.driver(
                uri,
                auth=(user, password),
                connection_timeout=connect_timeout_s,
                connection_acquisition_timeout=2 * connect_timeout_s,
                max_transaction_retry_time=call_timeout_s,
                notifications_min_severity=NotificationMinimumSeverity.OFF,
                telemetry_disabled=True,
            )
        self._transaction = unit_of_work(timeout=call_timeout_s, metadata={"app": "sluice"})

    def ensure(self) -> None:
        """Creates missing constraints and indexes, and waits until they are built."""
        with asking("ensure constraints and indexes"), self._driver.session() as session:
            online = set(session.run(ONLINE).single(strict=True)[0])
            missing = [statement for name, statement in SCHEMA.items() if name not in online]
            for statement in missing:
                session.run(Query(statement, timeout=self._call_timeout_s)).consume()
            if missing:
                wait = Query("CALL db.awaitIndexes($seconds)", timeout=self._call_timeout_s)
                session.run(wait, seconds=int(self._call_timeout_s)).consume()

    def write(self, source: Source, chunks: Sequence[GraphChunk]) -> None:
        """Merges documents, chunks and entities; replaces each chunk's MENTIONS, RELATES and ABOUT by the given ones.
        Batches that a failed call has written stay; the next call overwrites them."""
        scope = {
            "tenant": source.spec.tenant,
            "collection": source.generation.collection,
            "generation": source.generation.number,
            "source_id": str(source.source_id),
        }
        with self._driver.session() as session:
            for batch in split_by_size(chunks, lambda chunk: len(chunk.mentions), _BATCH_MENTIONS, _BATCH_CHUNKS):
                with asking(f"write {len(batch)} chunks"):
                    try:
                        session.execute_write(self._transaction(_write), scope, batch)
                    except ConstraintError:
                        # Another writer has created a chunk of this batch since the read; the retry finds it.
                        session.execute_write(self._transaction(_write), scope, batch)

    def remove(self, entries: Sequence[OutboxEntry]) -> None:
        """Deletes chunks, deleted documents without chunks, and entities that lost their last use. Deleting a missing
        one is a no-op."""
        by_generation: dict[int, list[str]] = {}
        for entry in entries:
            ids = by_generation.setdefault(entry.generation.number, [])
            ids.extend(str(each) for each in entry.chunk_ids)
        deleted = sorted({str(entry.document_id) for entry in entries if entry.document_gone})
        for generation, ids in by_generation.items():
            self._remove_chunks(generation, ids)
        self._remove_documents(deleted)

    def remove_chunks(self, generation: Generation, chunk_ids: Sequence[UUID]) -> None:
        """Deletes chunks with their relationships, and entities that lost their last use. Deleting a missing chunk is a
        no-op."""
        self._remove_chunks(generation.number, [str(each) for each in chunk_ids])

    def _remove_chunks(self, generation: int, ids: list[str]) -> None:
        with self._driver.session() as session:
            for start in range(0, len(ids), _BATCH_CHUNKS):
                batch = sorted(ids[start : start + _BATCH_CHUNKS])
                with asking(f"remove {len(batch)} chunks"):
                    session.execute_write(self._transaction(_remove), generation, batch)

    def _remove_documents(self, ids: list[str]) -> None:
        """Deletes those documents that have no chunk."""
        with self._driver.session() as session:
            for start in range(0, len(ids), _BATCH_CHUNKS):
                with asking("remove documents"):
                    session.execute_write(self._transaction(_run), REMOVE_DOCUMENTS, ids[start : start + _BATCH_CHUNKS])

    def drop(self, generation: Generation) -> None:
        """Deletes all chunks of the generation in bounded transactions, with documents and entities that only it used.
        A document is checked after its chunks; one that a crash leaves without a chunk is an orphan."""
        while rows := self.chunks(generation, None, _BATCH_CHUNKS):
            self._remove_chunks(generation.number, [str(row.chunk_id) for row in rows])
            self._remove_documents(sorted({str(row.document_id) for row in rows if row.document_id}))

    def count(self, generation: Generation, tenant: str | None = None, source: UUID | None = None) -> int:
        """Counts the chunks of the generation."""
        if source is not None:
            return self._count_of_source(generation, tenant, source)
        owned: LiteralString = "c.tenant IS NOT NULL" if tenant is None else "c.tenant = $tenant"
        query: LiteralString = (
            "MATCH (c:Chunk) USING INDEX c:Chunk(collection, generation, tenant) "
            f"WHERE c.collection = $collection AND c.generation = $generation AND {owned} RETURN count(c)"
        )
        values = {"collection": generation.collection, "generation": generation.number, "tenant": tenant}
        return int(self._value("count chunks", query, values))

    def _count_of_source(self, generation: Generation, tenant: str | None, source: UUID) -> int:
        query: LiteralString = (
            "MATCH (d:Document {source_id: $source})-[:HAS_CHUNK]->(c:Chunk {generation: $generation}) "
            "WHERE $tenant IS NULL OR c.tenant = $tenant RETURN count(c)"
        )
        values = {"source": str(source), "generation": generation.number, "tenant": tenant}
        return int(self._value("count a source's chunks", query, values))

    def ping(self) -> str:
        """Returns the server's version. Raises Unavailable."""
        query: LiteralString = "CALL dbms.components() YIELD versions RETURN versions[0]"
        return str(self._asked("read the version", query, {}))

    def _value(self, what: str, query: LiteralString, values: dict[str, Any]) -> Any:
        with asking(what), self._driver.session() as session:
            return session.execute_read(self._transaction(_single), query, values)

    def close(self) -> None:
        self._driver.close()


def _write(tx: ManagedTransaction, scope: dict[str, Any], batch: Sequence[GraphChunk]) -> None:
    ordered = sorted(batch, key=lambda chunk: chunk.chunk_id)
    ids = [str(chunk.chunk_id) for chunk in ordered]
    stored = {record["id"]: record["entities"] for record in tx.run(KNOWN, scope, ids=ids)}
    touched = {entity for entities in stored.values() for entity in entities} | _forget(tx, scope, ids)
    new = [chunk for chunk, id in zip(ordered, ids, strict=True) if id not in stored]
    if new:
        tx.run(WRITE_NEW, scope, **_parameters(new)).consume()
    if stored:
        known = [chunk for chunk, id in zip(ordered, ids, strict=True) if id in stored]
        tx.run(WRITE_KNOWN, scope, **_parameters(known)).consume()
    if about := [
        [str(chunk.chunk_id), str(chunk.document_id), str(each.entity_id), each.name, each.kind]
        for chunk in ordered
        for each in chunk.mentions
        if each.about
    ]:
        tx.run(WRITE_ABOUT, scope, about=about).consume()
    _settle(tx, touched)
    if relations := [
        [str(chunk.chunk_id), str(each.head_id), each.kind, str(each.tail_id)]
        for chunk in ordered
        for each in chunk.relations
    ]:
        tx.run(WRITE_RELATIONS, scope, relations=relations).consume()


def _parameters(chunks: Sequence[GraphChunk]) -> dict[str, Any]:
    documents = sorted({str(chunk.document_id) for chunk in chunks})
    entities = {str(m.entity_id): [str(m.entity_id), m.name, m.kind] for chunk in chunks for m in chunk.mentions}
    ordered = sorted(entities)
    names = sorted({(m.name, m.kind) for chunk in chunks for m in chunk.mentions})
    name_at = {name: position for position, name in enumerate(names)}
    document_at = {id: position for position, id in enumerate(documents)}
    entity_at = {id: position for position, id in enumerate(ordered)}
    rows = [
        [
            str(chunk.chunk_id),
            document_at[str(chunk.document_id)],
            chunk.ordinal,
            [[entity_at[str(m.entity_id)], m.count, name_at[m.name, m.kind]] for m in chunk.mentions if m.count],
        ]
        for chunk in chunks
    ]
    return {
        "documents": documents,
        "entities": [entities[id] for id in ordered],
        "names": [list(name) for name in names],
        "rows": rows,
    }


def _remove(tx: ManagedTransaction, generation: int, chunk_ids: list[str]) -> None:
    touched = {
        entity
        for record in tx.run(REMOVE_CHUNKS, ids=chunk_ids, generation=generation)
        for entity in record["entities"]
    }
    _settle(tx, touched | _forget(tx, {"generation": generation}, chunk_ids))


def _forget(tx: ManagedTransaction, scope: dict[str, Any], ids: list[str]) -> set[str | None]:
    """Deletes the RELATES and ABOUT of these chunks; returns the entities that lost an ABOUT."""
    tx.run(FORGET_RELATIONS, scope, ids=ids).consume()
    return {record["entity"] for record in tx.run(FORGET_ABOUT, scope, ids=ids)}


def _settle(tx: ManagedTransaction, touched: set[str | None]) -> None:
    """Deletes entities that lost their last use; gives the others a name that one of their remaining uses has."""
    ids = sorted(id for id in touched if id)
    if not ids:
        return
    tx.run(REMOVE_ENTITIES, ids=ids).consume()
    tx.run(RENAME_ENTITIES, ids=ids).consume()


def _run(tx: ManagedTransaction, query: LiteralString, ids: list[str]) -> None:
    tx.run(query, ids=ids).consume()


def _single(tx: ManagedTransaction, query: LiteralString, values: dict[str, Any]) -> Any:
    return tx.run(query, values).single(strict=True)[0]
