"""Commands: ingest and search."""

from __future__ import annotations

import json
from enum import StrEnum
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.cli.terminal import (
    OK,
    QUARANTINED,
    STOPPED,
    AccessGroups,
    Collection,
    Exclude,
    Include,
    Json,
    Progress,
    RetentionDays,
    Tenant,
    Yes,
    confirm_hiding,
    given,
    opened,
    operator,
    tell,
)

if TYPE_CHECKING:
    from sluice.model.passage import Passage
    from sluice.model.run import Mode
    from sluice.retrieval.searching import SearchOutcome


class Retriever(StrEnum):
    dense = "dense"
    sparse = "sparse"
    graph = "graph"


def ingest(
    uri: Annotated[str, typer.Argument(help="file:///folder, s3://…, https://…: see docs/sources.md.")],
    collection: Collection = "docs",
    tenant: Tenant = "default",
    access_group: AccessGroups = None,
    everyone: Annotated[bool, typer.Option("--everyone", help="The whole tenant may read (the default).")] = False,
    retention_days: RetentionDays = None,
    include: Include = None,
    exclude: Exclude = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything again; embeddings come from the cache.")
    ] = False,
    approve_shrink: Annotated[
        bool, typer.Option("--approve-shrink", help="The source may list far fewer documents than before.")
    ] = False,
    max_tokens: Annotated[
        int | None,
        typer.Option(min=0, max=10**15, help="Tokens that embedding may use. Not given: SLUICE_MAX_TOKENS_PER_RUN."),
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(min=0, help="US dollars that embedding may cost; needs SLUICE_EMBEDDING_PRICE.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only report what would be done and its cost; write nothing.")
    ] = False,
    yes: Yes = False,
    json_: Json = False,
) -> None:
    """Bring a collection up to date with a source. Exit code 4: the budget was exceeded; run it again to continue."""
    from sluice.model.source import SourceSpec
    from sluice.pipeline.requests import IngestRequest
    from sluice.pipeline.summary import flagged_and_masked, quarantined_by
    from sluice.quality import evaluation

    groups = () if everyone else given(access_group)
    spec = SourceSpec(uri, collection, tenant, groups, retention_days, given(include), given(exclude))
    mode: Mode = "full" if full else "incremental"
    request = IngestRequest(spec, mode, approve_shrink=approve_shrink, max_tokens=max_tokens, max_cost=max_cost)
    with opened() as sluice:
        if dry_run:
            report = sluice.dry_run.preview(request)
            tell(report.to_json(), json_, *report.lines())
            return
        confirm_hiding(sluice, spec, yes)
        with evaluation.gates_process():
            summary = sluice.ingestion.ingest(request, on_batch=None if json_ else Progress())
        quarantined = quarantined_by(sluice.catalog, spec, summary)
        found = flagged_and_masked(sluice.catalog, spec, summary)
    tell(summary.to_json(), json_, *summary.lines(quarantined), *found)
    if summary.stopped:
        raise typer.Exit(STOPPED)
    raise typer.Exit(QUARANTINED if summary.documents.quarantined else OK)


