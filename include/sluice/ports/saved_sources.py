"""Sources that are kept in the ledger to be taken in again."""

from __future__ import annotations

from typing import Protocol

from sluice.model.source import LastRun, SavedSource, Schedule


class SavedSources(Protocol):
    """The part of the ledger that `sluice_ingest_all` works from. `Ledger.save_source` and `open_source` save one."""

    def saved_sources(self, tenant: str | None = None, collection: str | None = None) -> list[SavedSource]:
        """Operator's view: of all tenants and collections where none is named; by tenant, collection and uri."""

    def set_schedule(self, tenant: str, collection: str, uri: str, schedule: Schedule) -> None:
        """Replaces what was set. Raises BadRequest where its cron is none, NotFound where no such source is saved."""

    def run_by(self, source: SavedSource, orchestrator: str) -> LastRun | None:
        """The run of this source that was started last under that orchestrator; None where none got so far."""
