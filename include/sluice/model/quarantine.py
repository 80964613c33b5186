"""Quarantine entries of a run, and quarantine records as they are listed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sluice.model.gates import GateRow
from sluice.model.scan import WorkItem


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """A document to quarantine and the reason, which says what to do."""

    item: WorkItem
    stage: str
    code: str
    reason: str
    retry: bool = False  # the document is not the cause (a timeout, a permission): the next run tries again
    retained_bytes: int | None = None  # size of the bytes retained for a replay; None: they could not be read
    raw_hash: bytes | None = None  # keyed hash of the checked content; None: it could not be read


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
    quarantined_at: datetime
    retained_bytes: int | None  # size of the bytes retained for a replay; None: not retained
    rows: tuple[GateRow, ...] = ()  # rows of its gate; only where a single record is requested

    def to_json(self) -> dict[str, Any]:
        """Returns the record under the API's names, without its gate rows: they need an explanation to be useful."""
        values = asdict(replace(self, rows=()))
        del values["rows"]
        values["refused_at"], values["kept_bytes"] = values.pop("quarantined_at"), values.pop("retained_bytes")
        return values
