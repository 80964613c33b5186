"""Entities: added when a chunk mentions them, deleted when no chunk does.

A transaction that mentions an entity locks its row FOR KEY SHARE until it ends. A transaction that has deleted mentions
locks their entities FOR NO KEY UPDATE: of two that delete the last two mentions of an entity, the second waits and then
sees that none is left. It locks an entity without mentions FOR UPDATE before its last check, so it waits for a
transaction that adds a mention. All lock in the order of ids. Deletion is the last step of a transaction; one that also
mentions entities deletes first.
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
_TAKE = text(f"SELECT entity_id FROM entities WHERE entity_id = {IDS} ORDER BY entity_id FOR NO KEY UPDATE")
ORPHANS = text(f"""
    SELECT e.entity_id FROM entities e WHERE e.entity_id = {IDS} AND {_UNMENTIONED} ORDER BY e.entity_id FOR UPDATE
""")
_DELETE = text(f"DELETE FROM entities e WHERE e.entity_id = {IDS} AND {_UNMENTIONED}")


def add(connection: Connection, tenant: str, kinds: Mapping[UUID, str]) -> None:
    """Adds missing entities and keeps all of them until the transaction ends. `kinds`: entity id → kind. Raises
    Transient."""
    missing = set(kinds)
    for _ in range(_TURNS):
        if not missing:
            return
        ids = sorted(missing)
        connection.execute(_ADD, {"tenant": tenant, "ids": ids, "kinds": [kinds[each] for each in ids]})
        # An existing entity may have been deleted meanwhile, with its last mention: then it is added again.
        missing -= set(connection.execute(_HOLD, {"ids": ids}).scalars())
    raise Transient("Entities were deleted as fast as they were added. Nothing was written; the call will be retried.")


def mentioned(connection: Connection, version_ids: Sequence[UUID]) -> list[UUID]:
    """Returns the entities that chunks of these versions mention."""
    return list(connection.execute(MENTIONED, {"ids": list(version_ids)}).scalars())


def forget(connection: Connection, entity_ids: Sequence[UUID]) -> None:
    """Deletes the entities that no chunk mentions any more. Call it as the last step of a transaction, or before
    `add`."""
    if not entity_ids:
        return
    held = list(connection.execute(_TAKE, {"ids": list(entity_ids)}).scalars())
    if orphans := list(connection.execute(ORPHANS, {"ids": held}).scalars()):
        connection.execute(_DELETE, {"ids": orphans})
