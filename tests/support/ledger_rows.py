"""A ledger to test, and rows to put in it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import fields
from typing import Any
from uuid import UUID, uuid4, uuid5
from zlib import crc32

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, TextClause, text

from sluice.adapters.postgres.catalog import PostgresCatalog
from sluice.adapters.postgres.engine import make_engine
from sluice.adapters.postgres.ledger import postgres_ledger
from sluice.adapters.postgres.vector_cache import PostgresVectorCache
from sluice.model.chunk import Relation, SparseVector
from sluice.model.deletion import Deletion
from sluice.model.gates import GateRow
from sluice.model.generation import Profile
from sluice.model.grants import Principal
from sluice.model.points import EncryptedChunk, EncryptedMention, EncryptedVersion, OutboxEntry
from sluice.model.quarantine import QuarantineEntry
from sluice.model.run import Mode, Run, RunMode
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import Source, SourceSpec
from sluice.ports.ledger import Ledger
from sluice.wiring.application import Sluice

PROFILE = Profile("chars:100:0", "hash:8", "off", 8)
EVENTS_OF_RUN = text("SELECT body FROM lineage_events WHERE sluice_run_id = :run_id ORDER BY event_id")
EVENTS_OF_DATASET = text("""
    SELECT body FROM lineage_events WHERE inputs @> CAST(:dataset AS text[]) OR outputs @> CAST(:dataset AS text[])
    ORDER BY event_id
""")


class LedgerDatabase:
    """A ledger on PostgreSQL, and what only a test may do to it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.ledger, self.catalog, self.cache = (
            postgres_ledger(engine),
            PostgresCatalog(engine),
            PostgresVectorCache(engine),
        )

    def execute(self, statement: str, **values: object) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def select(self, statement: str, **values: object) -> list[Any]:
        """Rows; of one column, its values."""
        with self.engine.begin() as connection:
            result = [tuple(row) for row in connection.execute(text(statement), values)]
        return [row[0] if len(row) == 1 else row for row in result]

    def overlapping(self, first: Callable[[Connection], object], second: Callable[[Connection], object]) -> None:
        """Begins the second's transaction before the first's ends, and asserts that the second waits for it."""

        def begin_second() -> None:
            with self.engine.begin() as connection:
                second(connection)

        with ThreadPoolExecutor(1) as pool:
            with self.engine.begin() as connection:
                first(connection)
                waiting = pool.submit(begin_second)
                with pytest.raises(TimeoutError):
                    waiting.result(timeout=1)
            waiting.result(timeout=10)

    def expire(self, document_id: UUID) -> None:
        self.execute("UPDATE documents SET expires_at = now() WHERE document_id = :id", id=document_id)

    def set_own_groups(self, document_id: UUID, groups: Sequence[str]) -> None:
        self.execute("UPDATE documents SET access_groups = :g WHERE document_id = :id", g=list(groups), id=document_id)

    def epoch(self, collection_id: UUID) -> set[UUID]:
        """Another one once a search of the collection may return something else."""
        return set(self.select("SELECT token FROM collection_epochs WHERE collection_id = :id", id=collection_id))

    def entities(self, tenant: str) -> set[UUID]:
        return set(self.select("SELECT entity_id FROM entities WHERE tenant_id = :t", t=tenant))

    def backdate(self, run_id: UUID, hours: int) -> None:
        """A run's start."""
        earlier = "UPDATE runs SET started_at = started_at - make_interval(hours => :h) WHERE run_id = :id"
        self.execute(earlier, h=hours, id=run_id)

    def expire_lease(self, run: Run) -> None:
        """As if the lease's time had passed without a renewal."""
        leased = "SELECT count(*) FROM claims WHERE run_id = :id"
        assert self.select(leased, id=run.run_id) == [1]
        self.execute("UPDATE claims SET lapses_at = clock_timestamp() WHERE run_id = :id", id=run.run_id)

    def gate_rows(self, run: Run, batch: int) -> list[GateRow]:
        """In the order of stages, then as recorded."""
        columns = ", ".join(each.name for each in fields(GateRow))
        rows = f"SELECT {columns} FROM gate_rows WHERE run_id = :id AND batch = :batch ORDER BY stage, position"
        return [GateRow(*row) for row in self.select(rows, id=run.run_id, batch=batch)]

    def purged(self, run_id: UUID) -> list[UUID]:
        return self.select("SELECT document_id FROM purged_documents WHERE run_id = :id ORDER BY 1", id=run_id)

    def deletions(self) -> list[Deletion]:
        """Recorded ones, in the order in which they were made."""
        columns = ", ".join(each.name for each in fields(Deletion))
        return [Deletion(*row) for row in self.select(f"SELECT {columns} FROM deletions ORDER BY deleted_at")]


def db_of(sluice: Sluice) -> LedgerDatabase:
    """The ledger of these tools, to look into its tables."""
    return LedgerDatabase(sluice.catalog._engine)  # type: ignore[attr-defined]


def lineage_events(database: str, query: TextClause, **values: object) -> list[dict[str, Any]]:
    """Lineage events that the ledger at this URL has. `query`: EVENTS_OF_RUN or EVENTS_OF_DATASET."""
    engine = engine_of(database)
    with engine.connect() as connection:
        result = list(connection.execute(query, values).scalars())
    engine.dispose()
    return result


