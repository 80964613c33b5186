"""Models of requests and responses."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, field_validator

from sluice.model.search import DEGRADATIONS, RETRIEVERS, Degradation, Retriever
from sluice.retrieval.neighbours import MAX_CONTEXT
from sluice.retrieval.searching import MAX_QUERY_CHARS, MAX_TOP_K


class SearchBody(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        str_strip_whitespace=True,
        json_schema_extra={
            "examples": [{"query": "How are database migrations applied?", "collection": "demo", "top_k": 3}]
        },
    )

    query: str = Field(min_length=1, max_length=MAX_QUERY_CHARS, description="The question, in plain words.")
    collection: str = Field(min_length=1, max_length=200)
    top_k: StrictInt = Field(10, ge=1, le=MAX_TOP_K)
    filters: dict[str, Any] = Field(
        default_factory=dict,
        max_length=20,
        description="Declared metadata field → value (equals), list (any of), or an object of conditions, all of which "
        "must hold: any, none (lists), exists (true, false), gt, gte, lt, lte (numbers, or dates).",
        examples=[{"language": "en", "category": {"none": ["draft"], "exists": True}, "year": {"gte": 2024}}],
    )
    legs: list[Retriever] = Field(
        list(RETRIEVERS),
        min_length=1,
        max_length=10,
        description="The retrievers to use. dense: by meaning; sparse: by words (BM25); graph: passages about names in "
        "the question or in the passages that the others find.",
    )
    rerank: StrictBool | None = Field(
        None,
        description="Reorder the best passages by the reranker of SLUICE_RERANKER. Not given: if one is configured. "
        "true without one is a 422.",
    )
    explain: StrictBool = Field(
        False,
        description="Add each result's scores and ranks (per retriever, fused, reranker), generation, run and "
        "similarity.",
    )
    duplicates: StrictBool = Field(
        False,
        description="true: near-duplicates are results, too. false: of passages with nearly the same text, only the "
        "best one is a result, and it names the others.",
    )
    diversity: StrictFloat = Field(
        0.0,
        ge=0,
        le=1,
        description="Maximal marginal relevance: 0 orders by relevance alone; up to 1, passages that resemble better "
        "ones come later.",
    )
    context: StrictInt = Field(
        0, ge=0, le=MAX_CONTEXT, description="Neighbouring chunks on each side whose text is added to each passage."
    )
    min_score: StrictFloat | None = Field(
        None,
        ge=0,
        le=1,
        description="Leave out passages whose cosine similarity to the question is lower (`similarity` in the results; "
        "needs the retriever dense). It is not compared with `score`, which shows the rank only. The scale depends on "
        "the embedder: with minilm, questions of made-up words reach 0.35.",
        examples=[0.4],
    )

    @field_validator("query", "collection")
    @classmethod
    def _no_nul(cls, value: str) -> str:
        if "\x00" in value:
            raise ValueError("contains a NUL character; remove it")
        return value


class Location(BaseModel):
    start: int = Field(description="First character in the document's extracted text.")
    end: int = Field(description="One past the last character.")
    page: int | None = Field(description="From 1; null where the format has no pages.")
    headings: list[str] = Field(description="From the outermost heading to the innermost.")


class GraphPath(BaseModel):
    """The strongest link that leads to a passage."""

    from_chunk_id: UUID | None = Field(description="The passage that names the entity; null: the question names it.")
    entity: str
    relation: Literal["about", "mentions"] = Field(
        description="about: the passage begins a document or section with this name; mentions: it contains the name."
    )


class Explanation(BaseModel):
    legs: dict[str, float] = Field(
        description="Score of this passage in each retriever; without sparse where no word matches, without graph "
        "where no link leads to it. sparse and graph show the rank in this answer alone."
    )
    ranks: dict[str, int] = Field(
        description="Rank among the results of this answer, from 1: of each retriever, of the fused score (fused), of "
        "the reranker (rerank)."
    )
    rerank: float | None = Field(None, description="The reranker's score, on the scale of its model.")
    path: GraphPath | None = Field(None, description="With the retriever graph, where a link leads to the passage.")
    generation: int
    run_id: UUID


class Surroundings(BaseModel):
    before: str = Field(description="Text before the passage; chunks of other results are not repeated.")
    after: str = Field(description="Text after the passage.")
    start: int = Field(description="First character of passage and context in the extracted text.")
    end: int = Field(description="One past the last character.")


class DuplicatePassage(BaseModel):
    chunk_id: UUID
    document_id: UUID
    external_id: str
    title: str
    uri: str


class Reason(BaseModel):
    code: Literal["filters_contradict", "no_terms", "below_min_score", "filters_match_nothing", "no_match", "no_link"]
    detail: str = Field(description="A sentence for the user.")


class ShownPassage(BaseModel):
    chunk_id: UUID
    document_id: UUID
    external_id: str
    title: str
    text: str = Field(description="Plain text; show it as text, never as HTML.")
    uri: str
    location: Location
    metadata: dict[str, Any]
    version: int
    generation: int
    run_id: UUID


class SearchResult(ShownPassage):
    score: float = Field(
        description="Compare it within this answer only. With the retriever dense alone it is the cosine similarity; "
        "with others, a reranker or diversity it shows the rank alone."
    )
    similarity: float | None = Field(
        None,
        description="Cosine similarity to the question, -1 to 1. Only with `min_score` or `explain`, and the retriever "
        "dense.",
    )
    duplicates: list[DuplicatePassage] = Field(
        default_factory=list,
        description="Near-duplicates that you may read and that were left out. Absent: none.",
    )
    context: Surroundings | None = Field(None, description="Only with `context` in the request.")
    explain: Explanation | None = None


class SearchAnswer(BaseModel):
    results: list[SearchResult]
    legs: list[Retriever] = Field(description="The retrievers that served this answer.")
    degraded: list[Degradation] = Field(
        description="What was lost, replaced or left incomplete. "
        + " ".join(f"`{word}`: {meaning}." for word, meaning in DEGRADATIONS.items())
    )
    nothing_relevant: bool = Field(
        description="True if no passage was found, or if no passage found contains a word of the question (BM25 terms) "
        "and all are less similar to it than the embedder's threshold: minilm 0.40, "
        "wordllama 0.45, bge-small 0.70; with hash only the words count. "
        "The results are then still the nearest passages; do not use them as an answer."
    )
    reason: Reason | None = Field(None, description="Why there is no result. Absent if there is one.")
    generation: int
    took_ms: float
    request_id: str
    cached: bool = Field(
        False, description="True if it was computed for an earlier or a concurrent equal search of yours."
    )


class ChunkCounts(BaseModel):
    ledger: int
    qdrant: int | None = None
    neo4j: int | None = None


Languages = Field(
    description="Documents by language (ISO 639-3 code), as detected at ingest; without those whose language is not "
    "known, e.g. because they are too short, or were ingested by an older release.",
    examples=[{"eng": 120, "deu": 14}],
)
LanguageWarning = Field(
    description="Set if at least a tenth of the documents are in languages that the embedder does not represent: the "
    "languages, and what to do."
)


class CollectionSummary(BaseModel):
    name: str
    generation: int
    documents: int
    chunks: int
    quarantined: int
    languages: dict[str, int] = Languages
    language_warning: str | None = LanguageWarning


class CollectionList(BaseModel):
    collections: list[CollectionSummary]
    tenant: str
    tenants: list[str] = Field(description="All tenants that you have a grant for; choose with X-Sluice-Tenant.")


class CollectionDetail(BaseModel):
    name: str
    generation: int
    documents: int
    chunks: ChunkCounts = Field(
        description="Per store. qdrant and neo4j are null if the store is down or off, or if you hold "
        "only some of the tenant's groups (the stores count for the whole tenant)."
    )
    quarantined: int
    languages: dict[str, int] = Languages
    language_warning: str | None = LanguageWarning
    chunker: str
    embedder: str
    entities: str
    filter_fields: list[str]
    degraded: list[str] = Field(description="Stores that did not answer.")


class LastRunSummary(BaseModel):
    run_id: UUID
    state: Literal["running", "succeeded", "failed"]
    started_at: datetime
    finished_at: datetime | None


class SourceSummary(BaseModel):
    uri: str
    collection: str
    tenant: str
    access_groups: list[str] = Field(
        description="Groups that may read it; only those that you hold are shown. Empty: everyone."
    )
    retention_days: int = Field(description="From activation to expiry; 0: for ever.")
    include: list[str]
    exclude: list[str]
    schedule: str | None = Field(description="Five fields of cron, UTC; null: every night.")
    paused: bool = Field(description="Scheduled runs skip it.")
    next_due: datetime | None = Field(description="If past: ingested by the next scheduled run. Null: paused.")
    last_run: LastRunSummary | None = Field(description="The run that was started last; null: never run.")


class SourceList(BaseModel):
    sources: list[SourceSummary]


class DocumentSummary(BaseModel):
    document_id: UUID
    external_id: str
    title: str | None = Field(description="Null if it never became active, or was erased.")
    uri: str
    collection: str
    version: int | None
    generation: int | None
    run_id: UUID | None
    mime: str | None
    size_bytes: int | None
    chunks: int
    first_seen_at: datetime
    activated_at: datetime | None
    expires_at: datetime | None
    quarantine: str | None = Field(description="Why it is in quarantine and what to do; null: it is not.")


class DocumentList(BaseModel):
    documents: list[DocumentSummary]
    next: UUID | None = Field(description="Give it as `after` for the next page; null on the last one.")


class Probe(BaseModel):
    status: Literal["alive", "ready", "not ready"]


class Dependency(BaseModel):
    name: str = Field(
        description="ledger, keys, qdrant; neo4j, redis and marquez if they are configured; embedding (the endpoint) "
        "while its breaker is not closed."
    )
    state: Literal["ok", "down"]
    version: str | None
    latency_ms: float | None
    breaker: Literal["closed", "open", "half-open"] | None = Field(
        None,
        description="The circuit breaker of its calls. open: it failed several times in a row and is not called for "
        "some seconds; half-open: the next call is a trial. null: it has none.",
    )


class Health(BaseModel):
    status: Literal["ok", "degraded", "down"] = Field(description="down: searches cannot be answered.")
    dependencies: list[Dependency]


class FieldError(BaseModel):
    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldError] | None = None
