"""Is everything there, and does it agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
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
    from sluice.maintenance.drift import StoreReport
    from sluice.maintenance.reconciliation import ReconciliationReport
    from sluice.model.generation import Generation
    from sluice.ports.tools import Tools


@dataclass(frozen=True, slots=True)
class _CollectionStatus:
    name: str
    generation: int
    documents: int
    chunks: dict[str, int | None]  # by store; None: the store is down
    quarantined: int


@dataclass(frozen=True, slots=True)
class _Engine:
    name: str
    ok: bool
    version: str | None  # None: it did not answer
    latency_ms: float
    detail: str | None  # why it did not answer

    def to_json(self) -> dict[str, Any]:
        told = asdict(self)
        if self.ok:
            del told["detail"]
        return told


def status(json_: Json = False) -> None:
    """Collections with their counts in every store, and the engines."""
    from sluice.model.costs import Quota

    with tools_of_settings() as tools:
        engines = _engines(tools)
        up = {each.name for each in engines if each.ok}
        uses = tools.ledger.tenants()
        collections = []
        for generation in tools.ledger.generations():
            counts = tools.ledger.counts(generation)
            stores: dict[str, int | None] = {"ledger": counts.chunks}
            stores["qdrant"] = _counted("qdrant", tools.vectors.count, generation, up)
            if tools.graph is not None and generation.profile.entities != "off":
                stores["neo4j"] = _counted("neo4j", tools.graph.count, generation, up)
            collections.append(
                _CollectionStatus(
                    name=generation.collection,
                    generation=generation.number,
                    documents=counts.documents,
                    chunks=stores,
                    quarantined=counts.quarantined,
                )
            )
    lines = [
        f"{each.name} (generation {each.generation}): {each.documents} documents, {each.quarantined} in "
        f"quarantine, chunks: {', '.join(f'{_shown(count)} in {store}' for store, count in each.chunks.items())}"
        for each in collections
    ] or ["No collection yet. Make one: sluice ingest file:///your/folder --collection docs"]
    limited = [line for use in uses if use.quota != Quota() for line in use_lines(use)]
    told = {
        "collections": [asdict(each) for each in collections],
        "tenants": [use_json(use) for use in uses],
        "engines": [each.to_json() for each in engines],
    }
    tell(told, json_, *lines, *limited, *map(_engine_line, engines))
    raise typer.Exit(OK if all(each.ok for each in engines) else FAILED)


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
        f"{each.name}, {store}: {compared.checked} chunks, {compared.missing} missing, {compared.surplus} surplus, "
        f"{compared.stale} stale, {compared.repaired} repaired, {compared.in_flight} in a run's hands"
        for each in report.collections
        for store, compared in each.stores.items()
    ]
    lines = lines or ["No collection yet: there is nothing to compare."]
    tell(report.to_json(), json_, *lines, *_object_lines(report.objects), *_advice(report))
    raise typer.Exit(OK if report.ok else FAILED)


def doctor(json_: Json = False) -> None:
    """Is every engine reachable, which version, how fast, and what to do where it is not."""
    with tools_of_settings() as tools:
        engines = _engines(tools)
    tell({"engines": [each.to_json() for each in engines]}, json_, *map(_engine_line, engines))
    raise typer.Exit(OK if all(each.ok for each in engines) else FAILED)


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


def _object_lines(objects: StoreReport) -> list[str]:
    lines = [
        f"objects: {objects.checked} uploads, {objects.missing} missing, {objects.stale} stale; "
        f"{objects.surplus} objects that nobody needs, {objects.repaired} removed"
    ]
    lost = [*objects.examples.get("missing", ()), *objects.examples.get("stale", ())]
    if lost:
        lines.append(
            f"Uploads of these documents are lost: {', '.join(lost)}. What was made from them is served meanwhile. "
            "Send them again; one whose objects are all gone is removed by the next run of its source."
        )
    return lines


def _advice(report: ReconciliationReport) -> list[str]:
    left = report.missing + report.stale + report.surplus - report.repaired
    if report.repair or left == report.objects.missing + report.objects.stale:
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


def _engines(tools: Tools) -> list[_Engine]:
    """In the order of `pings`; asked side by side, so that those which are down cost one time-out together."""
    with ThreadPoolExecutor(max(1, len(tools.pings)), thread_name_prefix="ping") as pool:
        return [*pool.map(_engine, tools.pings.keys(), tools.pings.values())]


def _engine(name: str, ping: Callable[[], str]) -> _Engine:
    started_s = time.perf_counter()
    try:
        version, detail = ping(), None
    except SluiceError as error:
        version, detail = None, str(error)
    latency_ms = round((time.perf_counter() - started_s) * 1000, 1)
    return _Engine(name, detail is None, version, latency_ms, detail)


def _engine_line(engine: _Engine) -> str:
    return f"{engine.name}: " + (f"{engine.version}, {engine.latency_ms} ms" if engine.ok else f"{engine.detail}")