def engine_of(url: str, pool_size: int = 5, call_timeout_s: float = 30.0) -> Engine:
    return make_engine(url, pool_size=pool_size, connect_timeout_s=5.0, call_timeout_s=call_timeout_s, name="tests")


def name() -> str:
    """A tenant's or collection's name that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}"


def spec(
    tenant: str | None = None, collection: str | None = None, uri: str | None = None, **more: object
) -> SourceSpec:
    return SourceSpec(uri or f"file:///{name()}", collection or name(), tenant or name(), **more)  # type: ignore[arg-type]


def opened(db: LedgerDatabase, wanted: SourceSpec | None = None) -> Source:
    return db.ledger.sources.open(wanted or spec(), PROFILE, ("mime", "year"))


def resaved(db: LedgerDatabase, wanted: SourceSpec) -> Source:
    """As a person saves it."""
    return db.ledger.sources.save(wanted, PROFILE, ("mime", "year"))


def held(db: LedgerDatabase, source: Source, mode: Mode = "incremental") -> Run:
    """A run that holds its source."""
    run = started(db, source, mode)
    db.ledger.runs.claim(run, 60)
    return run


def started(db: LedgerDatabase, source: Source, mode: RunMode = "incremental") -> Run:
    return db.ledger.runs.start(source, mode, uuid4(), "tests")


def entry(external_id: str, fingerprint: str = "1") -> ListingEntry:
    return ListingEntry(external_id, f"file:///{external_id}", fingerprint, 10)


def scanned(db: LedgerDatabase, run: Run, *entries: ListingEntry) -> list[WorkItem]:
    return db.ledger.scans.record(run, list(entries)).items


def chunk_id(document_id: UUID, words: str) -> UUID:
    return uuid5(document_id, words)


def terms_of(words: str) -> SparseVector:
    """Each word's checksum, with the weight 1."""
    numbers = sorted({crc32(word.encode()) for word in words.split()})
    return SparseVector(np.array(numbers, np.uint32), np.ones(len(numbers), np.float32))


def version(
    run: Run,
    item: WorkItem,
    *texts: str,
    mentions: Sequence[tuple[UUID, str, int] | tuple[UUID, str, int, bool]] = (),
    relations: Sequence[Relation] = (),
) -> EncryptedVersion:
    """A version with one chunk a text. What is sealed is not text: the ledger must not look at it."""
    chunks = tuple(
        EncryptedChunk(
            chunk_id=chunk_id(item.document_id, words),
            ordinal=ordinal,
            start=ordinal * 100,
            end=ordinal * 100 + 50,
            page=ordinal + 1 if ordinal else None,
            text_hash=words.encode().ljust(20, b"\0")[:20],
            sealed_text=b"\x01\x00text" + words.encode(),
            sealed_headings=b"\x01\xffheadings",
            sealed_names=b"\x01names",
            terms=terms_of(words),
            mentions=tuple(EncryptedMention(*each[:3], about=len(each) > 3 and each[3]) for each in mentions),
            relations=tuple(relations),
        )
        for ordinal, words in enumerate(texts)
    )
    return EncryptedVersion(
        version_id=uuid5(run.run_id, str(item.document_id)),
        document_id=item.document_id,
        fingerprint=item.entry.fingerprint,
        raw_hash="".join(texts).encode().ljust(20, b"\0")[:20],
        mime="text/plain",
        size_bytes=item.entry.size_bytes,
        sealed_title=b"\x01title",
        sealed_text=os.urandom(40),
        sealed_metadata=b"\x01metadata",
        chunks=chunks,
    )


def loaded(db: LedgerDatabase, run: Run, item: WorkItem, *texts: str) -> None:
    """Staged and activated."""
    db.ledger.versions.stage(run, [version(run, item, *texts)])
    db.ledger.versions.activate(run, [item.document_id])


def failure(item: WorkItem, reason: str = "it is encrypted; remove the password") -> QuarantineEntry:
    return QuarantineEntry(item, "extract", "encrypted", reason)


class _Left(Exception):
    pass


def outbox(ledger: Ledger, collection_id: UUID, limit: int = 100) -> list[OutboxEntry]:
    """What the outbox holds, left as it is."""
    with suppress(_Left), ledger.outbox.entries(collection_id, limit) as result:
        raise _Left
    return result


def carried_out(ledger: Ledger, collection_id: UUID, limit: int = 100) -> list[OutboxEntry]:
    """The same, struck off."""
    with ledger.outbox.entries(collection_id, limit) as result:
        return result


def reader(source: Source, *groups: str) -> Principal:
    return Principal("reader", source.spec.tenant, frozenset(groups))


def shown(db: LedgerDatabase, source: Source, item: WorkItem, *texts: str, who: Principal | None = None) -> list[bytes]:
    """Sealed texts of what a reader gets for chunks of a document, asked for by their texts."""
    ids = [chunk_id(item.document_id, words) for words in texts]
    return [each.sealed_text for each in db.catalog.hydrate(source.generation, ids, who or reader(source))]
