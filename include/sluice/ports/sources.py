"""Sources that are saved to be taken in, again and again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from sluice.model.generation import Profile
from sluice.model.run import Run
from sluice.model.source import SavedSource, Schedule, Source, SourceSpec


class Sources(Protocol):
    def open(self, spec: SourceSpec, profile: Profile, filter_fields: tuple[str, ...]) -> Source:
        """Find or create tenant, collection (with generation 1 of `profile`) and source. A source that is new is saved
        with what `spec` gives; one that is saved is not changed, and the returned source's spec says what holds.
        An existing collection keeps its live generation and profile."""

    def save(self, spec: SourceSpec, profile: Profile, filter_fields: tuple[str, ...]) -> Source:
        """The same, and spec's groups, globs and retention replace what was saved; None keeps it. For people: a run
        gives them to `scans.record`."""

    def spec(self, tenant: str, collection: str, uri: str) -> SourceSpec | None:
        """What is saved of a source; None where there is no such source. Changes nothing."""

    def saved(self, tenant: str | None = None, collection: str | None = None) -> list[SavedSource]:
        """Operator's view: of all tenants and collections where none is named; by tenant, collection and uri."""

    def set_schedule(self, tenant: str, collection: str, uri: str, schedule: Schedule) -> None:
        """Replaces what was set. Raises BadRequest where its cron is none, NotFound where no such source is saved."""

    def at(self, tenant: str, collection: str, uri: str) -> Source:
        """Raises NotFound."""

    def of(self, document_ids: Sequence[UUID], *, deleted: bool = False) -> dict[UUID, Source]:
        """By document. Raises NotFound where one of them is gone at its source or deleted by hand, or (`deleted`) is
        not deleted by hand."""

    def remove(self, run: Run) -> None:
        """From now on the run's source is ingested only where somebody asks for it, which takes this back. Its
        documents stay."""
