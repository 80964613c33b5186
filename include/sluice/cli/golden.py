"""Commands for golden sets: questions with the documents that answer them, by which search is evaluated."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from sluice.cli.terminal import Collection, Json, Tenant, opened, tell
from sluice.errors import BadRequest

if TYPE_CHECKING:
    from sluice.model.generation import Generation
    from sluice.model.golden import GoldenSet, JudgedQuery
    from sluice.wiring.application import Sluice

app = typer.Typer(help="Golden sets: questions with judged documents, to evaluate search.", no_args_is_help=True)
Name = Annotated[str, typer.Option("--name", "-n", help="Name of the golden set.")]
Questions = Annotated[list[UUID], typer.Argument(help="Ids of questions.")]


class Format(StrEnum):
    csv = "csv"
    jsonl = "jsonl"


@app.command("add")
def add(
    query: Annotated[str, typer.Argument(help="The question, 1-2,000 characters.")],
    external_id: Annotated[
        list[str] | None, typer.Option(help="Name within its source of a document that answers it; repeat.")
    ] = None,
    document: Annotated[
        list[UUID] | None, typer.Option(help="Id of a document that answers it; repeat. A search shows it.")
    ] = None,
    gain: Annotated[float, typer.Option(min=0, max=1000, help="How relevant they are; 0: not at all.")] = 1.0,
    collection: Collection = "docs",
    tenant: Tenant = "default",
    name: Name = "default",
    json_: Json = False,
) -> None:
    """Add one question to a golden set."""
    from sluice.model.golden import JudgedQuery, Judgement
    from sluice.retrieval.judgement_files import check_storable

    judgements = [Judgement(each, gain) for each in external_id or ()]
    judgements += [Judgement("", gain, each) for each in document or ()]
    if not judgements or not query.strip() or not all(map(str.strip, external_id or ())):
        raise BadRequest("Give a question, and --external-id or --document of what answers it. Nothing was stored.")
    query_set = [JudgedQuery("manual", query.strip(), tuple(judgements))]
    check_storable(query_set)
    with opened() as sluice:
        stored = sluice.golden.add(_generation(sluice, collection), tenant, name, query_set)
    tell(stored.to_json(), json_, _line(stored))


@app.command("import")
def import_(
    file: Annotated[Path | None, typer.Argument(help="CSV or JSON lines: query, external_id, gain, …")] = None,
    queries: Annotated[Path | None, typer.Option(help='queries.jsonl: {"_id", "text"} a line.')] = None,
    qrels: Annotated[Path | None, typer.Option(help="TSV: query-id, corpus-id (external id), score.")] = None,
    format_: Annotated[Format | None, typer.Option("--format", help="Not given: by the file's ending.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Remove the set's earlier questions.")] = False,
    collection: Collection = "docs",
    tenant: Tenant = "default",
    name: Name = "default",
    json_: Json = False,
) -> None:
    """Import questions with judgements. An error names the line, and then nothing is stored."""
    judged = _read(file, queries, qrels, format_)
    with opened() as sluice:
        stored = sluice.golden.add(_generation(sluice, collection), tenant, name, judged, replace=replace)
        unknown = sum(
            judgement.document_id is None
            for query in sluice.golden.read(tenant, collection, name)
            for judgement in query.judgements
        )
    lines = [_line(stored)]
    if unknown:
        lines.append(
            f"{unknown} judgements name no document of the collection, or several. They count by the external id; a "
            "document that is missing counts as not found."
        )
    tell({**stored.to_json(), "unknown_documents": unknown}, json_, *lines)


@app.command("export")
def export(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File. Not given: standard output.")] = None,
    format_: Annotated[Format | None, typer.Option("--format", help="Not given: by the ending, or jsonl.")] = None,
    collection: Collection = "docs",
    tenant: Tenant = "default",
    name: Name = "default",
) -> None:
    """Write a golden set to a file that `sluice golden import` reads. It contains the questions in plain text."""
    from sluice.retrieval.judgement_files import format_of, written

    kind = format_.value if format_ else format_of(output) if output else "jsonl"
    with opened() as sluice:
        text = written(sluice.golden.read(tenant, collection, name), kind)
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_bytes(text.encode())
    except OSError as error:
        raise BadRequest(f"{output} cannot be written ({error.strerror}). Choose another file.") from error


@app.command("list")
def list_(
    collection: Annotated[str | None, typer.Option("--collection", "-c", help="Only of this one.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    json_: Json = False,
) -> None:
    """List golden sets with their version and numbers of questions and judgements."""
    with opened() as sluice:
        sets = sluice.golden.sets.sets(tenant, collection)
    lines = [_line(each) for each in sets] or ["No golden set yet. Make one: sluice golden import FILE --collection C"]
    tell({"golden_sets": [each.to_json() for each in sets]}, json_, *lines)


@app.command("show")
def show(
    name: Name = "default", collection: Collection = "docs", tenant: Tenant = "default", json_: Json = False
) -> None:
    """Show the questions of a golden set with their judgements."""
    with opened() as sluice:
        golden_set = sluice.golden.find(tenant, collection, name)
        queries = sluice.golden.read(tenant, collection, name)
    lines = [line for query in queries for line in _question_lines(query)]
    report = {**golden_set.to_json(), "questions": [_question(each) for each in queries]}
    tell(report, json_, _line(golden_set), *lines)


@app.command("remove")
def remove(
    name: Name = "default",
    question: Annotated[
        list[UUID] | None, typer.Option(help="Only these questions, by id; repeat. `sluice golden show` has the ids.")
    ] = None,
    collection: Collection = "docs",
    tenant: Tenant = "default",
    json_: Json = False,
) -> None:
    """Remove a golden set or some of its questions. The keys of questions that nothing else uses are destroyed."""
    with opened() as sluice:
        golden_set = sluice.golden.find(tenant, collection, name)
        if question and (unknown := set(question) - _ids(sluice.golden.read(tenant, collection, name))):
            raise BadRequest(f"Golden set {name} has no question {sorted(unknown)[0]}. Nothing was removed.")
        destroyed = sluice.golden.remove(golden_set, question or None)
    what = f"{len(question)} questions of {name}" if question else f"Golden set {name}"
    line = f"{what} removed; the keys of {destroyed} questions were destroyed. Earlier evaluations stay."
    tell({"removed": len(question) if question else golden_set.queries, "keys_destroyed": destroyed}, json_, line)


@app.command("feedback")
def feedback(collection: Collection = "docs", tenant: Tenant = "default", json_: Json = False) -> None:
    """List what callers said of search results and nobody has decided yet."""
    with opened() as sluice:
        found = sluice.feedback.open(tenant, collection)
    rows = [
        {
            "question_id": each.question_id,
            "query": text,
            "document_id": each.document_id,
            "external_id": each.external_id,
            "relevant": each.relevant,
            "irrelevant": each.irrelevant,
            "gain": each.gain,
        }
        for each, text in found
    ]
    lines = [
        f"{row['question_id']} {row['query']}: {row['external_id']}, {row['relevant']} say relevant, "
        f"{row['irrelevant']} say not relevant"
        for row in rows
    ]
    tell({"feedback": rows}, json_, *(lines or ["There is no open feedback."]))


@app.command("accept")
def accept(
    question: Questions, collection: Collection = "docs", tenant: Tenant = "default", json_: Json = False
) -> None:
    """Accept callers' feedback on questions: what they said is relevant becomes the golden set `feedback`."""
    with opened() as sluice:
        generation = _generation(sluice, collection)
        for each in question:
            stored = sluice.feedback.accept(generation, tenant, each)
    tell(stored.to_json(), json_, _line(stored))


