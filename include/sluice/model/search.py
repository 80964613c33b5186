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


@dataclass(frozen=True, slots=True)
class SearchRequest:
    query: str
    collection: str
    top_k: int = 10
    retrievers: tuple[Retriever, ...] = RETRIEVERS
    filters: Mapping[str, Any] = field(default_factory=dict)  # field → scalar | list | {gt,gte,lt,lte}
    explain: bool = False
    min_score: float | None = None  # lowest cosine similarity of query and passage, 0 to 1


@dataclass(frozen=True, slots=True)
class VectorQuery:
    """One query of the vector index. A retriever whose vector is None is left out."""

    dense: Vector | None
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
