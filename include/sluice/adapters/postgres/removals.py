"""The outbox: what vectors and graph have still to let go."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection, text

from sluice.adapters.postgres.sources import GENERATION_COLUMNS, generation_of
from sluice.model import Removal

# A chunk may have come back since it was queued (an edit was undone): it must not be taken out any more.
# `OFFSET 0` keeps that a look-up by index for each chunk, with or without statistics.
WORK = text(f"""
    SELECT o.outbox_id, o.document_id, o.document_gone, {GENERATION_COLUMNS},
           ARRAY(SELECT i.chunk_id FROM unnest(o.chunk_ids) WITH ORDINALITY AS i (chunk_id, place)
                 WHERE NOT EXISTS (SELECT FROM chunks k WHERE k.chunk_id = i.chunk_id
                                   AND k.collection_id = o.collection_id AND k.generation = o.generation OFFSET 0)
                 ORDER BY i.place) AS chunk_ids
    FROM (SELECT * FROM outbox WHERE collection_id = :collection_id ORDER BY outbox_id LIMIT :limit) o
    JOIN collections c ON c.collection_id = o.collection_id
    JOIN generations g ON g.collection_id = o.collection_id AND g.generation = o.generation
    ORDER BY o.outbox_id
""")  # noqa: S608
DONE = text("DELETE FROM outbox WHERE outbox_id = ANY(CAST(:ids AS bigint[]))")


def removals(connection: Connection, collection_id: UUID, limit: int) -> list[Removal]:
    rows = connection.execute(WORK, {"collection_id": collection_id, "limit": limit})
    return [
        Removal(row.outbox_id, generation_of(row), row.document_id, tuple(row.chunk_ids), row.document_gone)
        for row in rows
    ]


def removed(connection: Connection, outbox_ids: Sequence[int]) -> None:
    connection.execute(DONE, {"ids": sorted(outbox_ids)})
