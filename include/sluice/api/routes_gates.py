"""GET /runs/{run_id}/gates: the gate results of one run, read from the ledger."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from sluice.api.auth import Caller
from sluice.api.backend import in_thread
from sluice.api.problems import documented
from sluice.api.routes_lineage import LineageGate, LineageRun, airflow_path, gate
from sluice.api.routes_quarantine import FailedCheck, failed_check
from sluice.wiring.application import Sluice

router = APIRouter(responses=documented(401, 403, 429, 503), tags=["lineage"])


class GatedRun(LineageRun):
    mode: str = Field(description="incremental, full, replay or purge.")


class FailedRow(FailedCheck):
    document_id: UUID
    external_id: str


class RunGatesAnswer(BaseModel):
    run: GatedRun
    collection: str
    source: str
    gates: list[LineageGate] = Field(description="Every check, over all batches of the run.")
    rows: list[FailedRow] = Field(description="Documents and chunks that failed a check and that you may read.")
    rows_total: int = Field(
        description="Number of rows on all pages. The ledger holds the first 1,000 rows of each check and batch."
    )


@router.get("/runs/{run_id}/gates", response_model=RunGatesAnswer, responses=documented(404, 422))
@in_thread
def show_run_gates(
    sluice: Sluice,
    run_id: UUID,
    caller: Caller,
    limit: Annotated[int, Query(ge=1, le=1000, description="Failing rows.")] = 200,
    offset: Annotated[int, Query(ge=0, le=10_000_000, description="Failing rows to skip.")] = 0,
) -> dict[str, Any]:
    """The gate results of one run, if you may read its source."""
    results = sluice.catalog.run_gates(caller, run_id, limit=limit, offset=offset)
    facts = asdict(results)
    return {
        "run": {
            **{name: facts[name] for name in ("run_id", "state", "mode", "started_at", "finished_at", "orchestrator")},
            "airflow_path": airflow_path(results.orchestrator),
        },
        "collection": results.collection,
        "source": results.source_uri,
        "gates": [gate(each) for each in results.gates],
        "rows": [{"external_id": each.external_id, **failed_check(each.row)} for each in results.rows],
        "rows_total": results.rows_total,
    }
