"""GET /quarantine lists quarantined documents; POST /quarantine/{document_id}/replay processes one of them again."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from sluice.access import ingestion
from sluice.api.auth import Caller
from sluice.api.backend import backend_of, in_thread
from sluice.api.problems import documented
from sluice.api.routes_search import collection_of
from sluice.api.routes_uploads import Trigger
from sluice.errors import BadRequest
from sluice.model.gates import GateRow
from sluice.model.grants import Principal
from sluice.quality import labels
from sluice.wiring.application import Sluice

router = APIRouter(responses=documented(401, 403, 429, 503), tags=["quarantine"])


class Refused(BaseModel):
    document_id: UUID
    external_id: str
    uri: str
    collection: str
    source_uri: str
    run_id: UUID = Field(description="The run that quarantined it.")
    stage: str
    code: str = Field(description="Stable name of the reason.")
    reason: str = Field(description="What is wrong and what to do.")
    refused_at: datetime
    kept_bytes: int | None = Field(description="Size of its retained bytes; null: none, so it cannot be replayed.")


class FailedCheck(BaseModel):
    suite: str
    code: str
    expectation: str
    ordinal: int | None = Field(description="The chunk, from 0; null: the document as a whole.")
    observed: Any = Field(description="Values that the check observed: numbers, kinds and positions, never text.")
    label: str = Field(description="The check's assertion in words.", examples=["embeddings of length 1"])
    observed_in_words: str = Field(description="`observed` in words.", examples=["2 email, 1 phone"])


class RefusedInFull(Refused):
    rows: list[FailedCheck] = Field(description="Checks that it failed in that run.")


class QuarantineList(BaseModel):
    quarantine: list[Refused]
    next: UUID | None = Field(description="Give it as `after` for the next page; null on the last one.")


class ReplayBody(BaseModel):
    """An empty object, `{}`. The route needs JSON because a page of another site cannot post it."""

    model_config = ConfigDict(extra="forbid")


class Queued(BaseModel):
    document_id: UUID
    dag_run_id: str = Field(description="The run of `sluice_ingest` that replays it.")


@router.get("/quarantine", response_model=QuarantineList, responses=documented(404, 422))
@in_thread
def list_quarantine(
    sluice: Sluice,
    caller: Caller,
    collection: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    code: Annotated[str | None, Query(min_length=1, max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[UUID | None, Query(description="`next` of the page before.")] = None,
) -> dict[str, Any]:
    """Documents in quarantine that you may read, page by page."""
    if collection is not None:
        with collection_of(collection):
            sluice.catalog.live(collection, caller)
    records = sluice.catalog.quarantine_records(caller, collection, code, limit=limit + 1, after=after)
    page = records[:limit]
    last = page[-1].document_id if len(records) > limit else None
    return {"quarantine": [each.to_json() for each in page], "next": last}


@router.get("/quarantine/{document_id}", response_model=RefusedInFull, responses=documented(404, 422))
@in_thread
def show_quarantine_record(sluice: Sluice, document_id: UUID, caller: Caller) -> dict[str, Any]:
    """Why one document is in quarantine, and the checks that it failed."""
    record = sluice.catalog.quarantine_record(caller, document_id)
    return {**record.to_json(), "rows": [failed_check(row) for row in record.rows]}


def failed_check(row: GateRow) -> dict[str, Any]:
    """Returns a failed row of a gate as JSON values, with label and observed value in words."""
    label, observed = labels.label(row.code, row.expectation), labels.observed_in_words(row.code, row.observed)
    return {**asdict(row), "label": label, "observed_in_words": observed}


@router.post(
    "/quarantine/{document_id}/replay",
    status_code=202,
    response_model=Queued,
    responses=documented(404, 413, 415, 422, 501),
)
async def replay_document(document_id: UUID, body: ReplayBody, request: Request, caller: Caller) -> Queued:
    """Queue a run, in your name, that processes the retained bytes again with the current rules of the gates."""
    trigger: Trigger | None = request.app.state.trigger
    if trigger is None:
        raise HTTPException(
            501, "Replays need Airflow, and this service runs without it. Run `sluice quarantine replay` instead."
        )
    backend = backend_of(request)
    return await backend.calls.run(lambda: _queue(backend.sluice, trigger, caller, document_id))


def _queue(sluice: Sluice, trigger: Trigger, caller: Principal, document_id: UUID) -> Queued:
    record = sluice.catalog.quarantine_record(caller, document_id)
    ingestion.check_sender(sluice.ledger.sources, caller, record.collection, record.source_uri)
    if record.retained_bytes is None:
        raise BadRequest(
            f"Document {document_id} has no retained bytes, so it cannot be replayed. The next ingest of its source "
            "reads it again."
        )
    place = {"source": record.source_uri, "collection": record.collection, "tenant": caller.tenant}
    run = trigger({**place, "replay": [str(document_id)]}, caller.name)
    return Queued(document_id=document_id, dag_run_id=run)
