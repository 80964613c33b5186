"""Staging of pending versions with their chunks, terms, mentions and relations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from uuid import UUID, uuid5

from sqlalchemy import Connection, text

from sluice.adapters.postgres import entities
from sluice.adapters.postgres.bulk_copy import copy_rows, driver
from sluice.adapters.postgres.collections import check_not_dropping, values_of
from sluice.adapters.postgres.full_text import TERMS_COLUMNS, stored_terms
from sluice.adapters.postgres.pending_versions import current, drop_pending
from sluice.model.points import EncryptedVersion
from sluice.model.run import Run

_VERSIONS = """
    version_id uuid, document_id uuid, raw_hash bytea, mime text, size_bytes int8, fingerprint text, sealed_title bytea,
    sealed_text bytea, sealed_metadata bytea, language text, collection_id uuid, generation int4, state text,
    run_id uuid
"""
_OF_VERSION = attrgetter(
    *("version_id", "document_id", "raw_hash", "mime", "size_bytes", "fingerprint"),
    *("sealed_title", "sealed_text", "sealed_metadata", "language"),
)
_CHUNKS = """
    version_id uuid, document_id uuid, collection_id uuid, generation int4, ordinal int4, chunk_id uuid,
    start_char int4, end_char int4, page int4, text_hash bytea, sealed_text bytea, sealed_headings bytea,
    sealed_names bytea
"""
_OF_CHUNK = attrgetter(
    *("ordinal", "chunk_id", "start", "end", "page", "text_hash", "sealed_text", "sealed_headings", "sealed_names")
)
_MENTIONS = "version_id uuid, ordinal int4, entity_id uuid, occurrences int4, about bool"
_RELATIONS = "version_id uuid, ordinal int4, head_id uuid, kind text, tail_id uuid"
_SETTLED = text("""
    SELECT v.version_id, v.state,
           ARRAY(SELECT c.chunk_id FROM chunks c WHERE c.version_id = v.version_id ORDER BY c.ordinal) AS chunk_ids
    FROM versions v WHERE v.version_id = ANY(CAST(:ids AS uuid[])) AND v.state <> 'pending'
""")
_LANGUAGES = text("""
    UPDATE generations
    SET languages = ARRAY(
        SELECT DISTINCT u.code FROM unnest(languages || CAST(:codes AS text[])) AS u (code) ORDER BY u.code)
    WHERE collection_id = :collection_id AND generation = :generation AND NOT languages @> CAST(:codes AS text[])
""")


def stage(connection: Connection, run: Run, versions: Sequence[EncryptedVersion]) -> set[UUID]:
    """Writes versions as pending. Returns the documents that a later run has superseded; these are not written."""
    check_not_dropping(connection, run.source.generation)
    ids = [version.document_id for version in versions]
    wanted = set(current(connection, run, ids))
    versions = [version for version in versions if version.document_id in wanted]
    entities.forget(connection, drop_pending(connection, run, list(wanted)))
    versions = _unsettled(connection, versions)
    entities.add(connection, run.source.spec.tenant, _kinds(versions))
    with driver(connection).cursor() as cursor:
        copy_rows(cursor, "versions", _VERSIONS, _version_rows(run, versions))
        copy_rows(cursor, "chunks", _CHUNKS, _chunk_rows(run, versions))
        copy_rows(cursor, "chunk_terms", TERMS_COLUMNS, _terms_rows(run, versions))
        copy_rows(cursor, "mentions", _MENTIONS, _mention_rows(versions))
        copy_rows(cursor, "relations", _RELATIONS, _relation_rows(versions))
    # Before the points are written: questions must be analysed in a language as soon as a point is.
    codes = sorted({each.language for each in versions if each.language})
    connection.execute(_LANGUAGES, {**values_of(run.source.generation), "codes": codes})
    return set(ids) - wanted


def _unsettled(connection: Connection, versions: Sequence[EncryptedVersion]) -> list[EncryptedVersion]:
    """Returns the versions that are not active already. A run that is repeated as a whole may read other content under
    a version id that it has used; that content is staged under an id derived from both."""
    stored = connection.execute(_SETTLED, {"ids": [version.version_id for version in versions]})
    settled: dict[UUID, list[UUID] | None] = {
        row.version_id: row.chunk_ids if row.state == "active" else None for row in stored
    }
    unsettled = []
    for version in versions:
        if version.version_id not in settled:
            unsettled.append(version)
        elif settled[version.version_id] != [chunk.chunk_id for chunk in version.chunks]:
            unsettled.append(replace(version, version_id=uuid5(version.version_id, version.raw_hash.hex())))
    return unsettled


def _kinds(versions: Sequence[EncryptedVersion]) -> dict[UUID, str]:
    return {each.entity_id: each.kind for version in versions for chunk in version.chunks for each in chunk.mentions}


def _version_rows(run: Run, versions: Sequence[EncryptedVersion]) -> Iterator[tuple[object, ...]]:
    generation = run.source.generation
    for each in versions:
        yield *_OF_VERSION(each), generation.collection_id, generation.number, "pending", run.run_id


def _chunk_rows(run: Run, versions: Sequence[EncryptedVersion]) -> Iterator[tuple[object, ...]]:
    generation = run.source.generation
    for version in versions:
        place = (version.version_id, version.document_id, generation.collection_id, generation.number)
        for each in version.chunks:
            yield *place, *_OF_CHUNK(each)


def _terms_rows(run: Run, versions: Sequence[EncryptedVersion]) -> Iterator[tuple[object, ...]]:
    generation, source_id = run.source.generation, run.source.source_id
    for version in versions:
        for each in version.chunks:
            place = (version.version_id, each.ordinal, each.chunk_id, generation.collection_id, generation.number)
            yield *place, source_id, *stored_terms(generation, each.terms)


def _mention_rows(versions: Sequence[EncryptedVersion]) -> Iterator[tuple[object, ...]]:
    for version in versions:
        for chunk in version.chunks:
            for each in chunk.mentions:
                yield version.version_id, chunk.ordinal, each.entity_id, each.occurrences, each.about


def _relation_rows(versions: Sequence[EncryptedVersion]) -> Iterator[tuple[object, ...]]:
    for version in versions:
        for chunk in version.chunks:
            for each in chunk.relations:
                yield version.version_id, chunk.ordinal, each.head_id, each.kind, each.tail_id
