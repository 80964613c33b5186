"""Quarantine records. The bytes are retained where they could be read (`sluice.pipeline.quarantine`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from sluice.model.quarantine import QuarantineEntry
from sluice.model.run import Run
from sluice.model.scan import WorkItem


class QuarantineRecords(Protocol):
    """A document has at most one open record. Resolved records stay as history."""

    def add(self, run: Run, failures: Sequence[QuarantineEntry]) -> set[UUID]:
        """Adds quarantine records and replaces open records of the same documents. Active versions stay served.
        Documents that `versions.superseded` returns are skipped; returns those."""

    def items(self, run: Run, document_ids: Sequence[UUID] | None = None) -> list[WorkItem]:
        """Returns open quarantine records of the run's source with retained bytes as work items, whatever version is
        active, by id. `document_ids`: only these documents."""

    def resolved(self, source_id: UUID, limit: int) -> list[UUID]:
        """Returns documents of the source whose bytes are retained although they have no open quarantine record."""

    def delete_retained(self, document_ids: Sequence[UUID]) -> None:
        """Records that the bytes of these documents are no longer retained."""

    def reasons(self, run: Run) -> dict[str, int]:
        """Counts open quarantine records of the run's source, by code."""
