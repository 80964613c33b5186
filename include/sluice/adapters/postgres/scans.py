"""Compares a complete scan with the ledger in SQL; only changed entries are loaded into memory. A preview is the same
comparison in a read-only transaction.

Entries are copied to a temporary table in batches, each a statement of its own, so that a slow listing holds no
transaction open and exceeds no statement timeout. One transaction at the end makes all changes that readers can see.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from psycopg import Connection as Driver
from sqlalchemy import Connection, Row, text

from sluice.adapters.postgres import leases, renames
from sluice.adapters.postgres.bulk_copy import copy_rows, driver
from sluice.adapters.postgres.failures import translated
from sluice.adapters.postgres.sources import alone, change
from sluice.adapters.postgres.transactions import Transactions
from sluice.errors import Terminal
from sluice.model.run import Run
from sluice.model.scan import ListingEntry, ScanPreview, ScanResult, WorkItem, is_held
from sluice.model.source import Source, SourceSpec

_PIECE = 5000
_TIMEOUT = "10min"  # of one statement over a whole scan; the limit of ordinary calls is for batches
TABLE = """
    CREATE TEMPORARY TABLE scan (
        place bigint NOT NULL, external_id text COLLATE "C" NOT NULL, uri text NOT NULL, fingerprint text NOT NULL,
        size_bytes bigint NOT NULL, start_byte bigint NOT NULL, former text COLLATE "C",
        locator text NOT NULL DEFAULT '')
"""
_COLUMNS = """
    place int8, external_id text, uri text, fingerprint text, size_bytes int8, start_byte int8, former text,
    locator text
"""
_DROP = "DROP TABLE IF EXISTS pg_temp.scan"
_DUPLICATE = text("SELECT external_id FROM scan GROUP BY external_id HAVING count(*) > 1 ORDER BY min(place) LIMIT 1")
_OF_SOURCE = "d.tenant_id = :tenant AND d.source_id = :source_id AND d.deleted_at IS NULL"
_LISTED = f"SELECT * FROM documents d WHERE {_OF_SOURCE} AND d.external_id = s.external_id OFFSET 0"
# Each `OFFSET 0` forces a lookup by key for each row. With plain joins the planner assumes that new tables without
# statistics are nearly empty, and compares every document with every other.
REGISTER = text(f"""
    INSERT INTO documents (tenant_id, source_id, collection_id, external_id, uri)
    SELECT :tenant, :source_id, :collection_id, s.external_id, s.uri FROM scan s
    WHERE NOT EXISTS ({_LISTED}) ORDER BY s.place
""")
# Deleted by hand; or purged, with a retention that has not been extended since. Both stay deleted until the content
# changes.
GONE = "d.purged_hash IS NOT NULL AND (d.expires_at <= now() OR d.removed_at IS NOT NULL)"
_STAYS_GONE = f"{GONE} AND d.fingerprint = s.fingerprint"
# Neither condition is evaluated for a document that stays deleted.
_QUARANTINED = """
    EXISTS (SELECT FROM quarantine q WHERE q.document_id = d.document_id AND q.resolved_at IS NULL OFFSET 0)
"""
_ACTIVE = """
    EXISTS (SELECT FROM versions v WHERE v.document_id = d.document_id AND v.generation = :generation
            AND v.state = 'active' OFFSET 0)
"""
COMPARE = text(f"""
    CREATE TEMPORARY TABLE compared ON COMMIT DROP AS
    SELECT s.place, d.document_id, d.uri <> s.uri AS moved, d.fingerprint IS NULL AS forced,
           CASE WHEN {GONE} THEN d.purged_hash END AS gone_hash,
           CASE WHEN {_STAYS_GONE} THEN 'unchanged'
                WHEN :full OR d.fingerprint IS DISTINCT FROM s.fingerprint THEN 'work'
                WHEN {_QUARANTINED} THEN 'quarantined'
                WHEN {_ACTIVE} THEN 'unchanged'
                ELSE 'work' END AS verdict
    FROM scan s CROSS JOIN LATERAL ({_LISTED}) d
