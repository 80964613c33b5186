"""Collections and generations on PostgreSQL. Documents and chunks are counted on each call; no counter is stored."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, text

from sluice.adapters.postgres.transactions import Transactions
from sluice.errors import Busy, Terminal
from sluice.model.generation import Generation, Profile
from sluice.model.run import Counts

GENERATION_COLUMNS = """
    c.collection_id, c.name AS collection, g.generation, g.chunker, g.embedder, g.entities, g.dim, g.physical,
    c.filter_fields, g.languages
"""
_LIVE = f"""
    SELECT {GENERATION_COLUMNS}
    FROM collections c JOIN generations g ON g.collection_id = c.collection_id AND g.generation = c.live_generation
"""
LIVE_OF = text(f"{_LIVE} WHERE c.name = :name")
_LIVE_ALL = text(f"{_LIVE} ORDER BY c.name")
# A transaction that begins to drop the collection locks the row for update, so it waits until this one ends.
_DROPPING = text("SELECT dropping_since FROM collections WHERE collection_id = :collection_id FOR KEY SHARE")
# `OFFSET 0` forces a lookup by key for each row; without statistics (new tables) the planner may not choose it.
CHUNKS = "coalesce(sum((SELECT count(*) FROM chunks k WHERE k.version_id = v.version_id)), 0)::bigint AS chunks"
# By language, then together: one statement, and each version and chunk is read once.
BY_LANGUAGE = f"v.language, count(*) AS documents, {CHUNKS}"
TOGETHER = """
    SELECT coalesce(sum(documents), 0)::bigint AS documents, coalesce(sum(chunks), 0)::bigint AS chunks,
           coalesce(jsonb_object_agg(language, documents) FILTER (WHERE language IS NOT NULL), '{}') AS languages
"""
_SERVED = f"""
    {TOGETHER} FROM (
        SELECT {BY_LANGUAGE}
        FROM (SELECT version_id, document_id, language FROM versions
              WHERE collection_id = :collection_id AND generation = :generation AND state = 'active' OFFSET 0) v
        CROSS JOIN LATERAL (SELECT tenant_id, deleted_at FROM documents WHERE document_id = v.document_id OFFSET 0) d
        WHERE d.deleted_at IS NULL {{of}}
        GROUP BY v.language) l
"""
_OPEN = """
    SELECT count(*) FROM quarantine q JOIN sources s USING (source_id)
    WHERE s.collection_id = :collection_id AND q.resolved_at IS NULL
"""
SERVED = text(_SERVED.replace("{of}", ""))
SERVED_OF_TENANT = text(_SERVED.replace("{of}", "AND d.tenant_id = :tenant"))
OPEN = text(_OPEN)
OPEN_OF_TENANT = text(f"{_OPEN} AND s.tenant_id = :tenant")
# The columns by which a row of the ledger belongs to a collection; the first that a table has is used.
_OF_COLLECTION = {
    "collection_id": "= :collection_id",
    "source_id": "IN (SELECT source_id FROM sources WHERE collection_id = :collection_id)",
    "run_id": "IN (SELECT run_id FROM runs WHERE collection_id = :collection_id)",
    "document_id": "IN (SELECT document_id FROM documents WHERE collection_id = :collection_id)",
    "version_id": "IN (SELECT version_id FROM versions WHERE collection_id = :collection_id)",
}
_LEFT = text("""
    SELECT EXISTS (SELECT FROM outbox WHERE collection_id = :collection_id)
        OR EXISTS (SELECT FROM documents WHERE collection_id = :collection_id AND deleted_at IS NULL)
        OR EXISTS (SELECT FROM versions WHERE collection_id = :collection_id AND state <> 'superseded')
        OR EXISTS (SELECT FROM claims k JOIN sources s USING (source_id)
                   WHERE s.collection_id = :collection_id AND k.lapses_at > clock_timestamp())
