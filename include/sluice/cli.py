"""`sluice`: the same flow without Airflow. Exit codes: 0 done, 1 failed, 2 usage, 3 done with quarantined items."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sluice import __version__
from sluice.errors import BadRequest, NotFound, SluiceError, Transient
from sluice.model import ALL_GROUPS, GateRule, Generation, Grant, Principal, SearchRequest, SourceSpec
from sluice.ports import Tools
from sluice.query import search_response
from sluice.settings import Settings
from sluice.wiring import build, searcher

app = typer.Typer(
    help="Documents in, cited passages out.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Tenant = Annotated[str, typer.Option(help="Whose documents.")]
Collection = Annotated[str, typer.Option("--collection", "-c", help="Name of the collection.")]

OK, FAILED, USAGE, QUARANTINED = 0, 1, 2, 3


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


@app.command()
def ingest(
    uri: Annotated[str, typer.Argument(help="file:///folder or jsonl:///file, below SLUICE_FILE_ROOTS.")],
    collection: Collection = "docs",
    tenant: Tenant = "default",
    access_group: Annotated[list[str] | None, typer.Option(help="Who may read; repeat. Not given: as saved.")] = None,
    everyone: Annotated[bool, typer.Option("--everyone", help="The whole tenant may read (the default).")] = False,
    retention_days: Annotated[
        int | None, typer.Option(min=0, help="Unreadable that many days later; 0: for ever. Not given: as saved.")
    ] = None,
    include: Annotated[list[str] | None, typer.Option(help="Globs of paths to take; repeat.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Globs of paths to leave; repeat.")] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything again; embeddings come from the cache.")
    ] = False,
    approve_shrink: Annotated[
        bool, typer.Option("--approve-shrink", help="The source may list far fewer documents than before.")
    ] = False,
    json_: Json = False,
) -> None:
    """Bring a collection up to date with a source."""
    from sluice import flow

    groups = () if everyone else _given(access_group)
    spec = SourceSpec(uri, collection, tenant, groups, retention_days, _given(include), _given(exclude))
    with _tools() as tools:
        summary = flow.ingest(
            tools,
            spec,
            "full" if full else "incremental",
            on_batch=None if json_ else _progress,
            approve_shrink=approve_shrink,
        )
    documents, chunks = summary["documents"], summary["chunks"]
    _print(
        summary,
        json_,
        f"{documents['seen']} documents seen: {documents['new']} new, {documents['changed']} changed, "
        f"{documents['unchanged']} unchanged, {documents['moved']} moved, "
        f"{documents['deleted']} deleted, {documents['quarantined']} in quarantine",
        *(f"  in quarantine, {code}: {count}" for code, count in summary["quarantine"].items()),
        f"{chunks['written']} chunks written, {chunks['removed']} removed, {chunks['total']} in {collection}",
        f"{summary['embeddings']['computed']} embeddings computed, {summary['embeddings']['cached']} from the cache",
        f"{summary['seconds']} s (" + ", ".join(f"{name} {took}" for name, took in summary["stages"].items()) + ")",
    )
    raise typer.Exit(QUARANTINED if documents["quarantined"] else OK)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="1-2,000 characters.")],
    collection: Collection = "docs",
    tenant: Tenant = "default",
    top_k: Annotated[int, typer.Option("-k", min=1, max=100)] = 10,
    json_: Json = False,
) -> None:
    """Passages with their citations, best first."""

    with _tools() as tools:
        outcome = searcher(tools)(SearchRequest(query, collection, top_k), _operator(tenant))
    lines = [f"{len(outcome.passages)} passages in {outcome.took_ms:.0f} ms (generation {outcome.generation})"]
    for rank, passage in enumerate(outcome.passages, 1):
        where = " › ".join(passage.headings) or f"characters {passage.start}-{passage.end}"
        page = f", page {passage.page}" if passage.page else ""
        lines += [
            f"{rank:>2}. {passage.title}  [{passage.score:.3f}]",
            f"    {passage.uri} ({where}{page}, version {passage.version})",
            f"    {' '.join(passage.text.split())[:200]}",
        ]
    _print(search_response(outcome), json_, *lines)


@app.command()
def status(json_: Json = False) -> None:
    """Collections with their counts in every store, and the engines."""
    with _tools() as tools:
        engines = _engines(tools)
        collections = []
        for generation in tools.ledger.generations():
            counts = tools.ledger.counts(generation)
            stores: dict[str, int | None] = {"ledger": counts.chunks}
            stores["qdrant"] = _counted(tools.vectors.count, generation)
            if tools.graph is not None and generation.profile.entities != "off":
                stores["neo4j"] = _counted(tools.graph.count, generation)
            collections.append(
                {
                    "name": generation.collection,
                    "generation": generation.number,
                    "documents": counts.documents,
                    "chunks": stores,
                    "quarantined": counts.quarantined,
                }
            )
    lines = [
        f"{each['name']} (generation {each['generation']}): {each['documents']} documents, chunks {each['chunks']}, "
        f"{each['quarantined']} in quarantine"
        for each in collections
    ] or ["No collection yet. Make one: sluice ingest file:///your/folder --collection docs"]
    _print({"collections": collections, "engines": engines}, json_, *lines, *_engine_lines(engines))
    raise typer.Exit(OK if all(each["ok"] for each in engines) else FAILED)


@app.command()
def reconcile(
    collection: Annotated[str | None, typer.Option("--collection", "-c", help="Only this one. Not given: all.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Make right what is found; else it is only told.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Compare vectors, too.")] = False,
    json_: Json = False,
) -> None:
    """Compare Qdrant and Neo4j with the ledger, chunk by chunk. Exit code 1: something differs still."""
    from sluice import flow

    with _tools() as tools:
        report = flow.reconcile(tools, collection=collection, repair=repair, deep=deep)
    lines = [
        f"{each['name']}, {store}: {told['checked']} chunks, {told['missing']} missing, {told['surplus']} surplus, "
        f"{told['stale']} stale, {told['repaired']} repaired, {told['in_flight']} in a run's hands"
        for each in report["collections"]
        for store, told in each["stores"].items()
    ]
    advice = [] if report["ok"] or repair else ["Nothing was changed. To make it right: sluice reconcile --repair"]
    _print(report, json_, *(lines or ["No collection yet: there is nothing to compare."]), *advice)
    raise typer.Exit(OK if report["ok"] else FAILED)


@app.command()
def doctor(json_: Json = False) -> None:
    """Is every engine reachable, which version, how fast, and what to do where it is not."""
    with _tools() as tools:
        engines = _engines(tools)
    _print({"engines": engines}, json_, *_engine_lines(engines))
    raise typer.Exit(OK if all(each["ok"] for each in engines) else FAILED)


@app.command(name="eval")
def evaluate(
    queries: Annotated[Path, typer.Option(help='queries.jsonl: {"_id", "text"} a line.')],
    qrels: Annotated[Path, typer.Option(help="TSV: query-id, corpus-id, score.")],
    collection: Collection = "docs",
    tenant: Tenant = "default",
    json_: Json = False,
) -> None:
    """nDCG@10, recall@10, MRR and all-gold@10 of a collection, passages collapsed to documents."""
    from sluice import metrics

    judged = metrics.read_qrels(qrels)
    texts = {qid: text for qid, text in metrics.read_queries(queries).items() if qid in judged}
    with _tools() as tools:
        ask, operator = searcher(tools), _operator(tenant)
        rankings = {
            qid: metrics.collapse(ask(SearchRequest(text[:2000], collection, 30), operator).passages)
            for qid, text in texts.items()
        }
    figures = metrics.evaluate(rankings, judged)
    intervals = figures["intervals"]
    lines = [
        f"{name}: {value:.4f}"
        + (f"  [{intervals[name][0]:.4f}, {intervals[name][1]:.4f}]" if name in intervals else "")
        for name, value in figures.items()
        if name not in ("intervals", "queries")
    ]
    _print(figures, json_, f"{figures['queries']} queries, 95 % bootstrap intervals", *lines)


@app.command()
def migrate() -> None:
    """Bring the ledger's and the keys' databases to this release's schema."""
    from sluice.adapters.postgres import migrate as upgrade

    settings = Settings()
    owner_url = settings.database_owner_url.get_secret_value() or settings.database_url.get_secret_value()
    upgrade(owner_url, settings.keys_database_url.get_secret_value())
    typer.echo("The ledger and the keys are at this release's schema.")


