"""Runs with their stages and gates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from sluice.adapters.postgres.rules import GIVEN_UP, check_state, names_one_execution, storable_json
from sluice.adapters.postgres.sources import GENERATION_COLUMNS, SPEC_COLUMNS, generation_of, spec_of
from sluice.errors import NotFound, Terminal
from sluice.model.costs import Budget
from sluice.model.gates import GateResult
from sluice.model.run import Run, RunMode, StageStat
from sluice.model.source import Source
from sluice.model.text import storable

# Of runs `r`: at work, because its lease holds.
RUNNING = """
    (r.state = 'running' AND EXISTS (
        SELECT FROM claims k
        WHERE k.source_id = r.source_id AND k.run_id = r.run_id AND k.lapses_at > clock_timestamp() OFFSET 0))
"""
# A run that is started again (a cleared DAG run) is open again; its first start stays.
_START = text("""
    INSERT INTO runs (run_id, source_id, collection_id, generation, mode, orchestrator, max_tokens, token_price)
    VALUES (:run_id, :source_id, :collection_id, :generation, :mode, :orchestrator, :max_tokens, :token_price)
    ON CONFLICT (run_id) DO UPDATE SET state = 'running', finished_at = NULL, summary = NULL
    WHERE runs.state <> 'running'
""")
_RUN = text(f"""
    SELECT r.run_id, r.mode, r.started_at, r.max_tokens, r.token_price, {SPEC_COLUMNS}, {GENERATION_COLUMNS}
    FROM runs r
    JOIN sources s USING (source_id)
    JOIN collections c ON c.collection_id = r.collection_id
    JOIN generations g ON g.collection_id = r.collection_id AND g.generation = r.generation
    WHERE r.run_id = :run_id
""")  # noqa: S608
_FINISH = text("""
    UPDATE runs SET state = :state, summary = CAST(:summary AS jsonb), finished_at = now()
    WHERE run_id = :run_id
""")
# What failed first is why: what fails later often fails because of it.
_ERROR = text("""
    UPDATE runs SET summary = CAST(:summary AS jsonb)
    WHERE run_id = :run_id AND state = 'running' AND summary ->> 'error' IS NULL
""")
_CLOSE = text("""
    UPDATE runs SET state = 'failed', finished_at = now(), summary = CAST(:summary AS jsonb) || coalesce(summary, '{}')
    WHERE run_id = :run_id AND state = 'running' RETURNING run_id
""")
_MARK = text("UPDATE runs SET mark = :mark WHERE run_id = :run_id")
_LAST_MARK = text("""
    SELECT mark FROM runs WHERE source_id = :source_id AND state = 'succeeded' AND mode IN ('incremental', 'full')
    ORDER BY started_at DESC, run_id DESC LIMIT 1
""")
# What an attempt of the same task left running: nobody else would close it.
GIVE_UP = text("""
    UPDATE runs SET state = 'failed', finished_at = now(), summary = CAST(:summary AS jsonb) || coalesce(summary, '{}')
    WHERE source_id = :source_id AND started_at < :started_at AND state = 'running' AND orchestrator = :orchestrator
""")
OTHERS = text(f"""
    SELECT EXISTS (SELECT FROM runs r WHERE r.source_id = :source_id AND r.run_id <> :run_id AND {RUNNING} OFFSET 0)
""")  # noqa: S608
_STAGE = text("""
    INSERT INTO run_stages (run_id, batch, stage, seconds, counts)
    VALUES (:run_id, :batch, :stage, :seconds, CAST(:counts AS jsonb))
    ON CONFLICT (run_id, batch, stage) DO UPDATE
    SET seconds = excluded.seconds, counts = excluded.counts, recorded_at = excluded.recorded_at
""")
_STAGES = text("""
    SELECT batch, stage, seconds, counts FROM run_stages WHERE run_id = :run_id ORDER BY batch, recorded_at, stage
""")
_GATES = text("""
    INSERT INTO gate_results (run_id, batch, stage, position, suite, expectation, column_name, success, blocking,
                              evaluated, unexpected, observed)
    VALUES (:run_id, :batch, :stage, :position, :suite, :expectation, :column_name, :success, :blocking,
            :evaluated, :unexpected, CAST(:observed AS jsonb))
""")
_READ_GATES = text("""
    SELECT suite, expectation, column_name, success, blocking, evaluated, unexpected, observed
    FROM gate_results WHERE run_id = :run_id AND batch = :batch ORDER BY stage, position
