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
"""The action for a row that fails a check. off: the check does not run; flag: report the row; mask: also replace the
matches by placeholders; block: quarantine the document."""


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
    """One document or chunk that failed one expectation. `observed`: numbers, types, positions; never readable text."""

    document_id: UUID
    ordinal: int | None  # of the chunk; None: the document as a whole
    suite: str
    code: str
    expectation: str
    observed: Any = None


@dataclass(frozen=True, slots=True)
class GateRule:
    """One collection's override of one check of a suite. None: as in the suite."""

    action: GateAction | None = None
    limit: float | None = None
    options: tuple[str, ...] | None = None  # types or languages that the check detects


@dataclass(frozen=True, slots=True)
class Signature:
    """The signature that finds near-duplicates: minima of keyed hashes (MinHash) and hashes of their bands."""

    document_id: UUID
    minima: NDArray[np.uint32]  # (64,)
    bands: tuple[int, ...]  # 64-bit signed; two documents of one collection that share one are compared


@dataclass(frozen=True, slots=True)
class GateTotal:
    """One expectation over all batches of a run. Its blocking and its warning form are separate totals."""

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
    """A row that failed a check, with the external id of its document."""

    external_id: str
    row: GateRow


@dataclass(frozen=True, slots=True)
class RunGates:
    """The gate results of one run."""

    run_id: UUID
    collection: str
    source_uri: str
    mode: str
    orchestrator: str | None
    state: str
    started_at: datetime
    finished_at: datetime | None
    gates: tuple[GateTotal, ...]
    rows: tuple[FailedRow, ...]  # one page; only rows of documents that may be read now
    rows_total: int  # on all pages
