"""Runs and their stages on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from sluice.adapters.postgres import collections, leases, renames, run_locks
from sluice.adapters.postgres.collections import CHUNKS, GENERATION_COLUMNS, generation_of, values_of
from sluice.adapters.postgres.leases import RUNNING
from sluice.adapters.postgres.sources import RUN_COLUMNS, SPEC_COLUMNS, last_run, spec_of
from sluice.adapters.postgres.transactions import IDLE, Transactions
from sluice.errors import NotFound, Terminal
from sluice.model.costs import Budget
from sluice.model.run import Counts, Run, RunMode, StageStat
from sluice.model.source import LastRun, SavedSource, Source
from sluice.model.text import json_text, storable

GIVEN_UP = "given up: its task was tried again"  # stored in the run's summary

# A run that is started again (a cleared DAG run) is open again and keeps its first start time.
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
""")
_FINISH = text("""
    UPDATE runs SET state = :state, summary = CAST(:summary AS jsonb), finished_at = now()
    WHERE run_id = :run_id
""")
# The first failure is the reason: later failures are often its consequences.
_ERROR = text("""
    UPDATE runs SET summary = CAST(:summary AS jsonb)
    WHERE run_id = :run_id AND state = 'running' AND summary ->> 'error' IS NULL
""")
_CLOSE = text("""
    UPDATE runs SET state = 'failed', finished_at = now(), summary = CAST(:summary AS jsonb) || coalesce(summary, '{}')
    WHERE run_id = :run_id AND state = 'running' RETURNING run_id
""")
# Runs that an earlier attempt of the same task left open: nothing else closes them.
GIVE_UP = text("""
    UPDATE runs SET state = 'failed', finished_at = now(), summary = CAST(:summary AS jsonb) || coalesce(summary, '{}')
    WHERE source_id = :source_id AND started_at < :started_at AND state = 'running' AND orchestrator = :orchestrator
""")
OTHERS = text(f"""
    SELECT EXISTS (SELECT FROM runs r WHERE r.source_id = :source_id AND r.run_id <> :run_id AND {RUNNING} OFFSET 0)
""")
_STAGE = text("""
    INSERT INTO run_stages (run_id, batch, stage, seconds, counts)
    VALUES (:run_id, :batch, :stage, :seconds, CAST(:counts AS jsonb))
    ON CONFLICT (run_id, batch, stage) DO UPDATE
    SET seconds = excluded.seconds, counts = excluded.counts, recorded_at = excluded.recorded_at
""")
_STAGES = text("""
    SELECT batch, stage, seconds, counts FROM run_stages WHERE run_id = :run_id ORDER BY batch, recorded_at, stage
""")
_RUN_BY = text(f"""
    SELECT {RUN_COLUMNS} FROM runs r WHERE r.source_id = :source_id AND r.orchestrator = :orchestrator
    ORDER BY r.started_at DESC, r.run_id DESC LIMIT 1
""")
SERVED_OF_SOURCE = text(f"""
    SELECT count(*) AS documents, {CHUNKS}
    FROM (SELECT document_id FROM documents
          WHERE tenant_id = :tenant AND source_id = :source_id AND deleted_at IS NULL OFFSET 0) d
    CROSS JOIN LATERAL (SELECT version_id FROM versions
                        WHERE document_id = d.document_id AND generation = :generation AND state = 'active' OFFSET 0) v
""")
OPEN_OF_SOURCE = text("SELECT count(*) FROM quarantine WHERE source_id = :source_id AND resolved_at IS NULL")


