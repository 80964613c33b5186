"""One request for one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

from sluice.model.run import Mode
from sluice.model.source import SourceSpec
from sluice.sources.schemes import canonical


def canonical_spec(spec: SourceSpec) -> SourceSpec:
    """Returns the spec with the canonical URI of its source. Raises BadRequest."""
    return replace(spec, uri=canonical(spec.uri))


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """A request to bring a collection up to date with one source, or to replay its quarantine.

    `max_tokens`, `max_cost` (US dollars): the embedding budget of this run, in place of the default budget.
    """

    spec: SourceSpec  # None in a field: the saved value
    mode: Mode = "incremental"
    replay: Sequence[UUID] | None = None  # documents in quarantine, in place of a scan; empty: all of the source
    approve_shrink: bool = False  # many documents may vanish at once
    max_documents: int | None = None  # limit of documents that need work; the next run continues
    max_tokens: int | None = None
    max_cost: float | None = None
    batch_size: int | None = None  # documents; None: chosen by the amount of work
    orchestrator: str = "cli"  # names the execution; see `airflow.ingest.orchestrator`
    run_id: UUID = field(default_factory=uuid4)
