"""Sources on PostgreSQL: registration, schedules, last runs, and which run holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from sluice.adapters.postgres.collections import GENERATION_COLUMNS, LIVE_OF, check_not_dropping, generation_of
from sluice.adapters.postgres.expiry import change_retention, renew_expiry
from sluice.adapters.postgres.transactions import Transactions
from sluice.errors import NotFound
from sluice.model.generation import Generation, Profile
from sluice.model.run import Run
from sluice.model.schedules import check_cron
from sluice.model.source import LastRun, SavedSource, Schedule, Source, SourceSpec

_COLLECTION = text("""
    INSERT INTO collections (name, live_generation, filter_fields) VALUES (:name, 1, :filter_fields)
    ON CONFLICT (name) DO NOTHING RETURNING collection_id
""")
_FIRST_GENERATION = text("""
    INSERT INTO generations (collection_id, generation, chunker, embedder, entities, dim, physical, state,
                             terms_complete)
    VALUES (:collection_id, 1, :chunker, :embedder, :entities, :dim, :physical, 'live', true)
""")
SPEC_COLUMNS = """
    s.source_id, s.tenant_id, s.uri, s.access_groups, s.retention_days, s.include_globs, s.exclude_globs
"""
_SPEC = f"""
    SELECT {SPEC_COLUMNS}, c.name AS collection FROM sources s JOIN collections c USING (collection_id)
    WHERE s.tenant_id = :tenant AND c.name = :collection AND s.uri = :uri
"""
_READ = text(_SPEC)
_LOCK = text(f"{_SPEC} FOR NO KEY UPDATE OF s")
_ADD = text("""
    INSERT INTO sources (tenant_id, collection_id, uri, access_groups, retention_days, include_globs, exclude_globs)
    VALUES (:tenant, :collection_id, :uri, :access_groups, :retention_days, :include_globs, :exclude_globs)
    ON CONFLICT (tenant_id, collection_id, uri) DO NOTHING RETURNING source_id
""")
_CHANGE = text("""
    UPDATE sources SET access_groups = :access_groups, retention_days = :retention_days,
        retain_until = CASE WHEN CAST(:retention_days AS integer) IS NULL THEN retain_until END,
        include_globs = :include_globs, exclude_globs = :exclude_globs
    WHERE source_id = :source_id
""")
_BRING_BACK = text(
    "UPDATE sources SET removed_at = NULL, paused = false WHERE source_id = :source_id AND removed_at IS NOT NULL"
)
_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended('sluice/scan/' || CAST(:source_id AS text), 0))")
RUN_COLUMNS = "r.run_id, r.state, r.started_at, r.finished_at, r.summary ->> 'error' AS error"
# Neither a replay or purge, nor a run that ended as Busy: the source is still due.
_TOOK_IN = "mode IN ('incremental', 'full') AND coalesce(summary ->> 'error', '') NOT LIKE 'Busy:%'"
# Each `OFFSET 0` forces a lookup by key for each source.
SAVED = f"""
    SELECT {SPEC_COLUMNS}, c.name AS collection, s.schedule, s.paused, s.created_at,
           s.removed_at, {RUN_COLUMNS}, h.orchestrator
    FROM sources s
    JOIN collections c USING (collection_id)
    LEFT JOIN LATERAL (SELECT * FROM runs WHERE source_id = s.source_id AND {_TOOK_IN}
                       ORDER BY started_at DESC, run_id DESC LIMIT 1 OFFSET 0) r ON true
    LEFT JOIN LATERAL (SELECT coalesce(b.orchestrator, b.run_id::text) AS orchestrator
                       FROM claims k JOIN runs b USING (run_id)
                       WHERE k.source_id = s.source_id AND k.lapses_at > clock_timestamp() AND b.state = 'running'
                       OFFSET 0) h ON true
"""
# A source that was removed by hand is listed as long as it has documents.
THERE = """
    (s.removed_at IS NULL OR EXISTS (SELECT FROM documents d WHERE d.source_id = s.source_id AND d.deleted_at IS NULL
                                     AND d.removed_at IS NULL OFFSET 0))
"""
_SAVED_OF = text(f"""
    {SAVED}
    WHERE {THERE} AND (CAST(:tenant AS text) IS NULL OR s.tenant_id = :tenant)
      AND (CAST(:collection AS text) IS NULL OR c.name = :collection)
    ORDER BY s.tenant_id COLLATE "C", c.name COLLATE "C", s.uri COLLATE "C"
