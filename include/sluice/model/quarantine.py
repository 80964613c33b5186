"""Documents that are not served, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sluice.model.gates import GateRow
from sluice.model.scan import WorkItem


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """Why one document went to quarantine. `reason` says what to do."""

    item: WorkItem
    stage: str
    code: str
    reason: str
    retry: bool = False  # not the document's fault (a time-out, a permission): the next run tries it again
    kept_bytes: int | None = None  # of the document, kept sealed for a replay; None: they could not be had
    raw_hash: bytes | None = None  # keyed hash of the content that was judged; None: it could not be read


@dataclass(frozen=True, slots=True)
class QuarantineRecord:
    """An open quarantine record."""

    document_id: UUID
    external_id: str
    uri: str
    collection: str
    source_uri: str
    run_id: UUID
    stage: str
    code: str
    reason: str
    refused_at: datetime
    kept_bytes: int | None  # size of the document's bytes, which are kept for a replay; None: they are not
    rows: tuple[GateRow, ...] = ()  # what its gate found; only where one record is asked for

    def to_json(self) -> dict[str, Any]:
        """Without its rows: those are told with what they mean, or not at all."""
        found = asdict(replace(self, rows=()))
        del found["rows"]
        return found
