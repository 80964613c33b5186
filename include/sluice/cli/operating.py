"""Is everything there, and does it agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.cli.tenants import use_json, use_lines
from sluice.cli.terminal import (
    FAILED,
    OK,
    Json,
    tell,
    tools_of_settings,
)
from sluice.errors import SluiceError, Transient

if TYPE_CHECKING:
    from sluice.model.generation import Generation
    from sluice.ports.tools import Tools


def status(json_: Json = False) -> None:
    """Collections with their counts in every store, and the engines."""
    from sluice.model.costs import Quota

    with tools_of_settings() as tools:
        engines = _engines(tools)
        up = {each["name"] for each in engines if each["ok"]}
        uses = tools.ledger.quotas.uses()
        collections: list[dict[str, Any]] = []
        for generation in tools.ledger.collections.generations():
            counts = tools.ledger.collections.counts(generation)
            stores: dict[str, int | None] = {"ledger": counts.chunks}
            stores["qdrant"] = _counted("qdrant", tools.vectors.count, generation, up)
            if tools.graph is not None and generation.profile.entities != "off":
                stores["neo4j"] = _counted("neo4j", tools.graph.count, generation, up)
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
        f"{each['name']} (generation {each['generation']}): {each['documents']} documents, {each['quarantined']} in "
        f"quarantine, chunks: {', '.join(f'{_shown(count)} in {store}' for store, count in each['chunks'].items())}"
        for each in collections
    ] or ["No collection yet. Make one: sluice ingest file:///your/folder --collection docs"]
    limited = [line for use in uses if use.quota != Quota() for line in use_lines(use)]
    told = {"collections": collections, "tenants": [use_json(use) for use in uses], "engines": engines}
    tell(told, json_, *lines, *limited, *_engine_lines(engines))
    raise typer.Exit(OK if all(each["ok"] for each in engines) else FAILED)


def reconcile(
    collection: Annotated[str | None, typer.Option("--collection", "-c", help="Only this one. Not given: all.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Make right what is found; else it is only told.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Compare vectors and uploads' bytes, too.")] = False,
    json_: Json = False,
) -> None:
    """Compare Qdrant, Neo4j and object storage with the ledger. Exit code 1: something differs still."""
    from sluice.maintenance import reconciliation

    with tools_of_settings() as tools:
        report = reconciliation.reconcile(tools, collection=collection, repair=repair, deep=deep)
    lines = [
        f"{each['name']}, {store}: {told['checked']} chunks, {told['missing']} missing, {told['surplus']} surplus, "
        f"{told['stale']} stale, {told['repaired']} repaired, {told['in_flight']} in a run's hands"
        for each in report["collections"]
        for store, told in each["stores"].items()
    ]
    lines = lines or ["No collection yet: there is nothing to compare."]
    tell(report, json_, *lines, *_object_lines(report["objects"]), *_advice(report))
    raise typer.Exit(OK if report["ok"] else FAILED)


def doctor(json_: Json = False) -> None:
    """Is every engine reachable, which version, how fast, and what to do where it is not."""
    with tools_of_settings() as tools:
        engines = _engines(tools)
    tell({"engines": engines}, json_, *_engine_lines(engines))
    raise typer.Exit(OK if all(each["ok"] for each in engines) else FAILED)


def migrate() -> None:
    """Bring the ledger's and the keys' databases to this release's schema, and key what older ones left unkeyed."""
    from sluice.settings import Settings
    from sluice.wiring import migrate as upgrade

    rewritten = upgrade(Settings())
    typer.echo("The ledger and the keys are at this release's schema.")
    if rewritten is None:
        typer.echo(
            "SLUICE_MASTER_KEY is not set, so fingerprints that a release up to 0.2.0 stored stay as they are. Run it "
            "again with the key: fingerprints can confirm a guess of what was purged."
        )
    elif rewritten:
        typer.echo(f"{rewritten} fingerprints of an older release were replaced by keyed ones.")


# --- details ------------------------------------------------------------------------------------------------


def _object_lines(told: dict[str, Any]) -> list[str]:
    lines = [
        f"objects: {told['checked']} uploads, {told['missing']} missing, {told['stale']} stale; "
        f"{told['surplus']} objects that nobody needs, {told['repaired']} removed"
    ]
    lost = [*told["examples"].get("missing", ()), *told["examples"].get("stale", ())]
    if lost:
        lines.append(
            f"Uploads of these documents are lost: {', '.join(lost)}. What was made from them is served meanwhile. "
            "Send them again; one whose objects are all gone is removed by the next run of its source."
        )
    return lines


def _advice(report: dict[str, Any]) -> list[str]:
    left = report["missing"] + report["stale"] + report["surplus"] - report["repaired"]
    if report["repair"] or left == report["objects"]["missing"] + report["objects"]["stale"]:
        return []
    return ["Nothing was changed. To make it right: sluice reconcile --repair"]


def _shown(count: int | None) -> str:
    return "?" if count is None else str(count)


def _counted(store: str, count: Callable[[Generation], int], generation: Generation, up: Collection[str]) -> int | None:
    """None where the store is down, which is not asked then: which one it is stands in the list of engines."""
    try:
        return count(generation) if store in up else None
    except Transient:
        return None


def _engines(tools: Tools) -> list[dict[str, Any]]:
    """In the order of `pings`; asked side by side, so that those which are down cost one time-out together."""
    with ThreadPoolExecutor(max(1, len(tools.pings)), thread_name_prefix="ping") as pool:
        return [*pool.map(_engine, tools.pings.keys(), tools.pings.values())]


def _engine(name: str, ping: Callable[[], str]) -> dict[str, Any]:
    started_s = time.perf_counter()
    try:
        version, detail = ping(), None
    except SluiceError as error:
        version, detail = None, str(error)
    latency_ms = round((time.perf_counter() - started_s) * 1000, 1)
    engine: dict[str, Any] = {"name": name, "ok": detail is None, "version": version, "latency_ms": latency_ms}
    return engine if detail is None else {**engine, "detail": detail}


def _engine_lines(engines: list[dict[str, Any]]) -> list[str]:
    return [
        f"{each['name']}: {each['version']}, {each['latency_ms']} ms"
        if each["ok"]
        else f"{each['name']}: {each['detail']}"
        for each in engines
    ]
