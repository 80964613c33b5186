"""Saved sources on PostgreSQL: their schedules, their last runs, and who holds them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, text

from sluice.adapters.postgres.rules import not_saved
from sluice.adapters.postgres.sources import SPEC_COLUMNS, spec_of
from sluice.model.schedules import check_cron
from sluice.model.source import LastRun, SavedSource, Schedule

_RUN_COLUMNS = "r.run_id, r.state, r.started_at, r.finished_at, r.summary ->> 'error' AS error"
# Not a replay or a purge, nor one that found another run at work: the source waits on.
_TOOK_IN = "mode IN ('incremental', 'full') AND coalesce(summary ->> 'error', '') NOT LIKE 'Busy:%'"
# Each `OFFSET 0` makes one step a look-up by key for each source.
SAVED = f"""
    SELECT {SPEC_COLUMNS}, c.name AS collection, s.schedule, s.paused, s.created_at,
           s.removed_at, {_RUN_COLUMNS}, h.orchestrator
    FROM sources s
    JOIN collections c USING (collection_id)
    LEFT JOIN LATERAL (SELECT * FROM runs WHERE source_id = s.source_id AND {_TOOK_IN}
                       ORDER BY started_at DESC, run_id DESC LIMIT 1 OFFSET 0) r ON true
    LEFT JOIN LATERAL (SELECT coalesce(b.orchestrator, b.run_id::text) AS orchestrator
                       FROM claims k JOIN runs b USING (run_id)
                       WHERE k.source_id = s.source_id AND k.lapses_at > clock_timestamp() AND b.state = 'running'
                       OFFSET 0) h ON true
"""  # noqa: S608
# One that was removed by hand is there as long as its documents are.
THERE = """
    (s.removed_at IS NULL OR EXISTS (SELECT FROM documents d WHERE d.source_id = s.source_id AND d.deleted_at IS NULL
                                     AND d.removed_at IS NULL OFFSET 0))
"""
_OF = text(f"""
    {SAVED}
    WHERE {THERE} AND (CAST(:tenant AS text) IS NULL OR s.tenant_id = :tenant)
      AND (CAST(:collection AS text) IS NULL OR c.name = :collection)
    ORDER BY s.tenant_id COLLATE "C", c.name COLLATE "C", s.uri COLLATE "C"
""")
_SET = text("""
    UPDATE sources s SET schedule = :cron, paused = :paused FROM collections c
    WHERE c.collection_id = s.collection_id AND s.tenant_id = :tenant AND c.name = :collection AND s.uri = :uri
""")
_RUN_BY = text(f"""
    SELECT {_RUN_COLUMNS} FROM runs r WHERE r.source_id = :source_id AND r.orchestrator = :orchestrator
    ORDER BY r.started_at DESC, r.run_id DESC LIMIT 1
""")  # noqa: S608


def saved_sources(connection: Connection, tenant: str | None, collection: str | None) -> list[SavedSource]:
    return [saved_of(row) for row in connection.execute(_OF, {"tenant": tenant, "collection": collection})]


def set_schedule(connection: Connection, tenant: str, collection: str, uri: str, schedule: Schedule) -> None:
    cron = None if schedule.cron is None else check_cron(schedule.cron)
    values = {"tenant": tenant, "collection": collection, "uri": uri, "cron": cron, "paused": schedule.paused}
    if not connection.execute(_SET, values).rowcount:
        raise not_saved(tenant, collection, uri)


def run_by(connection: Connection, source: SavedSource, orchestrator: str) -> LastRun | None:
    values = {"source_id": source.source_id, "orchestrator": orchestrator}
    row = connection.execute(_RUN_BY, values).one_or_none()
    return _last(row) if row else None


def saved_of(row: Row[Any]) -> SavedSource:
    """From a row of SAVED."""
    return SavedSource(
        row.source_id,
        spec_of(row),
        Schedule(row.schedule, row.paused),
        row.created_at,
        _last(row) if row.run_id else None,
        row.orchestrator,
        row.removed_at,
    )


def _last(row: Row[Any]) -> LastRun:
    return LastRun(row.run_id, row.state, row.started_at, row.finished_at, row.error)
