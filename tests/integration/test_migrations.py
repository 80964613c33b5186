"""Migrations on databases of their own: up, down, up, no drift, comments, roles, waiting and giving up."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, text

from sluice.adapters.postgres import migrations
from sluice.adapters.postgres.ledger import postgres_ledger
from sluice.adapters.postgres.migrations import KEYS, LEDGER, configuration, migrate
from sluice.adapters.postgres.tables.base import KeysBase, LedgerBase
from sluice.errors import Terminal, Transient
from support.engines import EngineStack
from support.ledger_rows import engine_of
from support.scratch_databases import Scratch, libpq, scratch_databases
from support.waiting import wait_until

INCLUDE = Path(__file__).resolve().parents[2] / "include"
TABLES = {table.name for table in LedgerBase.metadata.sorted_tables}
VIEWS = {
    *("chunks", "collections", "deletions", "documents", "gate_results", "gate_rows", "grants", "purges"),
    *("quarantine", "readers", "run_costs", "runs", "sources", "stage_costs"),
}


@pytest.fixture
def empty(stack: EngineStack) -> Iterator[Scratch]:
    with scratch_databases(stack) as scratch:
        yield scratch


@pytest.fixture(scope="module")
def migrated(stack: EngineStack) -> Iterator[Scratch]:
    """Shared: what a test changes here it rolls back."""
    with scratch_databases(stack) as scratch:
        migrate(scratch.owner_url, scratch.keys_url)
        yield scratch


def rows(url: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(libpq(url)) as connection:
        return connection.execute(statement, values).fetchall()


def tables(url: str) -> set[object]:
    return {name for (name,) in rows(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


# --- up and down


def test_up_down_up(empty: Scratch) -> None:
    for _ in range(2):
        migrate(empty.owner_url, empty.keys_url)
        assert tables(empty.owner_url) == {*TABLES, "alembic_version"}
        assert tables(empty.keys_url) == {"document_keys", "index_keys", "alembic_version"}
        command.downgrade(configuration(LEDGER, empty.owner_url), "base")
        command.downgrade(configuration(KEYS, empty.keys_url), "base")
        for url in (empty.owner_url, empty.keys_url):
            assert tables(url) == {"alembic_version"}
        assert rows(empty.owner_url, "SELECT 1 FROM pg_namespace WHERE nspname = 'analyst'") == []


def test_every_step_goes_down_and_up_again(empty: Scratch) -> None:
    config = configuration(LEDGER, empty.owner_url)
    steps = [each.revision for each in ScriptDirectory.from_config(config).walk_revisions()][::-1]
    for step in steps:
        command.upgrade(config, step)
        command.downgrade(config, "-1")
        command.upgrade(config, step)
    assert rows(empty.owner_url, "SELECT version_num FROM alembic_version") == [(steps[-1],)]


def test_migrating_again_changes_nothing(migrated: Scratch) -> None:
    migrate(migrated.owner_url, migrated.keys_url)
    assert tables(migrated.owner_url) == {*TABLES, "alembic_version"}


def test_two_migrators_wait_for_each_other(empty: Scratch) -> None:
    program = "import sys; from sluice.adapters.postgres.migrations import migrate; migrate(sys.argv[1], sys.argv[2])"
    environment = {**os.environ, "PYTHONPATH": str(INCLUDE)}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program, empty.owner_url, empty.keys_url], env=environment, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for each in both:
        _, errors = each.communicate(timeout=120)
        assert each.returncode == 0, errors.decode()
    assert tables(empty.owner_url) == {*TABLES, "alembic_version"}


@pytest.fixture
def short_lock_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "_LOCK_TIMEOUT", "200ms")


def waiting_migrators(scratch: Scratch) -> int:
    query = (
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
        "WHERE l.locktype = 'advisory' AND NOT l.granted AND d.datname = current_database()"
    )
    return int(str(rows(scratch.owner_url, query)[0][0]))


@pytest.mark.usefixtures("short_lock_timeout")
def test_a_migrator_waits_longer_than_for_other_locks(empty: Scratch) -> None:
    with psycopg.connect(libpq(empty.owner_url)) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended('sluice/migrate', 0))")
        migrator = threading.Thread(target=migrate, args=(empty.owner_url, empty.keys_url))
        migrator.start()
        wait_until(lambda: waiting_migrators(empty), "the migrator did not wait for the other one")
        migrator.join(timeout=0.6)
        assert migrator.is_alive(), "it must wait, not give up after its lock timeout"
    migrator.join(timeout=60)
    assert tables(empty.owner_url) == {*TABLES, "alembic_version"}


@pytest.mark.usefixtures("short_lock_timeout")
def test_a_migration_gives_up_on_a_locked_table_and_leaves_all_as_it_was(empty: Scratch) -> None:
    config = configuration(LEDGER, empty.owner_url)
    command.upgrade(config, "0004")
    with psycopg.connect(libpq(empty.owner_url)) as other:
        other.execute("LOCK TABLE gate_results IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Transient, match="held a lock"):
            migrate(empty.owner_url, empty.keys_url)
        assert other.execute("SELECT count(*) FROM gate_results").fetchone() == (0,), "the other one is undisturbed"
    assert rows(empty.owner_url, "SELECT version_num FROM alembic_version") == [("0004",)]
    migrate(empty.owner_url, empty.keys_url)


def test_a_ledger_that_was_not_migrated_says_so(empty: Scratch) -> None:
    engine = engine_of(empty.owner_url)
    with pytest.raises(Terminal, match="sluice migrate"):
        postgres_ledger(engine).collections.generations()
    engine.dispose()


# --- drift and comments


def test_models_and_migrations_agree(migrated: Scratch) -> None:
    for part, url in ((LEDGER, migrated.owner_url), (KEYS, migrated.keys_url)):
        config = configuration(part, url)
        config.stdout = io.StringIO()
        command.check(config)
        assert config.stdout.getvalue() == "No new upgrade operations detected.\n"


@pytest.mark.parametrize(
    "drift",
    [
        "ALTER TABLE documents ADD COLUMN extra text",
        "ALTER TABLE versions ALTER COLUMN mime DROP NOT NULL",
        "ALTER TABLE documents ALTER COLUMN document_id DROP DEFAULT",
        "DROP INDEX uq_versions_active",
        "ALTER TABLE chunks DROP CONSTRAINT fk_chunks_version_id",
        "COMMENT ON COLUMN runs.mode IS 'something else'",
    ],
)
def test_drift_is_noticed(migrated: Scratch, drift: str) -> None:
    engine = engine_of(migrated.owner_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, LedgerBase.metadata) == []
        connection.execute(text(drift))
        assert len(compare_metadata(context, LedgerBase.metadata)) == 1
        connection.rollback()
    engine.dispose()


def test_checks_of_models_and_database_are_the_same(migrated: Scratch) -> None:
    """Alembic does not compare CHECK constraints."""
    for metadata, url in ((LedgerBase.metadata, migrated.owner_url), (KeysBase.metadata, migrated.keys_url)):
        modelled = {
            str(constraint.name)
            for table in metadata.sorted_tables
            for constraint in table.constraints
            if isinstance(constraint, CheckConstraint)
        }
        migrated_ones = (
            "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
        )
        assert {name for (name,) in rows(url, migrated_ones)} == modelled


def test_every_table_view_and_column_has_a_comment(migrated: Scratch) -> None:
    bare = """
        SELECT c.relname, a.attname FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname IN ('public', 'analyst')
        JOIN LATERAL (SELECT 0 AS attnum, '(itself)' AS attname UNION ALL
                      SELECT attnum, attname FROM pg_attribute
                      WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) a ON true
        WHERE c.relkind IN ('r', 'v') AND c.relname <> 'alembic_version'
          AND NOT EXISTS (SELECT FROM pg_description d WHERE d.objoid = c.oid AND d.objsubid = a.attnum)
    """
    assert rows(migrated.owner_url, bare) == []
    assert rows(migrated.keys_url, bare) == []


# --- roles


def denied(url: str, statement: str) -> bool:
    with psycopg.connect(libpq(url)) as connection:
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            return True
        return False


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE public.mine (x int)",
        "CREATE SCHEMA mine",
        "ALTER TABLE documents ADD COLUMN mine text",
        "DROP TABLE documents",
        "TRUNCATE documents",
        "CREATE INDEX ON documents (uri)",
        "DELETE FROM alembic_version",
        "SELECT * FROM analyst.runs",
    ],
)
def test_the_app_changes_rows_and_nothing_else(migrated: Scratch, statement: str) -> None:
    assert denied(migrated.app_url, statement)


def test_the_app_reads_and_writes_every_table(migrated: Scratch) -> None:
    with psycopg.connect(libpq(migrated.app_url)) as connection:
        for table in TABLES:
            connection.execute(f'DELETE FROM "{table}"')
            assert connection.execute(f'SELECT count(*) FROM "{table}"').fetchone() == (0,)
        connection.execute("CREATE TEMPORARY TABLE scratch (x int)")
        connection.execute("INSERT INTO tenants (tenant_id) VALUES ('t')")
        assert connection.execute("SELECT tenant_id FROM tenants").fetchall() == [("t",)]
        connection.rollback()


def test_analysts_read_the_views_and_nothing_else(migrated: Scratch) -> None:
    for view in VIEWS:
        assert rows(migrated.analyst_url, f"SELECT * FROM analyst.{view}") == []
        for right in ("INSERT", "UPDATE", "DELETE", "TRUNCATE"):
            asked = f"SELECT has_table_privilege('analyst.{view}', '{right}')"
            assert rows(migrated.analyst_url, asked) == [(False,)]
    for table in (*TABLES, "alembic_version"):
        assert denied(migrated.analyst_url, f'SELECT * FROM public."{table}"'), table
    for statement in ("CREATE TABLE public.mine (x int)", "CREATE VIEW analyst.mine AS SELECT 1"):
        assert denied(migrated.analyst_url, statement)
    assert denied(migrated.analyst_url, "CREATE TEMPORARY TABLE mine (x int)")


def test_nothing_sealed_is_in_a_view(migrated: Scratch) -> None:
    columns = rows(
        migrated.owner_url,
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'analyst'",
    )
    assert {view for view, _, _ in columns} == VIEWS
    assert [each for each in columns if each[2] == "bytea" or "sealed" in str(each[1])] == []


def test_every_view_says_whose_where_and_from_which_source(migrated: Scratch) -> None:
    """A grant is one of a tenant, whatever its collections; a collection may hold sources of several tenants."""
    columns = rows(
        migrated.owner_url,
        "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns "
        "WHERE table_schema = 'analyst' GROUP BY 1",
    )
    lacking = {
        view: missing for view, named in columns if (missing := {"tenant", "collection", "source_uri"} - set(named))
    }
    assert lacking == {"grants": {"collection", "source_uri"}, "collections": {"tenant", "source_uri"}}
    assert {"tenants", "source_uris"} <= set(dict(columns)["collections"])


@pytest.mark.parametrize(("release", "next_one"), [("0018", "0019"), ("0019", "0020")])
def test_views_that_change_keep_their_comments_readers_and_columns(empty: Scratch, release: str, next_one: str) -> None:
    """Up and down: an analyst's query of the release before runs all the while."""
    described = """
        SELECT c.relname, a.attname, d.description FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'analyst'
        JOIN pg_description d ON d.objoid = c.oid
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0 ORDER BY 1, 2
    """
    config = configuration(LEDGER, empty.owner_url)
    command.upgrade(config, release)
    with psycopg.connect(libpq(empty.owner_url)) as connection:
        connection.execute("GRANT USAGE ON SCHEMA analyst TO sluice_analyst")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA analyst TO sluice_analyst")
        connection.execute(f"GRANT CONNECT ON DATABASE {connection.info.dbname} TO sluice_analyst")
    before = rows(empty.owner_url, described)
    old = {view for view, column, _ in before if column is None}
    command.upgrade(config, next_one)
    assert set(before) <= set(rows(empty.owner_url, described))
    assert all(rows(empty.analyst_url, f"SELECT * FROM analyst.{view}") == [] for view in old)
    command.downgrade(config, release)
    assert rows(empty.owner_url, described) == before
    assert all(rows(empty.analyst_url, f"SELECT * FROM analyst.{view}") == [] for view in old)


