"""The outbox: chunks and documents that must still be deleted from the vector index and the graph.

Documents stay locked from the decision what to delete until it is deleted. A version that contains the chunk again is
staged either before (the chunk is not deleted) or after (the chunk is written again). Without this lock a slow deletion
could remove a point that was written again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy import Connection, text

from sluice.adapters.postgres.collections import GENERATION_COLUMNS, generation_of
from sluice.adapters.postgres.transactions import IDLE, Transactions
from sluice.model.generation import Generation
from sluice.model.points import OutboxEntry

_TAKE = "SELECT outbox_id, document_id FROM outbox WHERE collection_id = :collection_id ORDER BY outbox_id LIMIT :limit"
TAKE = text(f"{_TAKE} FOR UPDATE SKIP LOCKED")
TAKE_ALL = text(f"{_TAKE} FOR UPDATE")  # waits for entries that another caller has locked
# Shared, so that two callers do not wait for each other; transactions that stage, activate or remove a version wait.
_LOCK = text("""
    SELECT FROM documents WHERE document_id = ANY(CAST(:ids AS uuid[])) ORDER BY document_id FOR SHARE
""")
# A chunk may have been written again since it was queued (an edit was undone): then it must not be deleted. The same
# holds for the document if a run has staged it again and is about to write it.
# `OFFSET 0` forces a lookup by index for each chunk, with or without statistics.
WORK = text(f"""
    SELECT o.outbox_id, o.document_id, {GENERATION_COLUMNS},
           o.document_gone AND NOT EXISTS (SELECT FROM versions v WHERE v.document_id = o.document_id
                                           AND v.state <> 'superseded' OFFSET 0) AS document_gone,
           ARRAY(SELECT i.chunk_id FROM unnest(o.chunk_ids) WITH ORDINALITY AS i (chunk_id, place)
                 WHERE NOT EXISTS (SELECT FROM chunks k WHERE k.chunk_id = i.chunk_id
                                   AND k.collection_id = o.collection_id AND k.generation = o.generation OFFSET 0)
                 ORDER BY i.place) AS chunk_ids
    FROM (SELECT * FROM outbox WHERE outbox_id = ANY(CAST(:ids AS bigint[])) OFFSET 0) o
    JOIN collections c ON c.collection_id = o.collection_id
    JOIN generations g ON g.collection_id = o.collection_id AND g.generation = o.generation
    ORDER BY o.outbox_id
""")
DONE = text("DELETE FROM outbox WHERE outbox_id = ANY(CAST(:ids AS bigint[]))")
QUEUED = text("""
    SELECT coalesce(sum(cardinality(chunk_ids)), 0) FROM outbox WHERE collection_id = :collection_id
""")


class PostgresOutbox(Transactions):
    """`sluice.ports.outbox.Outbox`."""

    def queued(self, generation: Generation) -> int:
        return int(self._value(QUEUED, {"collection_id": generation.collection_id}))

    @contextmanager
    def entries(self, collection_id: UUID, limit: int, *, wait: bool = False) -> Iterator[list[OutboxEntry]]:
        with self._transaction() as connection:
            taken = _take(connection, collection_id, limit, wait)
            yield taken
            if taken:
                strike(connection, [each.outbox_id for each in taken])

    @contextmanager
    def locked(self, document_ids: Sequence[UUID]) -> Iterator[None]:
        with self._transaction() as connection:
            _lock(connection, document_ids)
            yield


def _lock(connection: Connection, document_ids: Sequence[UUID]) -> None:
    """Locks the documents until the transaction ends, which may take as long as the calls to the stores."""
    connection.execute(IDLE)
    connection.execute(_LOCK, {"ids": list(document_ids)})


def _take(connection: Connection, collection_id: UUID, limit: int, wait: bool) -> list[OutboxEntry]:
    values = {"collection_id": collection_id, "limit": limit}
    taken = connection.execute(TAKE_ALL if wait else TAKE, values).all()
    if not taken:
        return []
    _lock(connection, [row.document_id for row in taken])
    rows = connection.execute(WORK, {"ids": [row.outbox_id for row in taken]})
    return [
        OutboxEntry(
            outbox_id=row.outbox_id,
            generation=generation_of(row),
            document_id=row.document_id,
            chunk_ids=tuple(row.chunk_ids),
            document_gone=row.document_gone,
        )
        for row in rows
    ]


def strike(connection: Connection, outbox_ids: Sequence[int]) -> None:
    """Deletes processed outbox entries."""
    connection.execute(DONE, {"ids": sorted(outbox_ids)})
