"""What a run leaves behind: stages, failures, what gates found; and the reference that tasks hand on."""

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
    """What one stage did with one batch. Written once per (run, batch, stage): a retry replaces it."""

    batch: int  # -1: of the run as a whole
    stage: str
    seconds: float
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Counts:
    documents: int
    chunks: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class BatchRef:
    """What XCom carries: where a batch lies and how much is in it. Never text, never vectors."""

    run_id: str
    batch: int
    uri: str  # folder of the batch's artefacts
    documents: int
    size_bytes: int = 0  # of the documents as their source lists them, before any of them left the batch

    @property
    def title(self) -> str:
        """The name of its tasks in Airflow's UI."""
        documents = "1 document" if self.documents == 1 else f"{self.documents} documents"
        return f"batch {self.batch}: {documents}, {size_in_words(self.size_bytes)}"

    def to_json(self) -> dict[str, Any]:
        names = ("run_id", "batch", "uri", "documents", "size_bytes", "title")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> BatchRef:
        """Also of a run that a release without sizes began."""
        named = (str(value["run_id"]), int(value["batch"]), str(value["uri"]))
        return cls(*named, int(value["documents"]), int(value.get("size_bytes", 0)))


Mode = Literal["incremental", "full"]


RunMode = Literal["incremental", "full", "replay", "purge"]
"""`replay`: not from the source, but what quarantine keeps of it; `purge`: of what expired."""


@dataclass(frozen=True, slots=True)
class Run:
    run_id: UUID
    source: Source
    mode: RunMode
    started_at: datetime
    budget: Budget = field(default_factory=Budget)
