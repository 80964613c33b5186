"""Runs, their stages and counts, and the batch reference that tasks pass on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sluice.model.costs import Budget
from sluice.model.sizes import size_in_words
from sluice.model.source import Source


@dataclass(frozen=True, slots=True)
class StageStat:
    """Duration and counts of one stage of one batch. One per (run, batch, stage): a retry replaces it."""

    batch: int  # -1: the run as a whole
    stage: str
    seconds: float
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Counts:
    documents: int
    chunks: int
    quarantined: int
    languages: Mapping[str, int] = field(default_factory=dict)  # documents by ISO 639-3 code, where it is known


@dataclass(frozen=True, slots=True)
class BatchRef:
    """The content of XCom: where a batch is stored and how large it is. Never text, never vectors."""

    run_id: str
    batch: int
    documents: int
    size_bytes: int = 0  # of all documents of the batch as their source listed them

    @property
    def title(self) -> str:
        """Returns the name of its tasks in Airflow's UI."""
        documents = "1 document" if self.documents == 1 else f"{self.documents} documents"
        return f"batch {self.batch}: {documents}, {size_in_words(self.size_bytes)}"

    def to_json(self) -> dict[str, Any]:
        names = ("run_id", "batch", "documents", "size_bytes", "title")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> BatchRef:
        """Parses a reference, also one that an older release wrote: without sizes, or with the address of a folder."""
        sizes = (int(value["documents"]), int(value.get("size_bytes", 0)))
        return cls(str(value["run_id"]), int(value["batch"]), *sizes)


Mode = Literal["incremental", "full"]


RunMode = Literal["incremental", "full", "replay", "purge"]
"""`replay`: from the bytes in quarantine instead of the source; `purge`: deletes expired or selected documents."""


@dataclass(frozen=True, slots=True)
class Run:
    run_id: UUID
    source: Source
    mode: RunMode
    started_at: datetime
    budget: Budget = field(default_factory=Budget)
