"""Passages, the results of a search, and their lineage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sluice.model.gates import GateRow, GateTotal
from sluice.model.generation import Profile
from sluice.model.search import GraphPath


@dataclass(frozen=True, slots=True)
class VersionStep:
    """One version in a document's history."""

    number: int
    generation: int
    state: str
    run_id: UUID
    activated_at: datetime


@dataclass(frozen=True, slots=True)
class PassageLineage:
    """The lineage of a passage in the ledger."""

    chunk_id: UUID
    document_id: UUID
    external_id: str
    uri: str
    source_uri: str
    collection: str
    first_seen_at: datetime
    expires_at: datetime | None
    version: int
    generation: int
    backing_collection: str
    profile: Profile
    run_id: UUID
    orchestrator: str | None
    run_state: str
    started_at: datetime
    finished_at: datetime | None
    history: tuple[VersionStep, ...] = ()  # oldest first
    gates: tuple[GateTotal, ...] = ()
    computed: int = 0  # vectors that the run computed
    cached: int = 0  # vectors that the run took from the cache
    datasets: tuple[str, ...] = ()  # namespace:name, of the run's lineage events
    ordinal: int = 0  # of the chunk in its version
    rows: tuple[GateRow, ...] = ()  # gate rows of that run for the document as a whole and for this chunk


@dataclass(frozen=True, slots=True)
class PassageContext:
    """Text around a passage, from the same version. `start`, `end`: offsets of the passage together with it."""

    before: str
    after: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A near-duplicate of a passage, which the caller may read."""

    chunk_id: UUID
    document_id: UUID
    external_id: str
    title: str
    uri: str


@dataclass(frozen=True, slots=True)
class Passage:
    """One search result with its citation."""

    chunk_id: UUID
    document_id: UUID
    external_id: str
    title: str
    text: str
    score: float
    uri: str
    start: int
    end: int
    page: int | None
    headings: tuple[str, ...]
    metadata: Mapping[str, Any]
    version: int
    generation: int
    run_id: UUID
    scores: Mapping[str, float] = field(default_factory=dict)
    path: GraphPath | None = None  # the strongest link that leads to it
    similarity: float | None = None  # cosine similarity to the query, where requested
    # Rank among the passages of the result, from 1: by retriever, of the fused score (fused), of the reranker (rerank).
    ranks: Mapping[str, int] = field(default_factory=dict)
    rerank: float | None = None  # the reranker's score
    duplicates: tuple[Duplicate, ...] = ()  # near-duplicates that were left out
    context: PassageContext | None = None  # where requested
