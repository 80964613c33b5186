"""Tenants, collections, generations and sources: found or made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from sluice.adapters.postgres.expiry import change_retention, renew_expiry
from sluice.adapters.postgres.rules import being_dropped, check_spec
from sluice.model.generation import Generation, Profile
from sluice.model.source import Source, SourceSpec

GENERATION_COLUMNS = """
    c.collection_id, c.name AS collection, g.generation, g.chunker, g.embedder, g.entities, g.dim, g.physical,
    c.filter_fields
"""
_COLLECTION = text("""
    INSERT INTO collections (name, live_generation, filter_fields) VALUES (:name, 1, :filter_fields)
    ON CONFLICT (name) DO NOTHING RETURNING collection_id
""")
_FIRST_GENERATION = text("""
    INSERT INTO generations (collection_id, generation, chunker, embedder, entities, dim, physical, state)
    VALUES (:collection_id, 1, :chunker, :embedder, :entities, :dim, :physical, 'live')
""")
_LIVE = f"""
    SELECT {GENERATION_COLUMNS}
    FROM collections c JOIN generations g ON g.collection_id = c.collection_id AND g.generation = c.live_generation
"""  # noqa: S608
_LIVE_OF = text(f"{_LIVE} WHERE c.name = :name")
_LIVE_ALL = text(f"{_LIVE} ORDER BY c.name")
SPEC_COLUMNS = """
    s.source_id, s.tenant_id, s.uri, s.access_groups, s.retention_days, s.include_globs, s.exclude_globs
"""
_SAVED = f"""
    SELECT {SPEC_COLUMNS}, c.name AS collection FROM sources s JOIN collections c USING (collection_id)
    WHERE s.tenant_id = :tenant AND c.name = :collection AND s.uri = :uri
"""  # noqa: S608
_READ = text(_SAVED)
_LOCK = text(f"{_SAVED} FOR NO KEY UPDATE OF s")
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
_EPOCH = text("UPDATE collections SET epoch = epoch + 1 WHERE collection_id = :collection_id")


# Whoever begins to drop the collection waits until this transaction ends: that locks the row for update.
_DROPPING = text("SELECT dropping_since FROM collections WHERE collection_id = :collection_id FOR KEY SHARE")


def open_source(connection: Connection, spec: SourceSpec, profile: Profile, filter_fields: tuple[str, ...]) -> Source:
    check_spec(spec)
    add_tenant(connection, spec.tenant)
    made = connection.execute(_COLLECTION, {"name": spec.collection, "filter_fields": list(filter_fields)}).scalar()
    if made:
        connection.execute(
            _FIRST_GENERATION,
            {
                "collection_id": made,
                "chunker": profile.chunker,
                "embedder": profile.embedder,
                "entities": profile.entities,
                "dim": profile.dim,
                "physical": f"{spec.collection}__g1",
            },
        )
    generation = generation_of(connection.execute(_LIVE_OF, {"name": spec.collection}).one())
    check_not_dropping(connection, generation)
    return _found_or_added(connection, spec, generation)


def check_not_dropping(connection: Connection, generation: Generation) -> None:
    """Until the transaction ends nobody begins to. Raises Busy."""
    if connection.execute(_DROPPING, {"collection_id": generation.collection_id}).scalar():
        raise being_dropped(generation.collection)


def saved_source(connection: Connection, tenant: str, collection: str, uri: str) -> SourceSpec | None:
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
            return Source(source_id, first, generation)
        row = connection.execute(_READ, place).one()  # another one was quicker
    return Source(row.source_id, spec_of(row), generation)


def change(connection: Connection, spec: SourceSpec, collection_id: UUID) -> bool:
    """What `spec` gives replaces what is saved of the source; returns whether that is different. The caller tells
    readers (`changed`). Before any lock on documents or the collection."""
    check_spec(spec)
    place = {"tenant": spec.tenant, "collection": spec.collection, "uri": spec.uri}
    row = connection.execute(_LOCK, place).one()
    # A source that was removed by hand is one like the others again.
    connection.execute(_BRING_BACK, {"source_id": row.source_id})
    saved = spec_of(row)
    wanted = spec.over(saved)
    if wanted == saved:
        return False
    retained = wanted.retention_days != saved.retention_days
    if retained:
        change_retention(connection, collection_id)
    connection.execute(_CHANGE, {**_columns(wanted), "source_id": row.source_id})
    if retained:
        renew_expiry(connection, collection_id, row.source_id)
    return True


def save_source(connection: Connection, spec: SourceSpec, profile: Profile, filter_fields: tuple[str, ...]) -> Source:
    source = open_source(connection, spec, profile, filter_fields)
    if change(connection, spec, source.generation.collection_id):
        changed(connection, source.generation.collection_id)
    return replace(source, spec=spec.over(source.spec))


def _columns(spec: SourceSpec) -> dict[str, Any]:
    """Of a spec in which only the retention may be None."""
    return {
        "access_groups": list(spec.access_groups or ()),
        "retention_days": spec.retention_days,
        "include_globs": list(spec.include or ()),
        "exclude_globs": list(spec.exclude or ()),
    }


def spec_of(row: Row[Any]) -> SourceSpec:
    """From a row with SPEC_COLUMNS and the collection's name."""
    return SourceSpec(
        row.uri,
        row.collection,
        row.tenant_id,
        tuple(row.access_groups),
        row.retention_days,
        tuple(row.include_globs),
        tuple(row.exclude_globs),
    )


def alone(connection: Connection, source_id: UUID) -> None:
    """Until the transaction ends. Two scans of one source at once would register the same documents and update the same
    rows in any order; a removal between a scan's comparison and its end would go by the older listing."""
    connection.execute(_ALONE, {"source_id": source_id})


def add_tenant(connection: Connection, tenant: str) -> None:
    connection.execute(
        text("INSERT INTO tenants (tenant_id) VALUES (:tenant) ON CONFLICT DO NOTHING"), {"tenant": tenant}
    )


def changed(connection: Connection, collection_id: UUID) -> None:
    """Readers could see a difference: caches of this collection are stale once this commits."""
    connection.execute(_EPOCH, {"collection_id": collection_id})


def live_generation(connection: Connection, name: str) -> Generation | None:
    row = connection.execute(_LIVE_OF, {"name": name}).one_or_none()
    return generation_of(row) if row else None


def live_generations(connection: Connection) -> list[Generation]:
    return [generation_of(row) for row in connection.execute(_LIVE_ALL)]


def generation_of(row: Row[Any]) -> Generation:
    """From a row with GENERATION_COLUMNS."""
    profile = Profile(row.chunker, row.embedder, row.entities, row.dim)
    return Generation(
        row.collection_id, row.collection, row.generation, profile, row.physical, tuple(row.filter_fields)
    )
