"""Entities: added when a chunk mentions them, gone when nothing does.

A transaction that mentions an entity holds its row by FOR KEY SHARE until it ends, and one that deletes it by FOR
UPDATE, before it looks for mentions a last time: neither can miss the other. Deleters do that as their last step, and
both in the order of ids, so that they never wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import Connection, text

from sluice.errors import Transient

IDS = "ANY(CAST(:ids AS uuid[]))"
_TURNS = 5
_ADD = text("""
    INSERT INTO entities (entity_id, tenant_id, kind)
    SELECT e.entity_id, :tenant, e.kind FROM unnest(CAST(:ids AS uuid[]), CAST(:kinds AS text[])) AS e (entity_id, kind)
    ORDER BY e.entity_id ON CONFLICT DO NOTHING
""")
_HOLD = text(f"SELECT entity_id FROM entities WHERE entity_id = {IDS} ORDER BY entity_id FOR KEY SHARE")
MENTIONED = text(f"SELECT DISTINCT entity_id FROM mentions WHERE version_id = {IDS}")
_UNMENTIONED = "NOT EXISTS (SELECT FROM mentions m WHERE m.entity_id = e.entity_id OFFSET 0)"
ORPHANS = text(f"""
    SELECT e.entity_id FROM entities e WHERE e.entity_id = {IDS} AND {_UNMENTIONED} ORDER BY e.entity_id FOR UPDATE
""")
_DELETE = text(f"DELETE FROM entities e WHERE e.entity_id = {IDS} AND {_UNMENTIONED}")


def add(connection: Connection, tenant: str, kinds: Mapping[UUID, str]) -> None:
    """`kinds`: entity id → kind. All exist, and stay, until the transaction ends."""
    missing = set(kinds)
    for _ in range(_TURNS):
        if not missing:
            return
        ids = sorted(missing)
        connection.execute(_ADD, {"tenant": tenant, "ids": ids, "kinds": [kinds[each] for each in ids]})
        # One that was found may be gone by now, deleted with its last mention: then it is added again.
        missing -= set(connection.execute(_HOLD, {"ids": ids}).scalars())
    raise Transient("Entities were deleted as fast as they were added. Nothing was written; it will be tried again.")


def mentioned(connection: Connection, version_ids: Sequence[UUID]) -> list[UUID]:
    return list(connection.execute(MENTIONED, {"ids": list(version_ids)}).scalars())


def forget(connection: Connection, entity_ids: Sequence[UUID]) -> None:
    """Delete those that nothing mentions any more. To be the last step of a transaction."""
    if entity_ids and (orphans := list(connection.execute(ORPHANS, {"ids": list(entity_ids)}).scalars())):
        connection.execute(_DELETE, {"ids": orphans})
