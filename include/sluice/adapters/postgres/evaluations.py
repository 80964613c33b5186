"""Evaluations on PostgreSQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from sluice.adapters.postgres.collections import check_not_dropping, values_of
from sluice.adapters.postgres.transactions import Transactions
from sluice.model.evaluation import METRICS, Comparison, Evaluation, RetrieverScores
from sluice.model.gates import GateResult
from sluice.model.generation import Generation, Profile
from sluice.model.text import json_text
from sluice.model.weights import DEFAULT, LearnedWeights, Weights

STAGE, WHOLE_RUN = "evaluate", -1  # of gate results
_HASH_BYTES = 16

# The summary of an ingest has the numbers of documents by kind; that of a purge or a deletion has one number.
_CHANGED = """
    CASE jsonb_typeof(r.summary -> 'documents')
        WHEN 'number' THEN CAST(r.summary ->> 'documents' AS bigint) > 0
        WHEN 'object' THEN jsonb_path_exists(r.summary, '$.documents.keyvalue() ?
            (@.key == "new" || @.key == "changed" || @.key == "moved" || @.key == "deleted").value ? (@ > 0)')
        ELSE false END
"""
LAST_RUN = text(f"""
    SELECT r.run_id FROM runs r JOIN sources s USING (source_id)
    WHERE s.collection_id = :collection_id AND s.tenant_id = :tenant AND r.generation = :generation
      AND r.state = 'succeeded' AND {_CHANGED} ORDER BY r.finished_at DESC LIMIT 1
""")
_COLUMNS = """
    e.evaluation_id, e.tenant_id AS tenant, c.name AS collection, e.golden_set, e.golden_version, e.generation,
    e.chunker, e.embedder, e.entities, e.dim, e.run_id, e.orchestrator, e.evaluated_at, e.queries, e.top_k, e.seconds,
    e.comparison
"""
_FROM = "FROM evaluations e JOIN collections c USING (collection_id)"
BASELINE = text(f"""
    SELECT {_COLUMNS}, e.hashes {_FROM}
    WHERE e.collection_id = :collection_id AND e.tenant_id = :tenant AND e.golden_set = :golden_set
      AND e.embedder = :embedder AND e.top_k = :top_k AND coalesce(e.comparison->>'result', 'passed') = 'passed'
    ORDER BY e.evaluation_id DESC LIMIT 1
""")
HISTORY = text(f"""
    SELECT {_COLUMNS}, '\\x'::bytea AS hashes {_FROM}
    WHERE e.collection_id = (SELECT collection_id FROM collections WHERE name = :collection) AND e.tenant_id = :tenant
      AND (CAST(:golden_set AS text) IS NULL OR e.golden_set = :golden_set)
      AND (CAST(:before AS uuid) IS NULL OR e.evaluation_id < :before)
    ORDER BY e.evaluation_id DESC LIMIT :limit
""")
_SCORE_COLUMNS = "evaluation_id, retriever, metrics, intervals, latency_p50_ms, latency_p95_ms"
_SCORES = text(f"""
    SELECT {_SCORE_COLUMNS}, scores FROM evaluation_scores WHERE evaluation_id = ANY(CAST(:ids AS uuid[]))
    ORDER BY retriever COLLATE "C"
""")
_METRICS = text(f"""
    SELECT {_SCORE_COLUMNS}, '\\x'::bytea AS scores FROM evaluation_scores
    WHERE evaluation_id = ANY(CAST(:ids AS uuid[])) ORDER BY retriever COLLATE "C"
""")
_ADD = text("""
    INSERT INTO evaluations (tenant_id, collection_id, golden_set, golden_version, generation, chunker, embedder,
                             entities, dim, run_id, orchestrator, queries, top_k, seconds, hashes, comparison)
    VALUES (:tenant, :collection_id, :golden_set, :golden_version, :generation, :chunker, :embedder, :entities, :dim,
            :run_id, :orchestrator, :queries, :top_k, :seconds, :hashes, CAST(:comparison AS jsonb))
    RETURNING evaluation_id, evaluated_at
""")
_ADD_SCORES = text("""
    INSERT INTO evaluation_scores (evaluation_id, retriever, collection_id, metrics, intervals, latency_p50_ms,
                                   latency_p95_ms, scores)
    VALUES (:evaluation_id, :retriever, :collection_id, CAST(:metrics AS jsonb), CAST(:intervals AS jsonb),
            :latency_p50_ms, :latency_p95_ms, :scores)
""")
# The run's row is locked: two evaluations at once must not use the same position.
_LOCK_RUN = text("SELECT FROM runs WHERE run_id = :run_id FOR NO KEY UPDATE")
_OLD_GATE = text("""
    DELETE FROM gate_results WHERE run_id = :run_id AND batch = :batch AND stage = :stage
      AND observed->>'golden_set' = :golden_set
""")
_GATE = text("""
    INSERT INTO gate_results (run_id, batch, stage, position, suite, expectation, column_name, success, blocking,
                              evaluated, unexpected, observed)
    SELECT :run_id, :batch, :stage,
           (SELECT coalesce(max(position) + 1, 0) FROM gate_results
            WHERE run_id = :run_id AND batch = :batch AND stage = :stage),
           :suite, :expectation, :column, :success, :blocking, :evaluated, :unexpected, CAST(:observed AS jsonb)
""")

_OWN_WEIGHTS = "collection_id = :collection_id AND generation = :generation AND tenant_id = :tenant"
_WEIGHTS = text(
    f"SELECT dense, pairs, resemblance, metadata, queries, gain, p, learned_at FROM search_weights WHERE {_OWN_WEIGHTS}"
)
_LEARN = text("""
    INSERT INTO search_weights
           (collection_id, generation, tenant_id, dense, pairs, resemblance, metadata, queries, gain, p)
    VALUES (:collection_id, :generation, :tenant, :dense, :pairs, :resemblance, :metadata, :queries, :gain, :p)
    ON CONFLICT (collection_id, generation, tenant_id) DO UPDATE
    SET dense = excluded.dense, pairs = excluded.pairs, resemblance = excluded.resemblance,
        metadata = excluded.metadata, queries = excluded.queries, gain = excluded.gain, p = excluded.p,
        learned_at = excluded.learned_at
""")
_FORGET_WEIGHTS = text(f"DELETE FROM search_weights WHERE {_OWN_WEIGHTS}")


class PostgresEvaluations(Transactions):
    """`sluice.ports.evaluations.Evaluations`."""

    def last_run(self, generation: Generation, tenant: str) -> UUID | None:
        values = {"collection_id": generation.collection_id, "tenant": tenant, "generation": generation.number}
        run_id: UUID | None = self._value(LAST_RUN, values)
        return run_id

    def baseline(self, generation: Generation, tenant: str, golden_set: str, top_k: int) -> Evaluation | None:
        values = {"collection_id": generation.collection_id, "tenant": tenant, "golden_set": golden_set}
        with self._transaction() as connection:
            embedder = generation.profile.embedder
            row = connection.execute(BASELINE, {**values, "embedder": embedder, "top_k": top_k}).one_or_none()
            if row is None:
                return None
            return _evaluation(row, connection.execute(_SCORES, {"ids": [row.evaluation_id]}).all())

    def record(self, generation: Generation, evaluation: Evaluation, gate: GateResult | None) -> Evaluation:
        with self._transaction() as connection:
            check_not_dropping(connection, generation)
            made = connection.execute(_ADD, _values(generation, evaluation)).one()
            rows = [
                {
                    "evaluation_id": made.evaluation_id,
                    "collection_id": generation.collection_id,
                    **{name: getattr(each, name) for name in ("retriever", "latency_p50_ms", "latency_p95_ms")},
                    "metrics": json_text(each.metrics),
                    "intervals": json_text(each.intervals),
                    "scores": each.values.astype("<f4").tobytes(),
                }
                for each in evaluation.scores
            ]
            connection.execute(_ADD_SCORES, rows)
            if gate is not None and evaluation.run_id is not None:
                _record_gate(connection, evaluation, gate)
        return replace(evaluation, evaluation_id=made.evaluation_id, evaluated_at=made.evaluated_at)

    def history(
        self,
        tenant: str,
        collection: str,
        *,
        golden_set: str | None = None,
        limit: int,
        before: UUID | None = None,
    ) -> list[Evaluation]:
        values = {"tenant": tenant, "collection": collection, "golden_set": golden_set}
        with self._transaction() as connection:
            rows = connection.execute(HISTORY, {**values, "limit": limit, "before": before}).all()
            scores: dict[UUID, list[Row[Any]]] = defaultdict(list)
            for score in connection.execute(_METRICS, {"ids": [row.evaluation_id for row in rows]}):
                scores[score.evaluation_id].append(score)
        return [_evaluation(row, scores[row.evaluation_id]) for row in rows]

    def weights(self, generation: Generation, tenant: str) -> LearnedWeights | None:
        rows = self._rows(_WEIGHTS, {**values_of(generation), "tenant": tenant})
        if not rows:
            return None
        facts = dict(rows[0]._mapping)
        return LearnedWeights(Weights(**{name: facts.pop(name) for name in DEFAULT.to_json()}), **facts)

    def learn_weights(self, generation: Generation, tenant: str, learned: LearnedWeights) -> None:
        evidence = {name: getattr(learned, name) for name in ("queries", "gain", "p")}
        values = {**values_of(generation), "tenant": tenant, **learned.weights.to_json(), **evidence}
        with self._transaction() as connection:
            check_not_dropping(connection, generation)
            connection.execute(_LEARN, values)

    def forget_weights(self, generation: Generation, tenant: str) -> None:
        self._execute(_FORGET_WEIGHTS, {**values_of(generation), "tenant": tenant})


def _values(generation: Generation, evaluation: Evaluation) -> dict[str, Any]:
    names = ("tenant", "golden_set", "golden_version", "run_id", "orchestrator", "queries", "top_k", "seconds")
    comparison = evaluation.comparison
    stored = None if comparison is None else json_text({**asdict(comparison), "result": comparison.result})
    return {
        **{name: getattr(evaluation, name) for name in names},
        **asdict(evaluation.profile),
        "collection_id": generation.collection_id,
        "generation": evaluation.generation,
        "hashes": b"".join(evaluation.hashes),
        "comparison": stored,
    }


def _record_gate(connection: Connection, evaluation: Evaluation, gate: GateResult) -> None:
    place = {"run_id": evaluation.run_id, "batch": WHOLE_RUN, "stage": STAGE}
    if connection.execute(_LOCK_RUN, place).one_or_none() is None:  # pruned meanwhile
        return
    connection.execute(_OLD_GATE, {**place, "golden_set": evaluation.golden_set})
    connection.execute(_GATE, {**place, **asdict(gate), "observed": json_text(gate.observed)})


def _evaluation(row: Row[Any], scores: Sequence[Row[Any]]) -> Evaluation:
    facts = dict(row._mapping)
    profile = Profile(**{name: facts.pop(name) for name in ("chunker", "embedder", "entities", "dim")})
    hashes, comparison = bytes(facts.pop("hashes")), facts.pop("comparison")
    return Evaluation(
        **facts,
        profile=profile,
        hashes=tuple(hashes[at : at + _HASH_BYTES] for at in range(0, len(hashes), _HASH_BYTES)),
        scores=tuple(_scores(each) for each in scores),
        comparison=None if comparison is None else _comparison(comparison),
    )


def _comparison(stored: dict[str, Any]) -> Comparison:
    values = {name: value for name, value in stored.items() if name != "result"}
    baseline = values.pop("baseline_id")
    return Comparison(**values, baseline_id=None if baseline is None else UUID(baseline))


def _scores(row: Row[Any]) -> RetrieverScores:
    import numpy as np

    values = np.frombuffer(row.scores, "<f4").reshape(-1, len(METRICS))
    facts = {name: value for name, value in row._mapping.items() if name not in ("evaluation_id", "scores")}
    return RetrieverScores(**facts, values=values)
