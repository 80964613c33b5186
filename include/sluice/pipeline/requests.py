"""One request for one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

from sluice.model.run import Mode
from sluice.model.source import SourceSpec
from sluice.sources.uri import canonical


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """Bring a collection up to date with one source, or work once more on what quarantine retains of it.

    `max_tokens`, `max_cost` (US dollars): the budget of embedding, in place of the one that holds for every run.
    """

    spec: SourceSpec  # None in its fields: as the source is saved
    mode: Mode = "incremental"
    replay: Sequence[UUID] | None = None  # documents in quarantine, in place of a scan; empty: all of the source
    approve_shrink: bool = False  # many documents may vanish at once
    max_documents: int | None = None  # that need work; the next run continues
    max_tokens: int | None = None
    max_cost: float | None = None
    batch_size: int | None = None  # documents; None: as fits the work
    orchestrator: str = "cli"  # names the execution; see `airflow.ingest.orchestrator`
    run_id: UUID = field(default_factory=uuid4)

    @property
    def canonical_spec(self) -> SourceSpec:
        """With the one spelling of the source's URI. Raises BadRequest."""
        return replace(self.spec, uri=canonical(self.spec.uri))
