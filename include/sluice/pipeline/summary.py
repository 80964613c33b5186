"""A run's summary: counts and costs, as JSON and as text for `sluice ingest` and the task `finish`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from sluice.model.grants import operator
from sluice.model.languages import in_words
from sluice.model.quarantine import QuarantineRecord
from sluice.model.source import SourceSpec
from sluice.ports.catalog import Catalog

_NAMED = 20  # documents in quarantine


@dataclass(frozen=True, slots=True)
class DocumentCounts:
    seen: int = 0  # listed by the source
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    moved: int = 0
    deleted: int = 0
    quarantined: int = 0  # of the source, also by earlier runs
    superseded: int = 0  # skipped, because a later run supersedes them


@dataclass(frozen=True, slots=True)
class ChunkCounts:
    written: int = 0
    removed: int = 0
    total: int = 0  # of the whole collection


@dataclass(frozen=True, slots=True)
class EmbeddingCounts:
    computed: int = 0
    cached: int = 0


@dataclass(frozen=True, slots=True)
class EmbeddingCost:
    texts: int = 0
    tokens: int = 0
    seconds: float = 0.0
    money: float | None = None  # US dollars; None: no price is set


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Counts, costs and durations of one run.

    `seconds` and `stages`: seconds of work that its stages recorded, in total and by stage; batches may overlap.
    `quarantine`: documents of the source in quarantine, by reason code. `stopped`: the limit that ended the run early,
    with `remaining` documents not processed; None: the run is complete. `gates`: the path of the page with its gate
    results. `languages`: the tenant's documents in the collection by ISO 639-3 code, where it is known, and
    `language_warning` where the embedder does not represent them.
    """

    run_id: UUID
    collection: str
    generation: int
    documents: DocumentCounts
    chunks: ChunkCounts
    embeddings: EmbeddingCounts
    cost: EmbeddingCost
    stopped: str | None
    remaining: int
    seconds: float
    quarantine: Mapping[str, int]
    gates: str
    stages: Mapping[str, float]
    gx_import_seconds: float
    languages: Mapping[str, int] = field(default_factory=dict)
    language_warning: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "run_id": str(self.run_id)}

    def lines(self, quarantined: Iterable[QuarantineRecord] = ()) -> list[str]:
        """Returns the summary as text. `quarantined`: documents to name; the counts include all of them."""
        documents, chunks, vectors, cost = self.documents, self.chunks, self.embeddings, self.cost
        named = list(quarantined)
        more = 0 < len(named) < sum(self.quarantine.values())
        money = "" if cost.money is None else f", {cost.money:.6f} US dollars"
        return [
            f"{documents.seen:,} documents seen: {documents.new:,} new, {documents.changed:,} changed, "
            f"{documents.unchanged:,} unchanged, {documents.moved:,} moved, {documents.deleted:,} deleted, "
            f"{documents.quarantined:,} in quarantine",
            *(f"  in quarantine, {code}: {count}" for code, count in self.quarantine.items()),
            *(f"    {each.code}: {each.external_id}" for each in named),
            *([f"    and more: sluice quarantine list --collection {self.collection}"] if more else []),
            f"{chunks.written:,} chunks written, {chunks.removed:,} removed, {chunks.total:,} in {self.collection}",
            *([f"languages in {self.collection}: {in_words(self.languages)}"] if self.languages else []),
            f"{vectors.computed:,} embeddings computed, {vectors.cached:,} from the cache",
            f"{cost.tokens:,} tokens in {cost.texts:,} texts, {cost.seconds:.1f} s of embedding{money}",
            f"{self.seconds:.1f} s (" + ", ".join(f"{name} {took:.1f}" for name, took in self.stages.items()) + ")",
            *(
                [f"Stopped by the {self.stopped}: {self.remaining} documents remain. To continue, run it again."]
                if self.stopped
                else []
            ),
            *([f"Warning: {self.language_warning}"] if self.language_warning else []),
        ]


def flagged_and_masked(catalog: Catalog, spec: SourceSpec, summary: RunSummary) -> list[str]:
    """Returns one line for each check of the run that found something and did not block it; the last line names the
    page with all gate results."""
    gates = catalog.run_gates(operator(spec.tenant), summary.run_id, limit=1).gates
    done = {"flag": "flagged", "mask": "masked"}
    found = [each for each in gates if each.unexpected and each.action in done]
    lines = [f"gate {each.suite}, {each.code}: {each.unexpected:,} {done[each.action or '']}" for each in found]
    return [*lines, f"All gate results, in Airflow: {summary.gates}"] if lines else []


def quarantined_by(catalog: Catalog, spec: SourceSpec, summary: RunSummary) -> list[QuarantineRecord]:
    """Returns the first documents that the run of `summary` quarantined."""
    if not summary.quarantine:
        return []
    return catalog.quarantine_records(operator(spec.tenant), spec.collection, run_id=summary.run_id, limit=_NAMED)
