"""POST /feedback; GET evaluations and golden sets of a collection."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, field_validator, model_validator
from starlette.exceptions import HTTPException

from sluice.access import evaluation as evaluation_access
from sluice.access import policy
from sluice.api.auth import Caller
from sluice.api.backend import in_thread
from sluice.api.problems import documented
from sluice.api.routes_lineage import airflow_path
from sluice.api.routes_search import collection_of
from sluice.model.generation import Generation
from sluice.model.golden import MAX_GAIN
from sluice.model.text import encodable, is_storable
from sluice.retrieval.feedback import Opinion, TooMuchFeedback
from sluice.retrieval.searching import MAX_QUERY_CHARS
from sluice.wiring.application import Sluice

router = APIRouter(responses=documented(401, 403, 429, 503), tags=["evaluation"])
_RETRY_S = "600"


class FeedbackBody(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        str_strip_whitespace=True,
        json_schema_extra={
            "examples": [
                {
                    "query": "How are database migrations applied?",
                    "collection": "demo",
                    "chunk_id": "6f1f2c0e-7f35-5a0e-9d3f-0b6f6f0c9b11",
                    "relevant": True,
                }
            ]
        },
    )

    query: str = Field(min_length=1, max_length=MAX_QUERY_CHARS, description="The question that was searched.")
    collection: str = Field(min_length=1, max_length=200)
    chunk_id: UUID | None = Field(None, description="The passage, as `results[].chunk_id`; or give `document_id`.")
    document_id: UUID | None = Field(None, description="The document, as `results[].document_id`.")
    relevant: StrictBool | None = Field(None, description="Whether it answers the question; or give `gain`.")
    gain: StrictFloat | None = Field(None, ge=0, le=MAX_GAIN, description="How well it answers; 0: not at all.")

    @field_validator("query", "collection")
    @classmethod
    def _storable(cls, value: str) -> str:
        if not is_storable(value):
            raise ValueError("contains a NUL character or a lone surrogate; remove it")
        return value

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if self.chunk_id is None and self.document_id is None:
            raise ValueError("give chunk_id or document_id")
        if (self.relevant is None) == (self.gain is None):
            raise ValueError("give either relevant or gain")
        return self


class FeedbackAnswer(BaseModel):
    recorded: Literal[True] = True


class LatencyPercentiles(BaseModel):
    p50: float
    p95: float


class RetrieverFigures(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    ndcg_10: float = Field(alias="ndcg@10")
    recall_10: float = Field(alias="recall@10")
    mrr: float
    all_gold_10: float = Field(alias="all_gold@10")
    intervals: dict[str, list[float]] = Field(description="95 % bootstrap intervals by metric: [low, high].")
    latency_ms: LatencyPercentiles = Field(description="Of one search; `fused` includes embedding the question.")


class ComparisonFigures(BaseModel):
    action: str = Field(description="Of the check `quality_drop`: flag or block.")
    limit: float = Field(description="Drop of nDCG@10 that is reported if it is not chance.")
    baseline_id: UUID | None = Field(description="The evaluation it is compared with; null: there was none.")
    queries: int = Field(description="Questions that both have, with the same judgements.")
    worse: int = Field(description="Questions with a lower nDCG@10.")
    drop: float
    p: float = Field(description="Probability of such a difference by chance (paired bootstrap).")
    accepted: bool
    result: Literal["passed", "warning", "failed"]


class EvaluationSummary(BaseModel):
    evaluation_id: UUID
    golden_set: str
    golden_version: str = Field(description="Hash of the questions and judgements.")
    generation: int
    embedder: str
    chunker: str
    entities: str
    run_id: UUID | None = Field(description="The run that had changed the collection last.")
    airflow_path: str | None = Field(description="The DAG run that evaluated; null: the command line did.")
    evaluated_at: datetime
    queries: int
    top_k: int
    seconds: float
    retrievers: dict[str, RetrieverFigures] = Field(description="`fused`: all together, as users search.")
    comparison: ComparisonFigures | None = Field(description="Null if the check `quality_drop` is off.")


class WeightFigures(BaseModel):
    dense: float = Field(description="Share of the dense retriever in the fused score; the rest is BM25's.")
    pairs: float = Field(description="Weight of pairs of the question's words.")
    resemblance: float = Field(description="Weight of similar passages.")
    metadata: float = Field(description="Weight of metadata that the question names.")
    queries: int = Field(description="Questions from which they were learned.")
    gain: float = Field(description="Of nDCG@10 on questions that were left out.")
    p: float
    learned_at: datetime


class EvaluationList(BaseModel):
    collection: str
    tenant: str
    weights: WeightFigures | None = Field(
        description="Learned weights of the tenant's searches now; null: the default."
    )
    evaluations: list[EvaluationSummary] = Field(description="The last first.")
    next: UUID | None = Field(description="Give it as `before` for the next page; null on the last one.")


class GoldenSetSummary(BaseModel):
    name: str
    version: str
    queries: int
    judgements: int
    origins: dict[str, int] = Field(description="Questions by origin: manual, import, feedback.")
    changed_at: datetime


class GoldenSetList(BaseModel):
    golden_sets: list[GoldenSetSummary]


class GoldenJudgement(BaseModel):
    external_id: str
    document_id: UUID | None
    gain: float


class GoldenQuestion(BaseModel):
    question_id: UUID
    query_id: str
    query: str
    origin: str
    judgements: list[GoldenJudgement]


class GoldenSetDetail(GoldenSetSummary):
    questions: list[GoldenQuestion]
    next: UUID | None = Field(description="Give it as `after` for the next page; null on the last one.")


@router.post("/feedback", response_model=FeedbackAnswer, status_code=201, responses=documented(404, 413, 415, 422))
@in_thread
def give_feedback(sluice: Sluice, body: FeedbackBody, caller: Caller) -> dict[str, Any]:
    """Say whether a document or passage answers a question. It is encrypted, and counts when several callers agree."""
    gain = body.gain if body.gain is not None else float(bool(body.relevant))
    opinion = Opinion(body.query, body.collection, gain, body.chunk_id, body.document_id)
    try:
        with collection_of(body.collection):
            sluice.catalog.live(body.collection, caller)
        sluice.feedback.give(opinion, caller)
    except TooMuchFeedback as error:
        raise HTTPException(429, str(error), {"Retry-After": _RETRY_S}) from error
    return {"recorded": True}


@router.get("/collections/{collection}/evaluations", response_model=EvaluationList, responses=documented(404, 422))
@in_thread
def list_evaluations(
    sluice: Sluice,
    collection: str,
    caller: Caller,
    golden_set: Annotated[str | None, Query(max_length=63, description="Only of this golden set.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[UUID | None, Query(description="`next` of the page before.")] = None,
) -> dict[str, Any]:
    """The evaluations of a collection's search, with confidence intervals. Needs a grant with all groups."""
    generation = _check(sluice, collection, caller)
    weights = sluice.ledger.evaluations.weights(generation, caller.tenant)
    history = sluice.ledger.evaluations.history(
        caller.tenant, collection, golden_set=golden_set, limit=limit + 1, before=before
    )
    page = history[:limit]
    return {
        "collection": collection,
        "tenant": caller.tenant,
        "weights": None if weights is None else weights.to_json(),
        "evaluations": [{**each.to_json(), "airflow_path": airflow_path(each.orchestrator)} for each in page],
        "next": page[-1].evaluation_id if len(history) > limit else None,
    }


