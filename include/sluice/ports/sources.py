"""Saved sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from sluice.model.generation import Profile
from sluice.model.run import Run
from sluice.model.source import SavedSource, Schedule, Source, SourceSpec


class Sources(Protocol):
    """Saved sources by tenant, collection and uri."""

    def open(self, spec: SourceSpec, profile: Profile, filter_fields: tuple[str, ...]) -> Source:
        """Finds or creates tenant, collection (with generation 1 of `profile`) and source. A new source is saved with
        the values of `spec`; a saved one is not changed, and the returned spec has its saved values. An existing
        collection keeps its live generation and profile."""

    def save(self, spec: SourceSpec, profile: Profile, filter_fields: tuple[str, ...]) -> Source:
        """Does the same, and replaces the saved groups, globs and retention by those of `spec`; None keeps a value. For
        users; a run passes them to `scans.record`."""

    def spec(self, tenant: str, collection: str, uri: str) -> SourceSpec | None:
        """Returns the saved values of a source; None where it does not exist. Changes nothing."""

    def saved(self, tenant: str | None = None, collection: str | None = None) -> list[SavedSource]:
        """Returns the saved sources of all tenants and collections, or of one, by tenant, collection and uri
        (operator's view)."""

    def set_schedule(self, tenant: str, collection: str, uri: str, schedule: Schedule) -> None:
        """Replaces the schedule. Raises BadRequest on an invalid cron expression, NotFound where the source is not
        saved."""

    def at(self, tenant: str, collection: str, uri: str) -> Source:
        """Returns a saved source. Raises NotFound."""

    def of(self, document_ids: Sequence[UUID], *, deleted: bool = False) -> dict[UUID, Source]:
        """Returns sources by document. Raises NotFound where one of the documents was deleted at its source or
        manually; with `deleted`, where one was not deleted manually."""

    def remove(self, run: Run) -> None:
        """Removes the run's source from scheduled ingests. Its documents stay. An ingest that somebody requests
        restores it."""