def test_a_role_that_is_missing_is_skipped_with_a_notice(empty: Scratch, caplog: pytest.LogCaptureFixture) -> None:
    migrate(empty.owner_url, empty.keys_url, app_role="no_such_app", analyst_role="no_such_analyst")
    assert "no_such_app" in caplog.text and "no_such_analyst" in caplog.text
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        rows(empty.app_url, "SELECT 1")
    migrate(empty.owner_url, empty.keys_url)
    assert rows(empty.app_url, "SELECT count(*) FROM documents") == [(0,)]


# --- what the storage itself refuses

_GROUND = """
    INSERT INTO tenants (tenant_id) VALUES ('a'), ('b');
    INSERT INTO collections (collection_id, name, live_generation, filter_fields)
        VALUES ('00000000-0000-0000-0000-00000000000c', 'c', 1, '{}');
    INSERT INTO generations VALUES ('00000000-0000-0000-0000-00000000000c', 1, 'x', 'x', 'off', 2, 'c__g1', 'live');
    INSERT INTO generations VALUES ('00000000-0000-0000-0000-00000000000c', 2, 'x', 'x', 'off', 2, 'c__g2', 'building');
    INSERT INTO sources (source_id, tenant_id, collection_id, uri)
        VALUES ('00000000-0000-0000-0000-000000000005', 'a', '00000000-0000-0000-0000-00000000000c', 'u');
    INSERT INTO runs (run_id, source_id, collection_id, generation, mode) VALUES
        ('00000000-0000-0000-0000-000000000009', '00000000-0000-0000-0000-000000000005',
         '00000000-0000-0000-0000-00000000000c', 1, 'full');
    INSERT INTO documents (document_id, tenant_id, source_id, collection_id, external_id, uri) VALUES
        ('00000000-0000-0000-0000-00000000000d', 'a', '00000000-0000-0000-0000-000000000005',
         '00000000-0000-0000-0000-00000000000c', 'x', 'u');
"""
_C, _D = "'00000000-0000-0000-0000-00000000000c'", "'00000000-0000-0000-0000-00000000000d'"
_S, _R = "'00000000-0000-0000-0000-000000000005'", "'00000000-0000-0000-0000-000000000009'"
_VERSION = (
    "INSERT INTO versions (version_id, document_id, collection_id, generation, number, state, raw_hash, mime, "
    "size_bytes, fingerprint, sealed_title, sealed_text, sealed_metadata, run_id, activated_at) VALUES "
    f"(uuidv7(), {_D}, {_C}, {{0}}, {{1}}, '{{2}}', '', 'm', 1, 'f', '', '', '', {_R}, {{3}})"
)
_ACTIVE = _VERSION.format(1, "{}", "active", "now()")
_CHUNK = (
    "INSERT INTO chunks SELECT version_id, {0}, uuidv7(), document_id, collection_id, generation, {1}, {2}, {3}, "
    "decode(repeat('00', {4}), 'hex'), '', '', '' FROM versions"
)
_QUARANTINE = (
    "INSERT INTO quarantine (document_id, source_id, tenant_id, run_id, stage, code, reason, fingerprint) "
    f"VALUES ({_D}, {_S}, 'a', {_R}, 's', 'c', 'r', 'f')"
)