@app.command()
def grant(
    user: Annotated[str, typer.Argument(help="An Airflow user name.")],
    tenant: Tenant = "default",
    group: Annotated[list[str] | None, typer.Option(help="Access groups held; repeat; '*': all.")] = None,
    write: Annotated[bool, typer.Option("--write", help="May also trigger ingests.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take the grant back.")] = False,
) -> None:
    """Let an Airflow user read (and write) a tenant's documents."""
    with _tools() as tools:
        if remove:
            had = tools.catalog.revoke(user, tenant)
            typer.echo(f"{user} may no longer read tenant {tenant}." if had else f"{user} had no grant for {tenant}.")
            return
        tools.catalog.grant(Grant(user, tenant, frozenset(group or ()), write))
    typer.echo(f"{user} may {'read and write' if write else 'read'} tenant {tenant}.")


gates_app = typer.Typer(
    help="What the gates expect of one collection, and what they do about it.", no_args_is_help=True
)
app.add_typer(gates_app, name="gates")
Code = Annotated[str, typer.Argument(help="Code of a check; `sluice gates list` shows them.")]


class Action(StrEnum):
    off = "off"
    flag = "flag"
    mask = "mask"
    block = "block"


@gates_app.command("list")
def gates_list(collection: Collection = "docs", json_: Json = False) -> None:
    """Every check with its action and limit, and where the collection departs from the suites."""
    from sluice import validate

    with _tools() as tools:
        own = tools.ledger.gate_rules(_generation(tools, collection))
        rules = validate.merged(tools.gate_rules, own)
    checks: list[dict[str, Any]] = []
    lines = []
    for suite, check in [(suite, check) for suite, suited in validate.SUITES.items() for check in suited]:
        place = (suite, check.code)
        now = validate.ruled(check, rules.get(place, GateRule()))
        told = {"action": now.action, "limit": now.limit, "options": list(now.options), "own": place in own}
        checks.append({"suite": suite, "code": check.code, **told})
        limit = "" if now.limit is None else f"{now.limit:g}"
        mark = "its own" if place in own else ""
        lines.append(
            f"{suite:<10} {check.code:<18} {now.action:<6} {limit:<8} {mark:<8} {' '.join(now.options)}".rstrip()
        )
    _print({"collection": collection, "checks": checks}, json_, *lines)