""")
# Renames that the source reports, unless the previous name is still listed or the new one is already registered.
_REPORTED = f"""
    SELECT DISTINCT ON (s.former) s.former, s.external_id, s.uri, s.size_bytes, d.document_id
    FROM scan s CROSS JOIN LATERAL (
        SELECT * FROM documents d WHERE {_OF_SOURCE} AND d.external_id = s.former OFFSET 0) d
    WHERE s.former IS NOT NULL AND NOT EXISTS (SELECT FROM scan t WHERE t.external_id = s.former)
      AND NOT EXISTS ({_LISTED})
    ORDER BY s.former, s.place
"""
REPORTED = text(f"""
    WITH reported AS ({_REPORTED}),
    renamed AS (
        UPDATE documents d SET external_id = t.external_id, uri = t.uri, fingerprint = NULL
        FROM reported t WHERE d.document_id = t.document_id)
    INSERT INTO moves (run_id, document_id, former_external_id, external_id, how)
    SELECT :run_id, document_id, former, external_id, 'source' FROM reported
""")
KNOWN_BEFORE = text(f"SELECT count(*) FROM documents d WHERE {_OF_SOURCE}")
_COUNT = text("SELECT count(*) FROM compared WHERE verdict = :verdict")
_MOVED = text("""
    UPDATE documents d SET uri = s.uri FROM compared c JOIN scan s USING (place)
    WHERE c.moved AND d.document_id = c.document_id
""")
_ITEMS = text("""
    SELECT c.document_id, s.external_id, s.uri, s.fingerprint, s.size_bytes, s.start_byte AS "offset", s.locator,
           coalesce(c.gone_hash, CASE WHEN NOT c.forced THEN a.raw_hash END) AS active_hash,
           EXISTS (SELECT FROM moves m WHERE m.run_id = :run_id AND m.document_id = c.document_id OFFSET 0) AS renamed,
           c.gone_hash IS NOT NULL AS deleted,
           NOT EXISTS (SELECT FROM versions v WHERE v.document_id = c.document_id AND v.number IS NOT NULL OFFSET 0)
           AS new
    FROM compared c JOIN scan s USING (place)
    LEFT JOIN LATERAL (SELECT raw_hash FROM versions v WHERE v.document_id = c.document_id
                       AND v.generation = :generation AND v.state = 'active' OFFSET 0) a ON true
    WHERE c.verdict = 'work' ORDER BY c.place
""")
# From here on, deletions that an earlier run has planned are out of date; see `PostgresVersions.remove`.
_NOW = text("SELECT clock_timestamp()")
# Another run has completed a newer scan meanwhile: this run was suspended and lost its lease.
_LISTED_SINCE = text("""
    SELECT EXISTS (SELECT FROM runs WHERE source_id = :source_id AND run_id <> :run_id AND scanned_at > :began OFFSET 0)
""")
_COMPLETE = text("UPDATE runs SET scanned_at = now() WHERE run_id = :run_id")
VANISHED = text(f"""
    SELECT d.document_id FROM documents d WHERE {_OF_SOURCE} EXCEPT SELECT document_id FROM compared ORDER BY 1
""")
# The verdict of COMPARE for each entry, regardless of the mode; renames that the source reports count as new here.
PREVIEW = text(f"""
    SELECT kind, count(*) AS documents, sum(size_bytes) AS size_bytes FROM (
        SELECT s.size_bytes,
               CASE WHEN d.verdict IS NULL OR (d.verdict = 'work' AND NOT d.served) THEN 'new'
                    WHEN d.verdict = 'work' THEN 'changed'
                    ELSE d.verdict END AS kind
        FROM scan s LEFT JOIN LATERAL (
            SELECT CASE WHEN {_STAYS_GONE} THEN 'gone'
                        WHEN d.fingerprint IS DISTINCT FROM s.fingerprint THEN 'work'
                        WHEN {_QUARANTINED} THEN 'quarantined'
                        WHEN {_ACTIVE} THEN 'unchanged'
                        ELSE 'work' END AS verdict,
                   EXISTS (SELECT FROM versions v WHERE v.document_id = d.document_id AND v.number IS NOT NULL
                           OFFSET 0) AS served
            FROM ({_LISTED}) d OFFSET 0) d ON true) judged
    GROUP BY kind