@pytest.mark.parametrize(
    ("statements", "rule"),
    [
        ([_ACTIVE.format(1), _ACTIVE.format(2)], "uq_versions_active"),
        (
            [_VERSION.format(1, 1, "superseded", "now()"), _ACTIVE.format(1)],
            "uq_versions_document_id_generation_number",
        ),
        ([_VERSION.format(1, 1, "pending", "NULL")], "ck_versions_number"),
        ([_VERSION.format(1, "NULL", "active", "now()")], "ck_versions_number"),
        ([_VERSION.format(1, 1, "active", "NULL")], "ck_versions_activated_at"),
        ([_VERSION.format(1, 1, "served", "now()")], "ck_versions_state"),
        ([_VERSION.format(3, 1, "active", "now()")], "fk_versions_generation"),
        ([_ACTIVE.format(1), _CHUNK.format(0, 5, 5, "NULL", 20)], "ck_chunks_offsets"),
        ([_ACTIVE.format(1), _CHUNK.format(-1, 0, 5, "NULL", 20)], "ck_chunks_ordinal"),
        ([_ACTIVE.format(1), _CHUNK.format(0, 0, 5, 0, 20)], "ck_chunks_page"),
        ([_ACTIVE.format(1), _CHUNK.format(0, 0, 5, "NULL", 19)], "ck_chunks_text_hash"),
        (["UPDATE generations SET state = 'live'"], "uq_generations_live"),
        (
            ["UPDATE collections SET live_generation = 7", "SET CONSTRAINTS ALL IMMEDIATE"],
            "fk_collections_live_generation",
        ),
        (["UPDATE collections SET name = 'c__g1'"], "ck_collections_name"),
        (["UPDATE documents SET tenant_id = 'b'"], "fk_documents_source"),
        (
            [
                "INSERT INTO documents (tenant_id, source_id, collection_id, external_id, uri) "
                f"VALUES ('a', {_S}, {_C}, 'x', 'u')"
            ],
            "uq_documents_living",
        ),
        (["UPDATE sources SET retention_days = -1"], "ck_sources_retention_days"),
        (["UPDATE collections SET retention_days = 1, retain_until = now()"], "ck_collections_retention"),
        (["UPDATE runs SET mode = 'half'"], "ck_runs_mode"),
        (["UPDATE runs SET state = 'succeeded'"], "ck_runs_finished_at"),
        ([_QUARANTINE, _QUARANTINE], "uq_quarantine_open"),
        ([f"INSERT INTO gate_overrides VALUES ({_C}, 'documents', 'c', 'drop')"], "ck_gate_overrides_action"),
        ([f"INSERT INTO gate_rows VALUES ({_R}, 0, 's', 0, {_D}, -1, 's', 'c', 'e')"], "ck_gate_rows_ordinal"),
        ([f"INSERT INTO signatures VALUES ({_D}, {_R}, '\\x00', '{{}}')"], "ck_signatures_signature"),
        (["INSERT INTO embeddings VALUES ('e', '\\x00', 2, '\\x00000000')"], "ck_embeddings_vector"),
    ],
)
def test_the_storage_refuses_what_must_not_be(migrated: Scratch, statements: list[str], rule: str) -> None:
    with psycopg.connect(libpq(migrated.app_url)) as connection:
        connection.execute(_GROUND)
        for statement in statements[:-1]:
            connection.execute(statement)
        with pytest.raises(psycopg.errors.IntegrityError) as caught:
            connection.execute(statements[-1])
        assert caught.value.diag.constraint_name == rule
        connection.rollback()
