"""Results and rules of quality gates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


GateAction = Literal["off", "flag", "mask", "block"]
"""What a gate does with a row that fails a check: nothing (not even looking), report it, also replace what was found
by placeholders, or keep the document out."""


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
class GateTotal:
    """One expectation over all batches of a run; its blocking and its warning form apart."""

    stage: str
    suite: str
    expectation: str
    column: str | None
    blocking: bool
    success: bool
    evaluated: int
    unexpected: int
    code: str | None = None  # the check's name in its suite
    action: str | None = None  # block, mask or flag


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A row that failed a check, with the name of its document."""

    external_id: str
    row: GateRow


@dataclass(frozen=True, slots=True)
class RunGates:
    """What the gates of one run found."""

    run_id: UUID
    collection: str
    source_uri: str
    mode: str
    orchestrator: str | None
    state: str
    started_at: datetime
    finished_at: datetime | None
    gates: tuple[GateTotal, ...]
    rows: tuple[FailedRow, ...]  # a page of those of documents that may be read now
    rows_total: int  # on all pages
