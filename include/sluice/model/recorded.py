"""What a run leaves behind: stages, failures, what gates found; and the reference that tasks hand on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from sluice.model.scanned import Item
from sluice.model.sizes import size_in_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GateAction = Literal["off", "flag", "mask", "block"]
"""What a gate does with a row that fails a check: nothing (not even looking), report it, also replace what was found
by placeholders, or keep the document out."""


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
class Failure:
    """Why one document went to quarantine. `reason` says what to do."""

    item: Item
    stage: str
    code: str
    reason: str
    retry: bool = False  # not the document's fault (a time-out, a permission): the next run tries it again
    kept_bytes: int | None = None  # of the document, kept sealed for a replay; None: they could not be had
    raw_hash: bytes | None = None  # keyed hash of the content that was judged; None: it could not be read


@dataclass(frozen=True, slots=True)
class GateResult:
    """One expectation on one batch."""

    suite: str
    expectation: str
    column: str | None
    success: bool
    blocking: bool
    evaluated: int
    unexpected: int
    observed: Any = None


@dataclass(frozen=True, slots=True)
class GateRow:
    """One document or chunk that failed one expectation. `observed`: numbers, types and places, never readable text."""

    document_id: UUID
    ordinal: int | None  # of the chunk; None: the document as a whole
    suite: str
    code: str
    expectation: str
    observed: Any = None


@dataclass(frozen=True, slots=True)
class GateRule:
    """How one collection departs from one check of a suite. None: as the suite says."""

    action: GateAction | None = None
    limit: float | None = None
    options: tuple[str, ...] | None = None  # what the check looks for: types, languages


@dataclass(frozen=True, slots=True)
class Signature:
    """What near-duplicates of a document are found by: minima of keyed hashes (MinHash), and hashes of their bands."""

    document_id: UUID
    minima: NDArray[np.uint32]  # (64,)
    bands: tuple[int, ...]  # 64-bit signed; two documents of one collection that share one are worth comparing


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
