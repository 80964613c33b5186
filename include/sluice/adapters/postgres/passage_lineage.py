"""Lineage of a passage: the versions of its document, and the stages and gates of its run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, TextClause, text

from sluice.model.gates import GateRow, GateTotal
from sluice.model.generation import Profile
from sluice.model.passage import PassageLineage, VersionStep

HISTORY = text("""
    SELECT number, generation, state, run_id, activated_at FROM versions
    WHERE document_id = :document_id AND number IS NOT NULL ORDER BY activated_at, generation, number
""")
GATES = text("""
    SELECT stage, suite, expectation, column_name AS "column", blocking, bool_and(success) AS success,
           sum(evaluated)::bigint AS evaluated, sum(unexpected)::bigint AS unexpected, observed->>'code' AS code,
           observed->>'action' AS action
    FROM gate_results WHERE run_id = :run_id
    GROUP BY stage, suite, expectation, column_name, blocking, observed->>'code', observed->>'action'
    ORDER BY stage, suite, min(position)
""")
ROWS = text("""
    SELECT document_id, ordinal, suite, code, expectation, observed FROM gate_rows
    WHERE run_id = :run_id AND document_id = :document_id AND (ordinal IS NULL OR ordinal = :ordinal)
    ORDER BY batch, stage, position
""")
COST = text("""
    SELECT coalesce(sum((counts->>'computed')::bigint), 0) AS computed,
           coalesce(sum((counts->>'cached')::bigint), 0) AS cached
    FROM run_stages WHERE run_id = :run_id AND stage = 'embed'
""")
DATASETS = text("""
    SELECT DISTINCT dataset FROM lineage_events, unnest(inputs || outputs) AS dataset
    WHERE sluice_run_id = :run_id ORDER BY dataset
""")


def lineage(connection: Connection, query: TextClause, values: Mapping[str, Any]) -> PassageLineage | None:
    """Returns the lineage of the passage that `query` selects; None if it selects none (absent or not readable)."""
    row = connection.execute(query, values).one_or_none()
    if row is None:
        return None
    of_run = {"run_id": row.run_id}
    facts = dict(row._mapping)
    profile = Profile(**{name: facts.pop(name) for name in ("chunker", "embedder", "entities", "dim")})
    history = connection.execute(HISTORY, {"document_id": row.document_id})
    rows = connection.execute(ROWS, {**of_run, "document_id": row.document_id, "ordinal": row.ordinal})
    cost = connection.execute(COST, of_run).one()
    return PassageLineage(
        **facts,
        profile=profile,
        history=tuple(VersionStep(**each._mapping) for each in history),
        gates=tuple(GateTotal(**each._mapping) for each in connection.execute(GATES, of_run)),
        rows=tuple(GateRow(**each._mapping) for each in rows),
        computed=int(cost.computed),
        cached=int(cost.cached),
        datasets=tuple(connection.execute(DATASETS, of_run).scalars()),
    )
