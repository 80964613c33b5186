"""GET /passages/{chunk_id}: one passage with its flags; /lineage: its origin, read from the ledger alone."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from sluice.api.auth import Caller
from sluice.api.backend import in_thread
from sluice.api.problems import documented
from sluice.api.routes_quarantine import FailedCheck, failed_check
from sluice.api.schemas import ShownPassage
from sluice.model.gates import GateTotal
from sluice.model.metadata import FLAGS
from sluice.quality import labels
from sluice.quality.labels import Result
from sluice.retrieval.search_json import search_result
from sluice.retrieval.searching import passage
from sluice.wiring.application import DatasetLink, Sluice

router = APIRouter(responses=documented(401, 403, 429, 503), tags=["lineage"])

_AIRFLOW = re.compile(r"airflow:(?P<dag>[^/]+)/(?P<run>.+)")


class LineageVersion(BaseModel):
    number: int
    generation: int
    state: str = Field(description="active or superseded.")
    run_id: UUID
    activated_at: datetime


class LineageDocument(BaseModel):
    document_id: UUID
    external_id: str
    uri: str
    first_seen_at: datetime
    expires_at: datetime | None
    version: int = Field(description="The version that is served.")
    history: list[LineageVersion] = Field(description="All versions, the oldest first.")


class LineageRun(BaseModel):
    run_id: UUID
    state: str
    started_at: datetime
    finished_at: datetime | None
    orchestrator: str | None = Field(description="airflow:<dag>/<run>, or cli.")
    airflow_path: str | None = Field(description="The run's page, from the root of Airflow's address.")


class LineageGate(BaseModel):
    stage: str
    suite: str
    expectation: str
    column: str | None
    blocking: bool = Field(description="true: rows that fail the check are quarantined.")
    success: bool = Field(description="true: passed in every batch of the run.")
    evaluated: int
    unexpected: int
    code: str | None = Field(description="The check's name, as `sluice gates` lists it.")
    action: str | None = Field(description="What happens to rows that fail it: block, mask or flag.")
    label: str = Field(description="The check's assertion in words.", examples=["unique document ids"])
    result: Result = Field(description="failed: rows were quarantined; warning: rows were recorded and ingested.")


class LineageGeneration(BaseModel):
    collection: str
    number: int
    physical: str = Field(description="The backing collection in Qdrant.")
    chunker: str
    entities: str


class LineageEmbedding(BaseModel):
    embedder: str
    dim: int
    computed: int = Field(description="Vectors that the run computed, for all its documents.")
    cached: int = Field(description="Vectors that the run read from the cache, for all its documents.")


class LineageDataset(BaseModel):
    namespace: str
    name: str
    marquez_url: str | None = Field(description="Its lineage in Marquez; null if no Marquez is configured.")


class Flag(BaseModel):
    code: str
    label: str = Field(description="The check's assertion in words.")


class PassageAnswer(ShownPassage):
    flags: list[Flag] = Field(description="Checks that flagged its document, as the document's metadata names them.")


class PassageLineageAnswer(BaseModel):
    chunk_id: UUID
    source: str
    document: LineageDocument
    run: LineageRun
    gates: list[LineageGate]
    generation: LineageGeneration
    embedding: LineageEmbedding
    flags: list[FailedCheck] = Field(
        description="Checks that this passage or its document failed. All are warnings, because documents that fail a "
        "blocking check are not served."
    )
    datasets: list[LineageDataset] = Field(description="Datasets that the run read and wrote, from its lineage events.")


@router.get("/passages/{chunk_id}", response_model=PassageAnswer, responses=documented(404, 422))
@in_thread
def show_passage(sluice: Sluice, chunk_id: UUID, caller: Caller) -> dict[str, Any]:
    """One passage that is served now, and the flags of its document."""
    result = search_result(passage(sluice.catalog, sluice.keyring, chunk_id, caller))
    codes = result["metadata"].get(FLAGS)
    flags = [str(code) for code in codes] if isinstance(codes, list | tuple) else []
    return {**result, "flags": [{"code": code, "label": labels.label(code)} for code in flags]}


@router.get("/passages/{chunk_id}/lineage", response_model=PassageLineageAnswer, responses=documented(404, 422))
@in_thread
def passage_lineage(sluice: Sluice, chunk_id: UUID, caller: Caller) -> dict[str, Any]:
    """Source, document, versions, run, gates, generation, embedding and datasets of a passage that is served now."""
    lineage = sluice.catalog.lineage(caller, chunk_id)
    facts = asdict(lineage)
    return {
        "chunk_id": lineage.chunk_id,
        "source": lineage.source_uri,
        "document": {name: facts[name] for name in LineageDocument.model_fields},
        "run": {
            "state": lineage.run_state,
            "airflow_path": airflow_path(lineage.orchestrator),
            **{name: facts[name] for name in ("run_id", "started_at", "finished_at", "orchestrator")},
        },
        "gates": [gate(each) for each in lineage.gates],
        "flags": [failed_check(row) for row in lineage.rows],
        "generation": {
            **facts["profile"],
            "collection": lineage.collection,
            "number": lineage.generation,
            "physical": lineage.backing_collection,
        },
        "embedding": {**facts["profile"], "computed": lineage.computed, "cached": lineage.cached},
        "datasets": [_dataset(sluice.dataset_link, each) for each in lineage.datasets],
    }


def gate(total: GateTotal) -> dict[str, Any]:
    """Returns the result of a gate's check as JSON values, with its label in words."""
    label, result = labels.label(total.code, total.expectation), labels.result(total.success, total.blocking)
    return {**asdict(total), "label": label, "result": result}


def airflow_path(orchestrator: str | None) -> str | None:
    """Returns the path of the DAG run in Airflow's UI; None where Airflow did not start the run."""
    match = _AIRFLOW.fullmatch(orchestrator or "")
    return f"/dags/{quote(match['dag'], safe='')}/runs/{quote(match['run'], safe='')}" if match else None


def _dataset(link: DatasetLink, dataset: str) -> dict[str, Any]:
    """`dataset` is namespace:name. A namespace may contain colons itself (`postgres://host:port`)."""
    match = re.fullmatch(r"(?P<namespace>[a-z0-9+]+(?:://[^/:]*(?::\d+)?)?):(?P<name>.*)", dataset)
    namespace, name = (match["namespace"], match["name"]) if match else ("", dataset)
    return {"namespace": namespace, "name": name, "marquez_url": link(namespace, name)}