""")
_OLD_GATES = text("DELETE FROM gate_results WHERE run_id = :run_id AND batch = :batch AND stage = :stage")


def start_run(
    connection: Connection, source: Source, mode: RunMode, run_id: UUID, orchestrator: str | None, budget: Budget
) -> Run:
    connection.execute(
        _START,
        {
            "run_id": run_id,
            "source_id": source.source_id,
            "collection_id": source.generation.collection_id,
            "generation": source.generation.number,
            "mode": mode,
            "orchestrator": None if orchestrator is None else storable(orchestrator),
            "max_tokens": budget.max_tokens,
            "token_price": budget.price,
        },
    )
    run = read_run(connection, run_id)
    if run.source.source_id != source.source_id:
        raise Terminal(
            f"Run {run_id} belongs to {run.source.spec.uri}, not to {source.spec.uri}. Start it with an id of its own."
        )
    if names_one_execution(orchestrator):
        connection.execute(
            GIVE_UP,
            {
                "source_id": source.source_id,
                "started_at": run.started_at,
                "orchestrator": storable(orchestrator or ""),
                "summary": _json({"error": GIVEN_UP}),
            },
        )
    return run


def read_run(connection: Connection, run_id: UUID) -> Run:
    row = connection.execute(_RUN, {"run_id": run_id}).one_or_none()
    if row is None:
        raise NotFound(f"There is no run {run_id}.")
    source = Source(row.source_id, spec_of(row), generation_of(row))
    return Run(row.run_id, source, row.mode, row.started_at, Budget(row.max_tokens, row.token_price))


def record_mark(connection: Connection, run: Run, mark: str) -> None:
    connection.execute(_MARK, {"run_id": run.run_id, "mark": mark})


def last_mark(connection: Connection, source: Source) -> str | None:
    found: str | None = connection.execute(_LAST_MARK, {"source_id": source.source_id}).scalar_one_or_none()
    return found


def others_running(connection: Connection, run: Run) -> bool:
    values = {"source_id": run.source.source_id, "run_id": run.run_id}
    return bool(connection.execute(OTHERS, values).scalar_one())


def finish_run(connection: Connection, run: Run, state: str, summary: Mapping[str, Any]) -> None:
    check_state(state)
    connection.execute(_FINISH, {"run_id": run.run_id, "state": state, "summary": _json(summary)})


def record_error(connection: Connection, run: Run, summary: Mapping[str, Any]) -> None:
    connection.execute(_ERROR, {"run_id": run.run_id, "summary": _json(summary)})


def close_run(connection: Connection, run: Run, summary: Mapping[str, Any]) -> bool:
    closed = connection.execute(_CLOSE, {"run_id": run.run_id, "summary": _json(summary)})
    return closed.scalar_one_or_none() is not None


def record_stage(connection: Connection, run: Run, stat: StageStat) -> None:
    values = {"batch": stat.batch, "stage": stat.stage, "seconds": stat.seconds, "counts": _json(stat.counts)}
    connection.execute(_STAGE, {"run_id": run.run_id, **values})


def read_stages(connection: Connection, run: Run) -> list[StageStat]:
    rows = connection.execute(_STAGES, {"run_id": run.run_id})
    return [StageStat(row.batch, row.stage, row.seconds, row.counts) for row in rows]


def record_gates(connection: Connection, run: Run, batch: int, stage: str, results: Sequence[GateResult]) -> None:
    place = {"run_id": run.run_id, "batch": batch, "stage": stage}
    connection.execute(_OLD_GATES, place)
    rows = [
        {
            **place,
            "position": position,
            "suite": result.suite,
            "expectation": result.expectation,
            "column_name": result.column,
            "success": result.success,
            "blocking": result.blocking,
            "evaluated": result.evaluated,
            "unexpected": result.unexpected,
            "observed": None if result.observed is None else _json(result.observed),
        }
        for position, result in enumerate(results)
    ]
    if rows:
        connection.execute(_GATES, rows)


def read_gates(connection: Connection, run: Run, batch: int) -> list[GateResult]:
    rows = connection.execute(_READ_GATES, {"run_id": run.run_id, "batch": batch})
    return [
        GateResult(
            row.suite,
            row.expectation,
            row.column_name,
            row.success,
            row.blocking,
            row.evaluated,
            row.unexpected,
            row.observed,
        )
        for row in rows
    ]


def _json(value: Any) -> str:
    return json.dumps(storable_json(value), ensure_ascii=False)
