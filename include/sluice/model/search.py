"""Search requests, vector queries and their candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args
from uuid import UUID

from sluice.model.chunk import SparseVector, Vector

Retriever = Literal["dense", "sparse", "graph"]
RETRIEVERS: tuple[Retriever, ...] = get_args(Retriever)
VECTOR_RETRIEVERS: tuple[Retriever, ...] = ("dense", "sparse")

Degradation = Literal[
    "dense",
    "graph",
    "full_text",
    "terms",
    "filters",
    "refill",
    "time",
    "resemblance",
    "rerank",
    "diversity",
    "context",
    "cache",
]
"""A retriever or a step of a search that was lost, replaced or left incomplete."""
DEGRADATIONS: Mapping[Degradation, str] = {
    "dense": "similarity was not used: the embedding endpoint or Qdrant did not answer in time",
    "graph": "the graph was not used: Neo4j or Qdrant did not answer in time",
    "full_text": "the ledger's full text was searched for the words of the question, because Qdrant did not answer",
    "terms": "the full text lacks chunks that an older release loaded, until `sluice reconcile --repair`",
    "filters": "the filters were applied to the best candidates only, so passages may be missing",
    "refill": "more passages may exist than were examined",
    "time": "the time of the search was used up, so more passages may exist",
    "resemblance": "learned weights of similar passages were not used, because Qdrant did not return their vectors",
    "rerank": "the passages were not reranked: the reranker failed or did not answer in time",
    "diversity": "the passages are in the order of relevance, because Qdrant did not return their vectors",
    "context": "passages whose documents were changed meanwhile have no context",
    "cache": "the cache was not used: Redis did not answer in time",
}


@dataclass(frozen=True, slots=True)
class SearchRequest:
    query: str
    collection: str
    top_k: int = 10
    retrievers: tuple[Retriever, ...] = RETRIEVERS
    filters: Mapping[str, Any] = field(default_factory=dict)  # field → scalar | list | {any,none,exists,gt,gte,lt,lte}
    explain: bool = False
    min_score: float | None = None  # lowest cosine similarity of query and passage, 0 to 1
    duplicates: bool = False  # whether near-duplicates of a passage are results, too
    diversity: float = 0.0  # weight of differences between the passages against relevance, 0 to 1
    context: int = 0  # neighbouring chunks on each side of a passage, whose text is returned with it
    rerank: bool | None = None  # None: if a reranker is configured


@dataclass(frozen=True, slots=True)
class VectorQuery:
    """One query of the vector index. A retriever whose vector is None is left out."""

    dense: Vector | None  # shape (n,), where n is the dimension of the generation's embedder
    sparse: SparseVector | None
    tenant: str
    sources: tuple[UUID, ...]  # sources that the principal may read, as the ledger decides
    filters: Mapping[str, Any]
    limit: int  # candidates of each retriever
    among: tuple[UUID, ...] | None = None  # only these chunks; None: all

    @property
    def retrievers(self) -> tuple[Retriever, ...]:
        """The retrievers that this query uses."""
        return tuple(name for name in VECTOR_RETRIEVERS if getattr(self, name) is not None)


@dataclass(frozen=True, slots=True)
class GraphPath:
    """The strongest link that leads to a passage: from the question (None) or from another passage, by an entity."""

    from_chunk_id: UUID | None
    entity: str  # as the question or the other passage spells it
    relation: Literal["about", "mentions"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage in the vector index, before the access check in the ledger."""

    chunk_id: UUID
    # By retriever: cosine similarity to the question (dense), BM25 (sparse; absent where no term of the question
    # matches), strength of the links that lead to it (graph; absent where none does).
    scores: Mapping[str, float]
    score: float = 0.0  # fused
    path: GraphPath | None = None


@dataclass(frozen=True, slots=True)
class FullTextHits:
    """What the ledger's full text found. `complete`: it has no more. `all_chunks`: every chunk of the generation has
    its terms there."""

    candidates: list[Candidate]
    complete: bool
    all_chunks: bool


@dataclass(frozen=True, slots=True)
class EmptyReason:
    """Why a search has no results. `code`: filters_contradict, no_terms, below_min_score, filters_match_nothing,
    no_match, no_link. `detail`: a sentence for the user."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A chunk near a passage in the same version, from one state of the ledger. Its text is still encrypted."""

    passage_id: UUID  # chunk id of the passage
    version: int
    chunk_id: UUID
    document_id: UUID
    distance: int  # in chunks; negative: before the passage
    start: int
    end: int
    sealed_text: bytes


@dataclass(frozen=True, slots=True)
class Hydrated:
    """A chunk that the ledger allows this principal to read now. Its text is still encrypted."""

    chunk_id: UUID
    document_id: UUID
    external_id: str
    uri: str
    version: int
    generation: int
    run_id: UUID
    start: int
    end: int
    page: int | None
    mime: str
    sealed_text: bytes
    sealed_headings: bytes
    sealed_title: bytes
    sealed_metadata: bytes