@router.get("/collections/{collection}/golden-sets", response_model=GoldenSetList, responses=documented(404, 422))
@in_thread
def list_golden_sets(sluice: Sluice, collection: str, caller: Caller) -> dict[str, Any]:
    """The golden sets of a collection, without their questions. Needs a grant with all groups."""
    _check(sluice, collection, caller)
    return {"golden_sets": [each.to_json() for each in sluice.golden.sets.sets(caller.tenant, collection)]}


@router.get(
    "/collections/{collection}/golden-sets/{name}", response_model=GoldenSetDetail, responses=documented(404, 422)
)
@in_thread
def show_golden_set(
    sluice: Sluice,
    collection: str,
    name: str,
    caller: Caller,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    after: Annotated[UUID | None, Query(description="`next` of the page before.")] = None,
) -> dict[str, Any]:
    """One golden set with its questions. Needs a grant to write with all groups, as questions may be personal."""
    _check(sluice, collection, caller)
    policy.check_administrator(caller)
    golden_set = sluice.golden.find(caller.tenant, collection, name)
    queries = [
        {
            **{field: getattr(each, field) for field in ("question_id", "origin", "judgements")},
            "query_id": encodable(each.query_id),
            "query": encodable(each.text),
        }
        for each in sluice.golden.read(caller.tenant, collection, name)
        if after is None or (each.question_id is not None and each.question_id > after)
    ]
    page = queries[:limit]
    more = page[-1]["question_id"] if len(queries) > limit else None
    return {**golden_set.to_json(), "questions": page, "next": more}


def _check(sluice: Sluice, collection: str, caller: Caller) -> Generation:
    """Returns the live generation. Raises NotFound and Forbidden."""
    with collection_of(collection):
        generation = sluice.catalog.live(collection, caller).generation
    evaluation_access.check_reader(caller)
    return generation