class PostgresRuns(Transactions):
    """`sluice.ports.runs.Runs`."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._locks = run_locks.RunLocks(engine)

    def start(
        self, source: Source, mode: RunMode, run_id: UUID, orchestrator: str | None = None, budget: Budget = Budget()
    ) -> Run:
        with self._transaction() as connection:
            values = {
                "run_id": run_id,
                "source_id": source.source_id,
                **values_of(source.generation),
                "mode": mode,
                "orchestrator": None if orchestrator is None else storable(orchestrator),
                "max_tokens": budget.max_tokens,
                "token_price": budget.price,
                "summary": json_text({"error": GIVEN_UP}),
            }
            connection.execute(_START, values)
            run = read_run(connection, run_id)
            if run.source.source_id != source.source_id:
                raise Terminal(
                    f"Run {run_id} belongs to {run.source.spec.uri}, not to {source.spec.uri}. Start this run "
                    "with another id."
                )
            # `airflow:<dag>/<run>` stands for one execution; `cli` for every manual run, and several may run at once.
            if orchestrator is not None and ":" in orchestrator:
                connection.execute(GIVE_UP, {**values, "started_at": run.started_at})
            return run

    def get(self, run_id: UUID) -> Run:
        with self._transaction() as connection:
            return read_run(connection, run_id)

    def session(self, run_id: UUID) -> AbstractContextManager[None]:
        return self._locks.hold(run_id)

    def claim(self, run: Run, lease_s: float) -> None:
        in_session = self._locks.lives(run.run_id)
        with self._transaction() as connection:
            if run.mode != "purge":  # a killed deletion is finished by running it again
                collections.check_not_dropping(connection, run.source.generation)
            leases.claim(connection, run, lease_s, in_session)

    def renew(self, run: Run, lease_s: float) -> bool:
        in_session = self._locks.lives(run.run_id)
        with self._transaction() as connection:
            return leases.renew(connection, run, lease_s, in_session)

    @contextmanager
    def fenced(self, run: Run) -> Iterator[None]:
        with self._transaction() as connection:
            connection.execute(IDLE)
            leases.hold(connection, run)
            yield

    def others_running(self, run: Run) -> bool:
        return bool(self._value(OTHERS, {"source_id": run.source.source_id, "run_id": run.run_id}))

    def record_stage(self, run: Run, stat: StageStat) -> None:
        with self._writing(run) as connection:
            values = {
                "batch": stat.batch,
                "stage": stat.stage,
                "seconds": stat.seconds,
                "counts": json_text(stat.counts),
            }
            connection.execute(_STAGE, {"run_id": run.run_id, **values})

    def stages(self, run: Run) -> list[StageStat]:
        return [StageStat(**row._mapping) for row in self._rows(_STAGES, {"run_id": run.run_id})]

    def finish(self, run: Run, state: str, summary: Mapping[str, Any]) -> None:
        if state not in ("succeeded", "failed"):
            raise Terminal(f"A run ends as succeeded or failed, not as {state!r}.")
        done = state == "succeeded"
        with self._writing(run) if done else self._transaction() as connection:
            leases.release(connection, run)  # first: a run that takes over locks the lease before the runs
            connection.execute(_FINISH, {"run_id": run.run_id, "state": state, "summary": json_text(summary)})
            if done:
                renames.forget_vanished(connection, run)

    def record_error(self, run: Run, summary: Mapping[str, Any]) -> None:
        self._execute(_ERROR, {"run_id": run.run_id, "summary": json_text(summary)})

    def close(self, run: Run, summary: Mapping[str, Any]) -> bool:
        with self._transaction() as connection:
            leases.release(connection, run)
            closed = connection.execute(_CLOSE, {"run_id": run.run_id, "summary": json_text(summary)})
            return closed.scalar_one_or_none() is not None

    def counts(self, run: Run) -> Counts:
        with self._transaction() as connection:
            source = run.source
            values = {"source_id": source.source_id, "tenant": source.spec.tenant, **values_of(source.generation)}
            served = connection.execute(SERVED_OF_SOURCE, values).one()
            quarantined = connection.execute(OPEN_OF_SOURCE, values).scalar_one()
            return Counts(**served._mapping, quarantined=quarantined)

    def last_by(self, source: SavedSource, orchestrator: str) -> LastRun | None:
        with self._transaction() as connection:
            values = {"source_id": source.source_id, "orchestrator": orchestrator}
            row = connection.execute(_RUN_BY, values).one_or_none()
            return last_run(row) if row else None


def read_run(connection: Connection, run_id: UUID) -> Run:
    """Returns a run with its source as saved now. Raises NotFound."""
    row = connection.execute(_RUN, {"run_id": run_id}).one_or_none()
    if row is None:
        raise NotFound(f"There is no run {run_id}.")
    source = Source(source_id=row.source_id, spec=spec_of(row), generation=generation_of(row))
    return Run(
        run_id=row.run_id,
        source=source,
        mode=row.mode,
        started_at=row.started_at,
        budget=Budget(max_tokens=row.max_tokens, price=row.token_price),
    )
