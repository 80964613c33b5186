"""Gate results of one quarantined document and of one run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, TextClause, text

from sluice.adapters.postgres.passage_lineage import GATES
from sluice.model.gates import FailedRow, GateRow, GateTotal, RunGates
from sluice.model.quarantine import QuarantineRecord

_ROW = "w.document_id, w.ordinal, w.suite, w.code, w.expectation, w.observed"
ROWS_OF = text(f"""
    SELECT {_ROW} FROM gate_rows w WHERE w.run_id = :run_id AND w.document_id = :document_id
    ORDER BY w.batch, w.stage, w.position
""")


def quarantine_record(connection: Connection, query: TextClause, values: Mapping[str, Any]) -> QuarantineRecord | None:
    """Returns the record that `query` selects, with its gate rows; None if it selects none (absent or not readable)."""
    row = connection.execute(query, values).one_or_none()
    if row is None:
        return None
    rows = connection.execute(ROWS_OF, {"run_id": row.run_id, "document_id": row.document_id})
    return QuarantineRecord(**row._mapping, rows=tuple(GateRow(**each._mapping) for each in rows))


def run_gates(
    connection: Connection, query: TextClause, failed_rows: str, values: Mapping[str, Any]
) -> RunGates | None:
    """Returns the run that `query` selects, with its gates; None if it selects none. `failed_rows` is the FROM and
    WHERE of its failed rows; both admit only what may be read."""
    run = connection.execute(query, values).one_or_none()
    if run is None:
        return None
    page = text(f"""
        SELECT d.external_id, {_ROW} {failed_rows} ORDER BY w.batch, w.stage, w.position LIMIT :limit OFFSET :offset
    """)
    return RunGates(
        **run._mapping,
        gates=tuple(GateTotal(**each._mapping) for each in connection.execute(GATES, values)),
        rows=tuple(_failed(**each._mapping) for each in connection.execute(page, values)),
        rows_total=connection.execute(text(f"SELECT count(*) {failed_rows}"), values).scalar_one(),
    )


def _failed(*, external_id: str, **row: Any) -> FailedRow:
    return FailedRow(external_id=external_id, row=GateRow(**row))
