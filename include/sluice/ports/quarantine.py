"""What was refused, and why; its bytes are kept as far as they could be had (`sluice.pipeline.quarantine`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from sluice.model.quarantine import QuarantineEntry
from sluice.model.run import Run
from sluice.model.scan import WorkItem


class Quarantine(Protocol):
    def add(self, run: Run, failures: Sequence[QuarantineEntry]) -> set[UUID]:
        """Record why; an active version stays served. Replaces an open record of the same document.
        A document that `versions.superseded` names is skipped; returns those."""

    def refused(self, run: Run, document_ids: Sequence[UUID] | None = None) -> list[WorkItem]:
        """Open quarantine records of the run's source whose bytes are kept, as work for this run, whatever is active;
        of these documents only, where they are given. By id."""

    def released(self, source_id: UUID, limit: int) -> list[UUID]:
        """Documents of the source whose bytes are kept and wanted no more: no open quarantine record has them."""

    def delete_retained(self, document_ids: Sequence[UUID]) -> None:
        """Their bytes are kept no more: strike off."""

    def reasons(self, run: Run) -> dict[str, int]:
        """Open quarantine records of the run's source, by code."""
