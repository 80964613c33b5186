"""What the ledger does when PostgreSQL is slow, busy or restarted."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from sqlalchemy import text

from sluice.adapters.postgres.failures import translated
from sluice.errors import Terminal, Transient, Unavailable
from sluice.model.run import Counts
from sluice.model.scan import ListingEntry
from support.engines import EngineStack
from support.ledger_rows import (
    LedgerDatabase,
    engine_of,
    entry,
    loaded,
    name,
    opened,
    scanned,
    shown,
    spec,
    started,
    version,
)
from support.scratch_databases import libpq


@pytest.fixture
def url(stack: EngineStack) -> str:
    return str(stack.environment["SLUICE_DATABASE_URL"])


@pytest.fixture
def db(url: str) -> Iterator[LedgerDatabase]:
    engine = engine_of(url)
    yield LedgerDatabase(engine)
    engine.dispose()


def end_backends(url: str, application: str) -> int:
    """A role may end its own sessions."""
    with psycopg.connect(libpq(url), autocommit=True) as other:
        ended = other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s", [application]
        ).fetchall()
    return len(ended)


def named_room(url: str, **limits: float) -> tuple[LedgerDatabase, str]:
    from sluice.adapters.postgres.engine import make_engine

    application = name()
    engine = make_engine(
        url,
        pool_size=int(limits.get("pool_size", 2)),
        connect_timeout_s=5.0,
        call_timeout_s=limits.get("call_timeout_s", 30.0),
        name=application,
    )
    return LedgerDatabase(engine), application


def test_a_slow_statement_is_not_taken_for_a_hung_server(url: str) -> None:
    """A scan may take minutes where other calls may not: nobody gives up on a server that answers others."""
    from sluice.adapters.postgres.engine import make_engine

    engine = make_engine(url, pool_size=1, connect_timeout_s=5.0, call_timeout_s=0.3)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = '1min'"))
        assert connection.execute(text("SELECT 1 FROM pg_sleep(1.5)")).scalar_one() == 1
    engine.dispose()


def test_a_connection_lost_while_idle_is_replaced(url: str) -> None:
    db, application = named_room(url)
    source = opened(db)
    assert end_backends(url, application) >= 1
    assert opened(db, source.spec) == source


def test_a_connection_lost_in_a_call_is_transient_and_the_next_call_works(url: str) -> None:
    db, application = named_room(url)
    source = opened(db)
    run = started(db, source)

    def listing() -> Iterator[ListingEntry]:
        yield entry("a")
        end_backends(url, application)
        yield entry("b")

    with pytest.raises(Unavailable, match="PostgreSQL"):
        db.ledger.scans.record(run, listing())
    result = db.ledger.scans.record(run, [entry("a"), entry("b")])
    assert len(result.items) == 2 and all(item.new for item in result.items)


def test_a_locked_document_is_transient_and_a_retry_succeeds(url: str, db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    (item,) = scanned(db, run, entry("a"))
    db.ledger.versions.stage(run, [version(run, item, "one")])
    hasty, _ = named_room(url, call_timeout_s=1.0)
    with psycopg.connect(libpq(url)) as other:
        other.execute("SELECT FROM documents WHERE document_id = %s FOR UPDATE", [item.document_id])
        with pytest.raises(Transient, match="lock"):  # while the other one holds it
            hasty.ledger.versions.activate(run, [item.document_id])
        assert shown(db, source, item, "one") == []
    hasty.ledger.versions.activate(run, [item.document_id])
    assert shown(db, source, item, "one")


def test_a_slow_statement_is_ended(url: str) -> None:
    engine = engine_of(url, call_timeout_s=0.3)
    with pytest.raises(Unavailable, match="SLUICE_CALL_TIMEOUT_S"), translated(), engine.begin() as connection:
        connection.execute(text("SELECT pg_sleep(20)"))
    engine.dispose()


def test_waiting_for_a_connection_ends(url: str) -> None:
    engine = engine_of(url, pool_size=1, call_timeout_s=0.5)
    with engine.connect(), pytest.raises(Unavailable, match="SLUICE_POOL_SIZE"):
        LedgerDatabase(engine).ledger.collections.generations()
    engine.dispose()


def test_a_listing_may_take_longer_than_any_call(url: str) -> None:
    db, _ = named_room(url, call_timeout_s=0.5)

    def slow() -> Iterator[ListingEntry]:
        for i in range(2):
            time.sleep(0.6)  # each longer than a call may take
            yield entry(f"d{i}")

    assert len(db.ledger.scans.record(started(db, opened(db)), slow()).items) == 2


def test_a_refused_row_leaves_nothing_of_its_batch(db: LedgerDatabase) -> None:
    source = opened(db)
    run = started(db, source)
    a, b = scanned(db, run, entry("a"), entry("b"))
    good, bad = version(run, a, "one"), version(run, b, "two")
    bad = replace(bad, chunks=(replace(bad.chunks[0], text_hash=b"short"),))
    with pytest.raises(Terminal, match="ck_chunks_text_hash") as caught:
        db.ledger.versions.stage(run, [good, bad])
    assert "short" not in str(caught.value)
    db.ledger.versions.activate(run, [a.document_id, b.document_id])
    assert db.ledger.runs.counts(run) == Counts(0, 0, 0)
    loaded(db, run, a, "one")


def test_the_wrong_password_is_not_shown(url: str) -> None:
    wrong = engine_of(url.replace("sluice_app:", "sluice_app:not-", 1))
    with pytest.raises(Unavailable) as caught:
        LedgerDatabase(wrong).ledger.collections.generations()
    assert "not-" not in str(caught.value)


def test_a_large_unchanged_scan_needs_no_memory(url: str) -> None:
    engine = engine_of(url)
    db = LedgerDatabase(engine)
    source = opened(db, spec(retention_days=1))
    run = started(db, source)
    count = 30_000
    assert len(db.ledger.scans.record(run, (entry(f"d{i}") for i in range(count))).items) == count
    with engine.begin() as connection:
        connection.execute(
            text("""
                WITH made AS (
                    INSERT INTO versions (version_id, document_id, collection_id, generation, number, state, run_id,
                        activated_at, raw_hash, mime, size_bytes, fingerprint, sealed_title, sealed_text,
                        sealed_metadata)
                    SELECT uuidv7(), document_id, collection_id, 1, 1, 'active', :run, now(), '', 'm', 1, '1', '', '',
                           '' FROM documents WHERE source_id = :source RETURNING document_id)
                UPDATE documents d SET fingerprint = '1' FROM made WHERE made.document_id = d.document_id
            """),
            {"run": run.run_id, "source": source.source_id},
        )
    tracemalloc.start()
    result = db.ledger.scans.record(started(db, source), (entry(f"d{i}") for i in range(count)))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (result.unchanged, result.items, result.vanished) == (count, [], [])
    assert peak_bytes < 20_000_000
    engine.dispose()