""")
_SET_SCHEDULE = text("""
    UPDATE sources s SET schedule = :cron, paused = :paused FROM collections c
    WHERE c.collection_id = s.collection_id AND s.tenant_id = :tenant AND c.name = :collection AND s.uri = :uri
""")
_SOURCE = f"""
    SELECT {SPEC_COLUMNS}, {GENERATION_COLUMNS} FROM sources s JOIN collections c USING (collection_id)
    JOIN generations g ON g.collection_id = c.collection_id AND g.generation = c.live_generation
"""
_SOURCES_OF = text(f"""
    SELECT f.*, d.document_id FROM documents d JOIN ({_SOURCE}) f USING (source_id)
    WHERE d.document_id = ANY(CAST(:ids AS uuid[])) AND d.deleted_at IS NULL AND (d.removed_at IS NOT NULL) = :deleted
""")
_SOURCE_AT = text(f"{_SOURCE} WHERE s.tenant_id = :tenant AND c.name = :collection AND s.uri = :uri")
_REMOVE_SOURCE = text("UPDATE sources SET removed_at = now(), paused = true WHERE source_id = :source_id")


class PostgresSources(Transactions):
    """`sluice.ports.sources.Sources`."""

    def open(self, spec: SourceSpec, profile: Profile, filter_fields: tuple[str, ...]) -> Source:
        with self._transaction() as connection:
            return open_source(connection, spec, profile, filter_fields)

    def save(self, spec: SourceSpec, profile: Profile, filter_fields: tuple[str, ...]) -> Source:
        with self._transaction() as connection:
            source = open_source(connection, spec, profile, filter_fields)
            change(connection, spec, source.generation.collection_id)
            return replace(source, spec=spec.over(source.spec))

    def spec(self, tenant: str, collection: str, uri: str) -> SourceSpec | None:
        with self._transaction() as connection:
            return saved_source(connection, tenant, collection, uri)

    def saved(self, tenant: str | None = None, collection: str | None = None) -> list[SavedSource]:
        return [saved_of(row) for row in self._rows(_SAVED_OF, {"tenant": tenant, "collection": collection})]

    def set_schedule(self, tenant: str, collection: str, uri: str, schedule: Schedule) -> None:
        with self._transaction() as connection:
            cron = None if schedule.cron is None else check_cron(schedule.cron)
            values = {"tenant": tenant, "collection": collection, "uri": uri, "cron": cron, "paused": schedule.paused}
            if not connection.execute(_SET_SCHEDULE, values).rowcount:
                raise _not_saved(tenant, collection, uri)

    def at(self, tenant: str, collection: str, uri: str) -> Source:
        with self._transaction() as connection:
            place = {"tenant": tenant, "collection": collection, "uri": uri}
            row = connection.execute(_SOURCE_AT, place).one_or_none()
            if row is None:
                raise _not_saved(tenant, collection, uri)
            return Source(source_id=row.source_id, spec=spec_of(row), generation=generation_of(row))

    def of(self, document_ids: Sequence[UUID], *, deleted: bool = False) -> dict[UUID, Source]:
        with self._transaction() as connection:
            return sources_of(connection, document_ids, deleted)

    def remove(self, run: Run) -> None:
        with self._writing(run) as connection:
            connection.execute(_REMOVE_SOURCE, {"source_id": run.source.source_id})


def open_source(connection: Connection, spec: SourceSpec, profile: Profile, filter_fields: tuple[str, ...]) -> Source:
    """Does the work of `Sources.open` within a transaction. Raises BadRequest on an invalid spec, and Busy where the
    collection is being dropped."""
    spec.check()
    add_tenant(connection, spec.tenant)
    collection_id = connection.execute(
        _COLLECTION, {"name": spec.collection, "filter_fields": list(filter_fields)}
    ).scalar()
    if collection_id:
        connection.execute(
            _FIRST_GENERATION,
            {
                "collection_id": collection_id,
                "chunker": profile.chunker,
                "embedder": profile.embedder,
                "entities": profile.entities,
                "dim": profile.dim,
                "physical": f"{spec.collection}__g1",
            },
        )
    generation = generation_of(connection.execute(LIVE_OF, {"name": spec.collection}).one())
    check_not_dropping(connection, generation)
    return _found_or_added(connection, spec, generation)


def saved_source(connection: Connection, tenant: str, collection: str, uri: str) -> SourceSpec | None:
    """Returns the saved values of a source; None where it is not saved."""
    row = connection.execute(_READ, {"tenant": tenant, "collection": collection, "uri": uri}).one_or_none()
    return spec_of(row) if row else None


def _found_or_added(connection: Connection, spec: SourceSpec, generation: Generation) -> Source:
    place = {"tenant": spec.tenant, "collection": spec.collection, "uri": spec.uri}
    row = connection.execute(_READ, place).one_or_none()
    if row is None:
        first = spec.over(None)
        added = connection.execute(_ADD, {**place, **_columns(first), "collection_id": generation.collection_id})
        source_id: UUID | None = added.scalar_one_or_none()
        if source_id is not None:
            return Source(source_id=source_id, spec=first, generation=generation)
        row = connection.execute(_READ, place).one()  # another transaction has inserted it
    return Source(source_id=row.source_id, spec=spec_of(row), generation=generation)


def change(connection: Connection, spec: SourceSpec, collection_id: UUID) -> None:
    """Saves the settings that `spec` gives. Call it before locking documents or the collection."""
    spec.check()
    place = {"tenant": spec.tenant, "collection": spec.collection, "uri": spec.uri}
    row = connection.execute(_LOCK, place).one()
    # A source that was removed by hand is active again.
    connection.execute(_BRING_BACK, {"source_id": row.source_id})
    saved = spec_of(row)
    wanted = spec.over(saved)
    if wanted == saved:
        return
    retained = wanted.retention_days != saved.retention_days
    if retained:
        change_retention(connection, collection_id)
    connection.execute(_CHANGE, {**_columns(wanted), "source_id": row.source_id})
    if retained:
        renew_expiry(connection, collection_id, row.source_id)


def _columns(spec: SourceSpec) -> dict[str, Any]:
    """Returns the columns of a spec in which only the retention may be None."""
    return {
        "access_groups": list(spec.access_groups or ()),
        "retention_days": spec.retention_days,
        "include_globs": list(spec.include or ()),
        "exclude_globs": list(spec.exclude or ()),
    }


def sources_of(connection: Connection, document_ids: Sequence[UUID], deleted: bool = False) -> dict[UUID, Source]:
    """Does the work of `Sources.of` within a transaction. Raises NotFound."""
    rows = connection.execute(_SOURCES_OF, {"ids": list(document_ids), "deleted": deleted})
    sources = {
        row.document_id: Source(source_id=row.source_id, spec=spec_of(row), generation=generation_of(row))
        for row in rows
    }
    if missing := next((each for each in document_ids if each not in sources), None):
        raise no_document(missing)
    return sources


def spec_of(row: Row[Any]) -> SourceSpec:
    """Builds a spec from a row with SPEC_COLUMNS and the collection's name."""
    return SourceSpec(
        uri=row.uri,
        collection=row.collection,
        tenant=row.tenant_id,
        access_groups=tuple(row.access_groups),
        retention_days=row.retention_days,
        include=tuple(row.include_globs),
        exclude=tuple(row.exclude_globs),
    )