@app.command("reject")
def reject(
    question: Questions, collection: Collection = "docs", tenant: Tenant = "default", json_: Json = False
) -> None:
    """Reject callers' feedback on questions; it is listed no more."""
    with opened() as sluice:
        generation = _generation(sluice, collection)
        rejected = sum(sluice.feedback.reject(generation, tenant, each) for each in question)
    tell({"rejected": rejected}, json_, f"{rejected} opinions were rejected.")


# --- details ------------------------------------------------------------------------------------------------


def _read(file: Path | None, queries: Path | None, qrels: Path | None, format_: Format | None) -> list[JudgedQuery]:
    from sluice.retrieval.judgement_files import check_storable, format_of, read_beir, read_judgements

    if file is not None and not (queries or qrels):
        return read_judgements(file, format_.value if format_ else format_of(file))
    if file is None and queries and qrels:
        judged = read_beir(queries, qrels)
        check_storable(judged)
        return judged
    raise BadRequest("Give one file (CSV or JSON lines), or both --queries and --qrels. Nothing was stored.")


def _generation(sluice: Sluice, collection: str) -> Generation:
    """The live generation. Raises NotFound."""
    from sluice.pipeline import generations

    return generations.live_generations(sluice.ledger.collections, collection)[0]


def _line(golden_set: GoldenSet) -> str:
    origins = ", ".join(f"{count} {origin}" for origin, count in golden_set.origins.items())
    return (
        f"{golden_set.tenant}/{golden_set.collection}, {golden_set.name}: {golden_set.queries} questions ({origins}), "
        f"{golden_set.judgements} judgements, version {golden_set.version}"
    )


def _question(query: JudgedQuery) -> dict[str, object]:
    return {
        "question_id": query.question_id,
        "query_id": query.query_id,
        "query": query.text,
        "origin": query.origin,
        "judgements": [
            {"external_id": each.external_id, "document_id": each.document_id, "gain": each.gain}
            for each in query.judgements
        ],
    }


def _question_lines(query: JudgedQuery) -> list[str]:
    judged = [f"    {each.gain:g}  {each.external_id}" for each in query.judgements]
    return [f"{query.question_id} {query.text}  [{query.origin}]", *judged]


def _ids(queries: list[JudgedQuery]) -> set[UUID | None]:
    return {each.question_id for each in queries}
