"""What a run reports can be read by analysts."""

from __future__ import annotations

from uuid import uuid4

import psycopg

from ledger_rows import engine_of, entry, failure, loaded, opened, postgres_room, scanned, spec
from scratch_databases import libpq
from sluice.model import Budget, Deletion, GateResult, GateRow, Grant, Spent, StageStat


def test_a_run_with_its_gates_costs_and_refusals_is_in_the_views(stack) -> None:  # type: ignore[no-untyped-def]
    engine = engine_of(stack.environment["SLUICE_DATABASE_URL"])
    room = postgres_room(engine)
    source = opened(room, spec(access_groups=("hr",)))
    room.catalog.grant(Grant("ann", source.spec.tenant, frozenset({"*"}), True))
    room.catalog.grant(Grant("bob", source.spec.tenant, frozenset({"it"}), False))
    room.ledger.record_deletion(Deletion("document", "x", "ann", source.spec.tenant, source.spec.collection, 1, 2))
    run = room.ledger.start_run(source, "incremental", uuid4(), "tests", Budget(None, 0.02))
    room.ledger.settle(run, 0, Spent(3, 500_000, 1.5))
    good, bad = scanned(room, run, entry("good"), entry("bad"))
    loaded(room, run, good, "one", "two")
    room.ledger.quarantine(run, [failure(bad)])
    result = GateResult("documents", "not_empty", "text", False, True, 2, 1, 0.5)
    row = GateRow(bad.document_id, None, "documents", "empty_text", "not_empty", 0)
    room.ledger.record_gates(run, 0, "extract", [result], [row])
    room.ledger.record_stage(run, StageStat(0, "extract", 1.5, {"documents": 2}))
    room.ledger.finish_run(run, "succeeded", {"documents": {"seen": 2}, "ratio": float("nan")})
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
        change("UPDATE sources SET removed_at = now() WHERE source_id = %s", source.source_id)
        assert read(readers, tenant, source.spec.uri) == [("ann",)], "its documents are still there"
        change("UPDATE documents SET removed_at = now() WHERE source_id = %s", source.source_id)
        assert read(readers, tenant, source.spec.uri) == []
        gone = "SELECT kind, name, actor, documents, chunks FROM analyst.deletions WHERE tenant = %s"
        assert read(gone, tenant) == [("document", "x", "ann", 1, 2)]
        held = "SELECT generation, embedder, documents FROM analyst.collections WHERE collection = %s"
        assert read(held, collection) == [(1, source.generation.profile.embedder, 1)]
