"""What gates said, from the rows of a ledger in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from uuid import UUID

from sluice.model.gates import FailedRow, GateRow, RunGates
from sluice.model.quarantine import Refusal
from sluice.testing.passages import gate_totals
from sluice.testing.state import MemoryState, QuarantineRow, RunRow


def refusal(state: MemoryState, record: QuarantineRow) -> Refusal:
    document, spec = state.documents[record.document_id], record.source.spec
    return Refusal(
        document.document_id,
        document.external_id,
        document.uri,
        spec.collection,
        spec.uri,
        record.run_id,
        record.stage,
        record.code,
        record.reason,
        record.refused_at,
        record.kept_bytes,
    )


def refusal_with_rows(state: MemoryState, record: QuarantineRow) -> Refusal:
    rows = [row for row in _rows(state.runs[record.run_id]) if row.document_id == record.document_id]
    return replace(refusal(state, record), rows=tuple(rows))


def run_gates(state: MemoryState, run: RunRow, readable: Collection[UUID], limit: int, offset: int) -> RunGates:
    spec = state.sources[run.source_id].spec
    rows = [row for row in _rows(run) if row.document_id in readable]
    return RunGates(
        run.run_id,
        spec.collection,
        spec.uri,
        run.mode,
        run.orchestrator,
        run.state,
        run.started_at,
        run.finished_at,
        gate_totals(run),
        tuple(FailedRow(state.documents[row.document_id].external_id, row) for row in rows[offset : offset + limit]),
        len(rows),
    )


def _rows(run: RunRow) -> Iterator[GateRow]:
    for _, rows in sorted(run.gate_rows.items()):
        yield from rows