""")
# Waits for every transaction that adds to the collection: a foreign key, or `check_not_dropping`, locks its row.
_ALONE_IN = text("SELECT FROM collections WHERE collection_id = :collection_id FOR UPDATE")
_SAVED_IN = text("SELECT EXISTS (SELECT FROM sources WHERE collection_id = :collection_id AND removed_at IS NULL)")
_BEGIN_DROP = text("""
    UPDATE collections SET dropping_since = coalesce(dropping_since, now()) WHERE collection_id = :collection_id
""")


class PostgresCollections(Transactions):
    """`sluice.ports.collections.Collections`."""

    def generations(self) -> list[Generation]:
        return [generation_of(row) for row in self._rows(_LIVE_ALL)]

    def counts(self, generation: Generation, tenant: str | None = None) -> Counts:
        with self._transaction() as connection:
            values = {**values_of(generation), "tenant": tenant}
            served = connection.execute(SERVED if tenant is None else SERVED_OF_TENANT, values).one()
            quarantined = connection.execute(OPEN if tenant is None else OPEN_OF_TENANT, values).scalar_one()
            return Counts(**served._mapping, quarantined=quarantined)

    def begin_drop(self, generation: Generation) -> None:
        with self._at_length() as connection:
            values = {"collection_id": generation.collection_id}
            connection.execute(_ALONE_IN, values)
            _check_empty(connection, generation)
            if connection.execute(_SAVED_IN, values).scalar():
                raise _not_empty(generation.collection)
            connection.execute(_BEGIN_DROP, values)

    def drop(self, generation: Generation) -> None:
        from sluice.adapters.postgres.tables.base import LedgerBase  # imports SQLAlchemy's mapper

        with self._at_length() as connection:
            values = {"collection_id": generation.collection_id}
            connection.execute(_ALONE_IN, values)
            _check_empty(connection, generation)
            # Tables are selected by their columns, so that a table added later is included; children before parents.
            for table in reversed(LedgerBase.metadata.sorted_tables):
                column = next((name for name in _OF_COLLECTION if name in table.columns), None)
                if column is not None and table.name != "collections":
                    connection.execute(
                        text(f"DELETE FROM {table.name} WHERE {column} {_OF_COLLECTION[column]}"), values
                    )
            connection.execute(text("DELETE FROM collections WHERE collection_id = :collection_id"), values)


def _check_empty(connection: Connection, generation: Generation) -> None:
    if connection.execute(_LEFT, {"collection_id": generation.collection_id}).scalar():
        raise _not_empty(generation.collection)


def _not_empty(collection: str) -> Terminal:
    return Terminal(
        f"Collection {collection} still holds documents, outbox entries that its stores have not processed, a source "
        "that was saved meanwhile, or a run that works on one of its sources. The documents already deleted are "
        "unreadable. Run the deletion again."
    )


def check_not_dropping(connection: Connection, generation: Generation) -> None:
    """Raises Busy if the collection is being dropped; else prevents that until the transaction ends."""
    name = generation.collection
    if connection.execute(_DROPPING, {"collection_id": generation.collection_id}).scalar():
        raise Busy(
            f"Collection {name} is being deleted. Nothing was changed. Run this again when the deletion has ended; if "
            f"it was interrupted, finish it with `sluice collections delete {name}`."
        )


def values_of(generation: Generation) -> dict[str, Any]:
    """Returns the generation's values for the parameters of a statement."""
    return {"collection_id": generation.collection_id, "generation": generation.number}


def generation_of(row: Row[Any]) -> Generation:
    """Builds a generation from a row with GENERATION_COLUMNS."""
    profile = Profile(chunker=row.chunker, embedder=row.embedder, entities=row.entities, dim=row.dim)
    return Generation(
        collection_id=row.collection_id,
        collection=row.collection,
        number=row.generation,
        profile=profile,
        backing_collection=row.physical,
        filter_fields=tuple(row.filter_fields),
        languages=tuple(row.languages),
    )