""")
RENAMED = text(f"SELECT count(*) AS documents, coalesce(sum(size_bytes), 0) AS size_bytes FROM ({_REPORTED}) reported")
MISSING = text(f"""
    SELECT d.external_id FROM documents d WHERE {_OF_SOURCE}
    EXCEPT SELECT external_id FROM scan EXCEPT SELECT former FROM ({_REPORTED}) reported
""")
_NAMED = text("SELECT document_id, external_id FROM documents WHERE document_id = ANY(:document_ids)")
_MARK = text("UPDATE runs SET mark = :mark WHERE run_id = :run_id")
_LAST_MARK = text("""
    SELECT mark FROM runs WHERE source_id = :source_id AND state = 'succeeded' AND mode IN ('incremental', 'full')
    ORDER BY started_at DESC, run_id DESC LIMIT 1
""")
_OF_ENTRY = frozenset(field.name for field in fields(ListingEntry))
_Containers = dict[str, Callable[[str], bool]]  # those that could not be opened; see `is_held`


class PostgresScans(Transactions):
    """`sluice.ports.scans.Scans`."""

    def record(
        self,
        run: Run,
        entries: Iterable[ListingEntry],
        settings: SourceSpec | None = None,
        accept: Callable[[ScanResult], object] = lambda result: None,
    ) -> ScanResult:
        with self._autocommit() as connection:
            began: datetime = connection.execute(_NOW).scalar_one()
            raw = driver(connection)
            with _scan_table(raw, entries) as (seen, unopened), raw.transaction():
                return _compare(connection, run, seen, unopened, began, settings, accept)

    def preview(self, source: Source | None, entries: Iterable[ListingEntry]) -> ScanPreview:
        """Only reads the ledger, and takes no lock on a source or document."""
        values = {
            "tenant": source.spec.tenant if source else None,
            "source_id": source.source_id if source else None,
            "generation": source.generation.number if source else None,
        }
        with self._autocommit() as connection:
            raw = driver(connection)
            with _scan_table(raw, entries) as (_, unopened), raw.transaction():
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
                connection.execute(text(f"SET LOCAL statement_timeout = '{_TIMEOUT}'"))
                _check_unique(connection)
                known: int = connection.execute(KNOWN_BEFORE, values).scalar_one()
                kinds = connection.execute(PREVIEW, values).all()
                renamed = connection.execute(RENAMED, values).one()
                missing = list(connection.execute(MISSING, values).scalars())
        documents, size_bytes = Counter[str](), Counter[str]()
        for row in kinds:
            documents[row.kind], size_bytes[row.kind] = row.documents, int(row.size_bytes)
        documents += Counter(moved=renamed.documents)
        size_bytes += Counter(moved=int(renamed.size_bytes))
        held = sum(is_held(external_id, unopened) for external_id in missing) if unopened else 0
        return ScanPreview(
            documents=dict(documents - Counter(new=renamed.documents)),
            size_bytes=dict(size_bytes - Counter(new=int(renamed.size_bytes))),
            vanished=len(missing) - held,
            known=known - held,
        )

    def record_cursor(self, run: Run, cursor: str) -> None:
        with self._writing(run) as connection:
            connection.execute(_MARK, {"run_id": run.run_id, "mark": cursor})

    def last_cursor(self, source: Source) -> str | None:
        cursor: str | None = self._value(_LAST_MARK, {"source_id": source.source_id})
        return cursor

    @contextmanager
    def _autocommit(self) -> Iterator[Connection]:
        with translated(), self._engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def _scan_table(raw: Driver[Any], entries: Iterable[ListingEntry]) -> Iterator[tuple[int, _Containers]]:
    """Keeps the entries in the temporary table `scan` within the body. Yields their number, and the containers that
    could not be opened."""
    raw.execute(_DROP)
    raw.execute(TABLE)
    try:
        listing = _copy(raw, entries)
        # No statistics of the locator: they would store samples of its values in a catalog table, and so in the WAL.
        raw.execute("ANALYZE pg_temp.scan (place, external_id, former)")
        yield listing
    finally:
        if not raw.closed:
            raw.execute(_DROP)


def _copy(raw: Driver[Any], entries: Iterable[ListingEntry]) -> tuple[int, _Containers]:
    seen = 0
    unopened: _Containers = {}
    remaining = iter(entries)
    while piece := list(islice(remaining, _PIECE)):
        with raw.cursor() as cursor:
            copy_rows(cursor, "scan", _COLUMNS, _rows(piece, seen))
        seen += len(piece)
        unopened |= {entry.external_id: entry.holds for entry in piece if entry.holds}
    return seen, unopened


def _rows(piece: list[ListingEntry], first: int) -> Iterator[tuple[object, ...]]:
    for place, entry in enumerate(piece, first):
        entry.check()
        at = (entry.size_bytes, entry.offset, entry.previous_name, entry.locator)
        yield place, entry.external_id, entry.uri, entry.fingerprint, *at


def _compare(
    connection: Connection,
    run: Run,
    seen: int,
    unopened: _Containers,
    began: datetime,
    settings: SourceSpec | None,
    accept: Callable[[ScanResult], object],
) -> ScanResult:
    source = run.source
    values = {
        "tenant": source.spec.tenant,
        "source_id": source.source_id,
        "collection_id": source.generation.collection_id,
        "generation": source.generation.number,
        "full": run.mode == "full",
        "run_id": run.run_id,
    }
    connection.execute(text(f"SET LOCAL statement_timeout = '{_TIMEOUT}'"))
    alone(connection, source.source_id)
    if connection.execute(_LISTED_SINCE, {**values, "began": began}).scalar():
        raise leases.lost_lease(source.spec.uri)
    _check_unique(connection)
    # A longer retention may bring purged content back, so the comparison must use the new expiry times. The change
    # blocks activations in the collection until this commits. It cannot follow the comparison, which locks documents:
    # a change of the collection's retention takes these locks in the opposite order.
    if settings is not None:
        change(connection, settings, source.generation.collection_id)
    known: int = connection.execute(KNOWN_BEFORE, values).scalar_one()
    connection.execute(REPORTED, values)
    connection.execute(REGISTER, values)
    connection.execute(COMPARE, values)
    connection.execute(text("ANALYZE compared"))
    connection.execute(_MOVED)
    unchanged: int = connection.execute(_COUNT, {"verdict": "unchanged"}).scalar_one()
    quarantined: int = connection.execute(_COUNT, {"verdict": "quarantined"}).scalar_one()
    items = [work_item(row) for row in connection.execute(_ITEMS, values)]
    vanished, held = _missed(connection, values, unopened)
    result = ScanResult(
        seen=seen, unchanged=unchanged, quarantined=quarantined, items=items, vanished=vanished, known=known - held
    )
    accept(result)
    # Here and not earlier: until the commit the fence also blocks this run from renewing its lease.
    leases.fence(connection, run)
    renames.keep_vanished(connection, run, vanished)
    connection.execute(_COMPLETE, {"run_id": run.run_id})
    return result


def _check_unique(connection: Connection) -> None:
    if external_id := connection.execute(_DUPLICATE).scalar():
        raise Terminal(
            f"The scan lists {external_id!r} more than once, so these documents cannot be distinguished. Nothing was "
            "changed. Give every document of the source its own id."
        )


def _missed(connection: Connection, values: dict[str, object], unopened: _Containers) -> tuple[list[UUID], int]:
    """Documents that are not listed: those that vanished, by id, and how many are held by containers that could not be
    opened. Only a reader knows what its globs admit, so that is judged here and not in SQL."""
    missed: list[UUID] = list(connection.execute(VANISHED, values).scalars())
    if not unopened:
        return missed, 0
    named = connection.execute(_NAMED, {"document_ids": missed})
    held = {row.document_id for row in named if is_held(row.external_id, unopened)}
    return [document_id for document_id in missed if document_id not in held], len(held)


def work_item(row: Row[Any]) -> WorkItem:
    """Builds a work item from a row whose columns have the names of its fields and of those of its entry."""
    entry = {name: value for name, value in row._mapping.items() if name in _OF_ENTRY}
    rest = {name: value for name, value in row._mapping.items() if name not in _OF_ENTRY}
    return WorkItem(entry=ListingEntry(**entry), **rest)