@gates_app.command("set")
def gates_set(
    code: Code,
    collection: Collection = "docs",
    action: Annotated[Action | None, typer.Option(help="mask: only personal_data and secrets.")] = None,
    limit: Annotated[float | None, typer.Option(help="The check's limit.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="What to look for (types, languages); repeat.")] = None,
) -> None:
    """Let a collection depart from a check. What is not given is as the suite says."""
    from sluice import validate

    if action is None and limit is None and option is None:
        raise BadRequest(f"Nothing to set for {code!r}: give --action, --limit or --option.")
    rule = GateRule(action.value if action else None, limit, tuple(option) if option else None)
    validate.ruled(validate.check_of(code), rule)
    with _tools() as tools:
        tools.ledger.set_gate_rule(_generation(tools, collection), validate.suite_of(code), code, rule)
    typer.echo(f"Set for {collection}. What it serves already is judged again by an ingest with --full.")


@gates_app.command("unset")
def gates_unset(code: Code, collection: Collection = "docs") -> None:
    """Back to what the suite says."""
    from sluice import validate

    with _tools() as tools:
        had = tools.ledger.set_gate_rule(_generation(tools, collection), validate.suite_of(code), code, None)
    typer.echo(f"{code} is as the suite says again." if had else f"{collection} had nothing of its own for {code}.")


def main() -> None:
    """Errors become one clear line and the right exit code."""
    try:
        app()
    except BadRequest as error:
        typer.echo(f"sluice: {error}", err=True)
        sys.exit(USAGE)
    except SluiceError as error:
        typer.echo(f"sluice: {error}", err=True)
        sys.exit(FAILED)


# --- details ------------------------------------------------------------------------------------------------


@contextmanager
def _tools() -> Iterator[Tools]:
    tools = build(Settings())
    try:
        yield tools
    finally:
        tools.close()


def _generation(tools: Tools, collection: str) -> Generation:
    """Raises NotFound."""
    for generation in tools.ledger.generations():
        if generation.collection == collection:
            return generation
    raise NotFound(
        f"There is no collection {collection!r} yet: an ingest makes it. What is to hold from the "
        "first document on goes into SLUICE_GATE_ACTIONS."
    )


def _given(values: list[str] | None) -> tuple[str, ...] | None:
    """None: the option was not given, what is saved stays."""
    return tuple(values) if values else None


def _operator(tenant: str) -> Principal:
    """Who runs the CLI holds the database's password: nothing of one tenant is hidden from them."""
    return Principal("operator", tenant, frozenset({ALL_GROUPS}), may_write=True)


def _counted(count: Callable[[Generation], int], generation: Generation) -> int | None:
    """None where the store is down: which one it is stands in the list of engines."""
    try:
        return count(generation)
    except Transient:
        return None


def _engines(tools: Tools) -> list[dict[str, Any]]:
    engines: list[dict[str, Any]] = []
    for name, ping in tools.pings.items():
        started_s = time.perf_counter()
        try:
            version, detail = ping(), None
        except SluiceError as error:
            version, detail = None, str(error)
        latency_ms = round((time.perf_counter() - started_s) * 1000, 1)
        engine: dict[str, Any] = {"name": name, "ok": detail is None, "version": version, "latency_ms": latency_ms}
        engines.append(engine if detail is None else {**engine, "detail": detail})
    return engines


def _engine_lines(engines: list[dict[str, Any]]) -> list[str]:
    return [
        f"{each['name']}: {each['version']}, {each['latency_ms']} ms"
        if each["ok"]
        else f"{each['name']}: {each['detail']}"
        for each in engines
    ]


def _progress(done: int, planned: int) -> None:
    typer.echo(f"{done}/{planned} documents", err=True)


def _print(value: Any, as_json: bool, *lines: str) -> None:
    typer.echo(json.dumps(value, default=str) if as_json else "\n".join(lines))


if __name__ == "__main__":
    main()
