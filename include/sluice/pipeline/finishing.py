"""The end of a run: what is gone at the source goes, the stores agree, the run is closed and summed up."""

from __future__ import annotations

from urllib.parse import urlencode

from sluice.errors import Disagreement, Transient
from sluice.indexing import loading
from sluice.indexing.counts import counters
from sluice.model.run import Run
from sluice.pipeline.loading import ensure
from sluice.pipeline.quarantine import delete_retained
from sluice.pipeline.recording import WHOLE_RUN, graph_of, recorded
from sluice.pipeline.removed_documents import check_replaced, remove_missing, reporting_pending_removals
from sluice.pipeline.summary import ChunkCounts, DocumentCounts, EmbeddingCost, EmbeddingCounts, RunSummary
from sluice.ports.tools import Tools


def finish(tools: Tools, run: Run) -> RunSummary:
    """Remove what is gone at the source (a run that was stopped leaves that to the next one while anything new was not
    read: it may turn out to have moved), see that the stores agree, close the run and return its summary.

    Raises Unavailable where a store is down, with what is pending there, and Disagreement where a store lacks or
    exceeds what the ledger says: such a run has not succeeded.
    """
    generation = run.source.generation
    graph = graph_of(tools, generation)
    with reporting_pending_removals(tools, run), recorded(tools, run, WHOLE_RUN, "finish") as counts:
        check_replaced(tools, run)
        remove_missing(tools, run)
        tools.ledger.versions.drop_leftovers(run)
        counts["deleted"] = tools.ledger.versions.deleted_by(run)  # also what an earlier try of this run removed
        counts["removed"] = loading.drain(generation, ledger=tools.ledger, vectors=tools.vectors, graph=graph)
        counts["released"] = delete_retained(tools, run)
        ensure(tools, generation)  # also of a source in which nothing can be served: it can be searched
        agree(tools, run)
    summary = summarise(tools, run)
    tools.ledger.runs.finish(run, "succeeded", summary.to_json())
    return summary


def agree(tools: Tools, run: Run) -> None:
    """Counts of this source's chunks in every store.

    Raises Disagreement with the figures, Transient where another run of the source may be why they differ.
    """
    generation, source_id = run.source.generation, run.source.source_id
    figures = {"ledger": tools.ledger.runs.counts(run).chunks}
    stores = counters(generation, vectors=tools.vectors, graph=graph_of(tools, generation), source=source_id)
    figures |= {store: count() for store, count in stores.items()}
    if len(set(figures.values())) > 1:
        told = ", ".join(f"{store} {count}" for store, count in figures.items())
        if tools.ledger.runs.others_running(run):
            raise Transient(
                f"Another run of {run.source.spec.uri} is at work, so the stores cannot be compared yet ({told}). "
                "Nothing is lost; once it has ended, run this again."
            )
        raise Disagreement(
            f"The stores do not hold the same chunks of {run.source.spec.uri}: {told}. Searches stay right, because "
            "the ledger decides what is shown; run the ingest again with mode full to write what is missing."
        )


def summarise(tools: Tools, run: Run) -> RunSummary:
    totals: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for stat in tools.ledger.runs.stages(run):
        seconds[stat.stage] = round(seconds.get(stat.stage, 0.0) + stat.seconds, 3)
        for name, count in stat.counts.items():
            totals[name] = totals.get(name, 0) + count
    counts, spent = tools.ledger.runs.counts(run), tools.ledger.costs.spent(run)
    return RunSummary(
        run_id=run.run_id,
        collection=run.source.spec.collection,
        generation=run.source.generation.number,
        documents=DocumentCounts(
            **{name: totals.get(name, 0) for name in ("seen", "new", "changed", "unchanged", "deleted", "superseded")},
            moved=len(tools.ledger.moves.found(run)),
            quarantined=counts.quarantined,
        ),
        chunks=ChunkCounts(
            written=totals.get("written", 0),
            removed=totals.get("removed", 0),
            total=tools.ledger.collections.counts(run.source.generation).chunks,
        ),
        embeddings=EmbeddingCounts(computed=totals.get("computed", 0), cached=totals.get("cached", 0)),
        cost=EmbeddingCost(spent.texts, spent.tokens, round(spent.seconds, 6), run.budget.money(spent.tokens)),
        stopped=tools.ledger.costs.stopped(run),
        remaining=totals.get("remaining", 0),
        seconds=round(sum(seconds.values()), 3),
        quarantine=tools.ledger.quarantine.reasons(run),
        gates=gates_page(run.run_id, run.source.spec.tenant),
        stages=seconds,
        gx_import_seconds=totals.get("gx_import_ms", 0) / 1000,
    )


def gates_page(run_id: object, tenant: str) -> str:
    """Where the run's gate results are shown, from the root of Airflow's address."""
    return "/sluice/gates?" + urlencode({"run": str(run_id), "tenant": tenant})