def saved_of(row: Row[Any]) -> SavedSource:
    """Builds a saved source from a row of SAVED."""
    return SavedSource(
        source_id=row.source_id,
        spec=spec_of(row),
        schedule=Schedule(cron=row.schedule, paused=row.paused),
        saved_at=row.created_at,
        last=last_run(row) if row.run_id else None,
        held_by=row.orchestrator,
        removed_at=row.removed_at,
    )


def last_run(row: Row[Any]) -> LastRun:
    """Builds the last run from a row with RUN_COLUMNS."""
    return LastRun(
        run_id=row.run_id, state=row.state, started_at=row.started_at, finished_at=row.finished_at, error=row.error
    )


def alone(connection: Connection, source_id: UUID) -> None:
    """Locks the source until the transaction ends. Two concurrent scans of one source would register the same documents
    twice and update the same rows in any order; a deletion between a scan's comparison and its commit would use the
    older listing."""
    connection.execute(_ALONE, {"source_id": source_id})


def add_tenant(connection: Connection, tenant: str) -> None:
    """Adds the tenant where it is missing."""
    connection.execute(
        text("INSERT INTO tenants (tenant_id) VALUES (:tenant) ON CONFLICT DO NOTHING"), {"tenant": tenant}
    )


def _not_saved(tenant: str, collection: str, uri: str) -> NotFound:
    return NotFound(
        f"{uri} is not a saved source of collection {collection} in tenant {tenant}. Nothing was changed. "
        "`sluice sources list` lists the saved sources; `sluice sources add` saves one."
    )


def no_document(document_id: UUID) -> NotFound:
    """Returns the error for a document that is unknown or in the wrong state."""
    return NotFound(
        f"This is not possible for document {document_id}: it is unknown, already deleted or, for a restore, it was "
        "not deleted. Nothing was changed. A search and GET /documents show the ids of documents."
    )
