"""The end of a run: deletes what is gone at the source, compares the stores, closes the run and summarises it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlencode

from sluice.errors import Disagreement, Transient
from sluice.indexing.counts import counters
from sluice.indexing.stores import Stores
from sluice.model.languages import language_warning
from sluice.model.run import Run
from sluice.pipeline.quarantine import Quarantine
from sluice.pipeline.recording import WHOLE_RUN, Recorder
from sluice.pipeline.summary import ChunkCounts, DocumentCounts, EmbeddingCost, EmbeddingCounts, RunSummary
from sluice.pipeline.vanished_documents import VanishedDocuments
from sluice.ports.collections import Collections
from sluice.ports.costs import Costs
from sluice.ports.quarantine import QuarantineRecords
from sluice.ports.renames import Renames
from sluice.ports.runs import Runs
from sluice.ports.versions import Versions


@dataclass(frozen=True, slots=True)
class Finishing:
    """The end of a run."""

    runs: Runs
    versions: Versions
    renames: Renames
    collections: Collections
    records: QuarantineRecords
    costs: Costs
    stores: Stores
    recorder: Recorder
    quarantine: Quarantine
    vanished_documents: VanishedDocuments

    def finish(self, run: Run) -> RunSummary:
        """Deletes what is gone at the source, checks that the stores agree, closes the run and returns its summary.

        A run that its budget ended before it read all new documents deletes nothing: a missing document may be one of
        the new ones under another name.

        Raises Unavailable where a store is down, with what is pending there. Raises Disagreement where a store has
        fewer or more chunks than the ledger; the run has then not succeeded.
        """
        generation = run.source.generation
        self.stores.graph_of(generation)  # raises where the graph is off, before anything is deleted
        with self.vanished_documents.reporting_pending(run), self.recorder.recorded(run, WHOLE_RUN, "finish") as counts:
            self.vanished_documents.check_replaced(run)
            self.vanished_documents.remove_missing(run)
            self.versions.drop_abandoned(run)
            counts["deleted"] = self.versions.deleted_by(run)  # also by an earlier attempt of this run
            counts["removed"] = self.stores.drain(generation)
            counts["released"] = self.quarantine.delete_retained(run)
            # Also where nothing of the source is served, so that the collection can be searched.
            self.stores.ensure(generation)
            self.agree(run)
        summary = self.summarise(run)
        self.runs.finish(run, "succeeded", summary.to_json())
        return summary

    def agree(self, run: Run) -> None:
        """Checks that every store has the same number of this source's chunks.

        Raises Disagreement with the figures. Raises Transient where another run of the source may be the cause.
        """
        generation, source_id = run.source.generation, run.source.source_id
        vectors, graph = self.stores.vectors, self.stores.graph_of(generation)
        figures = {"ledger": self.runs.counts(run).chunks}
        stores = counters(generation, vectors=vectors, graph=graph, source=source_id)
        figures |= {store: count() for store, count in stores.items()}
        if len(set(figures.values())) > 1:
            in_words = ", ".join(f"{store} {count}" for store, count in figures.items())
            if self.runs.others_running(run):
                raise Transient(
                    f"Another run of {run.source.spec.uri} is in progress, so the stores cannot be compared yet "
                    f"({in_words}). Nothing is lost. Run this again when that run has ended."
                )
            raise Disagreement(
                f"The stores do not hold the same chunks of {run.source.spec.uri}: {in_words}. Search results stay "
                "correct, because the ledger decides what is shown. Run the ingest again with mode full to write what "
                "is missing."
            )

    def summarise(self, run: Run) -> RunSummary:
        """Returns the summary from the run's recorded stages. Quarantine and total chunks are counted as they are
        now."""
        totals: Counter[str] = Counter()
        seconds: dict[str, float] = {}
        for stat in self.runs.stages(run):
            seconds[stat.stage] = round(seconds.get(stat.stage, 0.0) + stat.seconds, 3)
            totals.update(stat.counts)
        counts, spent = self.runs.counts(run), self.costs.spent(run)
        languages = self.collections.counts(run.source.generation, run.source.spec.tenant).languages
        return RunSummary(
            run_id=run.run_id,
            collection=run.source.spec.collection,
            generation=run.source.generation.number,
            documents=DocumentCounts(
                **{name: totals[name] for name in ("seen", "new", "changed", "unchanged", "deleted", "superseded")},
                moved=len(self.renames.matched(run)),
                quarantined=counts.quarantined,
            ),
            chunks=ChunkCounts(
                written=totals["written"],
                removed=totals["removed"],
                total=self.collections.counts(run.source.generation).chunks,
            ),
            embeddings=EmbeddingCounts(computed=totals["computed"], cached=totals["cached"]),
            cost=EmbeddingCost(spent.texts, spent.tokens, round(spent.seconds, 6), run.budget.money(spent.tokens)),
            stopped=self.costs.exceeded(run),
            remaining=totals["remaining"],
            seconds=round(sum(seconds.values()), 3),
            quarantine=self.records.reasons(run),
            gates=gates_page(run.run_id, run.source.spec.tenant),
            stages=seconds,
            gx_import_seconds=totals["gx_import_ms"] / 1000,
            languages=languages,
            language_warning=language_warning(run.source.generation.profile.embedder, languages),
        )


def gates_page(run_id: object, tenant: str) -> str:
    """Returns the path of the page with the run's gate results, relative to Airflow's root."""
    return "/sluice/gates?" + urlencode({"run": str(run_id), "tenant": tenant})
