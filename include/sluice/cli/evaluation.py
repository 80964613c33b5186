"""The commands eval and tune: the quality of search on judged questions, and weights that are learned from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.cli.terminal import FAILED, OK, Collection, Json, Tenant, opened, tell
from sluice.errors import BadRequest

if TYPE_CHECKING:
    from sluice.model.evaluation import Evaluation


def evaluate(
    queries: Annotated[Path | None, typer.Option(help='queries.jsonl: {"_id", "text"} a line.')] = None,
    qrels: Annotated[Path | None, typer.Option(help="TSV: query-id, corpus-id, score.")] = None,
    golden: Annotated[str | None, typer.Option(help="A stored golden set, in place of the files.")] = None,
    collection: Collection = "docs",
    tenant: Tenant = "default",
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=10, max=100, help="Passages of each search.")] = 30,
    each_retriever: Annotated[
        bool, typer.Option("--each-retriever", help="Also each retriever alone; with --save always.")
    ] = False,
    save: Annotated[
        bool, typer.Option("--save", help="Store the result, and compare it with the last one that passed.")
    ] = False,
    accept_drop: Annotated[
        bool, typer.Option("--accept-drop", help="With --save: later results are compared with this one.")
    ] = False,
    json_: Json = False,
) -> None:
    """Measure nDCG@10, recall@10, MRR and all-gold@10 of a collection. A document ranks as its best passage. Exit code
    1: the quality dropped, and the check quality_drop has the action block."""
    from sluice.maintenance.evaluation import EvaluationRequest, comparison_in_words
    from sluice.model.evaluation import FILES
    from sluice.retrieval.golden import check_name
    from sluice.retrieval.judgement_files import read_beir

    if (golden is None) != (queries is not None and qrels is not None) or (golden is not None and (queries or qrels)):
        raise BadRequest("Give both --queries and --qrels, or --golden with the name of a stored golden set.")
    if golden is not None:
        check_name(golden)
    if accept_drop and not save:
        raise BadRequest("--accept-drop needs --save: without it nothing is compared.")
    request = EvaluationRequest(tenant, collection, golden or FILES, top_k)
    judged = read_beir(queries, qrels) if queries and qrels else []
    with opened() as sluice:
        judged = judged or sluice.golden.read(tenant, collection, request.golden_set)
        result = sluice.evaluation.measured(request, judged, each_retriever=each_retriever or save)
        if save:
            result = sluice.evaluation.recorded(result, accept_drop=accept_drop)
    lines = _lines(result)
    if result.comparison is not None:
        lines.append(f"compared with the last that passed: {comparison_in_words(result.comparison)}")
    tell(_json(result, saved=save), json_, *lines)
    failed = result.comparison is not None and result.comparison.result == "failed"
    raise typer.Exit(FAILED if failed else OK)


def tune(
    collection: Collection = "docs",
    tenant: Tenant = "default",
    reset: Annotated[bool, typer.Option("--reset", help="Return to the default weights; learn nothing.")] = False,
    json_: Json = False,
) -> None:
    """Learn the weights of search from the collection's golden sets, and use them if they are better on questions that
    were left out."""
    with opened() as sluice:
        result = sluice.tuning.reset(tenant, collection) if reset else sluice.tuning.learn(tenant, collection)
    tell(result.to_json(), json_, f"{collection}: the default weights" if reset else result.in_words())


def _json(result: Evaluation, *, saved: bool) -> dict[str, Any]:
    """The metrics of all retrievers together at the top, as in earlier releases."""
    from sluice.model.evaluation import FUSED, comparison_json

    fused = result.of(FUSED)
    report: dict[str, Any] = {**fused.metrics, "queries": result.queries, "intervals": fused.intervals}
    report["latency_ms"] = {"p50": fused.latency_p50_ms, "p95": fused.latency_p95_ms}
    report["retrievers"] = {each.retriever: each.to_json() for each in result.scores}
    names = ("golden_set", "golden_version", "generation", "top_k")
    report |= {name: getattr(result, name) for name in names}
    if saved:
        comparison = None if result.comparison is None else comparison_json(result.comparison)
        report |= {"evaluation_id": result.evaluation_id, "comparison": comparison}
    return report


def _lines(result: Evaluation) -> list[str]:
    from sluice.model.evaluation import FUSED

    lines = [f"{result.queries} queries, 95 % bootstrap intervals"]
    for each in sorted(result.scores, key=lambda scores: (scores.retriever != FUSED, scores.retriever)):
        lead = "" if each.retriever == FUSED else f"{each.retriever} "
        lines += [
            f"{lead}{name}: {value:.4f}  [{each.intervals[name][0]:.4f}, {each.intervals[name][1]:.4f}]"
            for name, value in each.metrics.items()
        ]
        lines.append(f"{lead}latency: p50 {each.latency_p50_ms:.0f} ms, p95 {each.latency_p95_ms:.0f} ms")
    return lines