def search(
    query: Annotated[str, typer.Argument(help="1-2,000 characters.")],
    collection: Collection = "docs",
    tenant: Tenant = "default",
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, max=100, help="Passages at most.")] = 10,
    filter_: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="FIELD=VALUE",
            help="Declared field and a value, as JSON or text; repeat: all must hold. A list is any of; an object has "
            'conditions: year={"gte": 2024, "none": [2025]}, author={"exists": true}.',
        ),
    ] = None,
    retriever: Annotated[
        list[Retriever] | None, typer.Option(help="Repeat for several. Not given: all that the collection has.")
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Lowest cosine similarity of question and passage. Not given: any."),
    ] = None,
    duplicates: Annotated[
        bool, typer.Option("--duplicates", help="Show near-duplicates, too; otherwise the best one names the others.")
    ] = False,
    diversity: Annotated[
        float, typer.Option(min=0, max=1, help="0: by relevance; up to 1: passages that resemble better ones later.")
    ] = 0.0,
    context: Annotated[
        int, typer.Option(min=0, max=5, help="Neighbouring chunks on each side, whose text is shown with a passage.")
    ] = 0,
    rerank: Annotated[
        bool | None,
        typer.Option("--rerank/--no-rerank", help="Use the reranker of SLUICE_RERANKER. Not given: if there is one."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show scores and ranks of each passage: by retriever, fused, reranker.")
    ] = False,
    json_: Json = False,
) -> None:
    """Search a collection: passages with their citations, best first."""
    from sluice.model.search import RETRIEVERS, SearchRequest
    from sluice.retrieval.search_json import search_response

    filters = dict(map(_filter, filter_ or ()))
    request = SearchRequest(
        query,
        collection,
        top_k,
        retrievers=tuple(each for each in RETRIEVERS if each in (retriever or RETRIEVERS)),
        filters=filters,
        explain=explain,
        min_score=min_score,
        duplicates=duplicates,
        diversity=diversity,
        context=context,
        rerank=rerank,
    )
    with opened() as sluice:
        outcome = sluice.search(request, operator(tenant))
    tell(search_response(outcome, explain=explain), json_, *_lines(outcome, explain))


def _lines(outcome: SearchOutcome, explain: bool) -> list[str]:
    from sluice.model.search import DEGRADATIONS

    return [*_passages(outcome, explain), *(f"Degraded ({word}): {DEGRADATIONS[word]}." for word in outcome.degraded)]


def _passages(outcome: SearchOutcome, explain: bool) -> list[str]:
    took = f"{outcome.took_ms:.0f} ms (generation {outcome.generation})"
    if not outcome.passages:
        return [f"No passage was found in {took}. {outcome.reason.detail if outcome.reason else ''}".rstrip()]
    if outcome.nothing_relevant:
        return [
            f"Nothing relevant was found in {took}: no passage contains a word of the question or is similar to it. "
            "Use other words. --json still prints the nearest passages."
        ]
    lines = [f"{len(outcome.passages)} passages in {took}"]
    for rank, passage in enumerate(outcome.passages, 1):
        where = " › ".join(passage.headings) or f"characters {passage.start}-{passage.end}"
        page = f", page {passage.page}" if passage.page else ""
        near = "" if passage.similarity is None else f", similarity {passage.similarity:.2f}"
        lines += [
            f"{rank:>2}. {passage.title}  [{passage.score:.3f}{near}]",
            f"    {passage.uri} ({where}{page}, version {passage.version})",
            *([f"    {_ranks(passage)}"] if explain else []),
            *([f"    and {len(passage.duplicates)} near-duplicates"] if passage.duplicates else []),
            f"    {shorten(_shown(passage), 200 if passage.context is None else 2000, placeholder=' …')}",
        ]
    return lines


def _shown(passage: Passage) -> str:
    """Returns the text; with its context, if that was requested, the passage is between brackets."""
    around = passage.context
    return passage.text if around is None else f"{around.before} [{passage.text}] {around.after}"


def _ranks(passage: Passage) -> str:
    scores = {**passage.scores, **({} if passage.rerank is None else {"rerank": passage.rerank})}
    return ", ".join(
        f"{name} {rank}." + (f" ({scores[name]:.3f})" if name in scores else "") for name, rank in passage.ranks.items()
    )


def _filter(text: str) -> tuple[str, Any]:
    field, separator, value = text.partition("=")
    if not separator:
        raise typer.BadParameter(f"{text!r} is not FIELD=VALUE.", param_hint="--filter")
    try:
        return field, json.loads(value)
    except (ValueError, RecursionError):
        if value.startswith(("{", "[", '"')):
            wrong = f"{value!r} begins like JSON, but is not valid JSON."
            raise typer.BadParameter(wrong, param_hint="--filter") from None
        return field, value
