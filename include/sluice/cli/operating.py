"""Commands for operators: status, reconcile, doctor and migrate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.cli.tenants import use_lines
from sluice.cli.terminal import FAILED, OK, Json, opened, tell
from sluice.maintenance.probes import EngineState, probe_all

if TYPE_CHECKING:
    from sluice.maintenance.drift import StoreReport
    from sluice.maintenance.full_text import TermsReport
    from sluice.maintenance.reconciliation import ReconciliationReport


def status(json_: Json = False) -> None:
    """Show collections with their counts in every store, and the engines."""
    from sluice.indexing.counts import by_collection, counted, counters
    from sluice.model.costs import Quota
    from sluice.model.languages import language_warning

    with opened() as sluice:
        engines = probe_all(sluice.pings)
        up = {each.name for each in engines if each.ok}
        uses = sluice.ledger.quotas.uses()
        collections: list[dict[str, Any]] = []
        for generation, counts in by_collection(sluice.ledger.collections):
            stores = counters(generation, vectors=sluice.vectors, graph=sluice.graph)
            warning = language_warning(generation.profile.embedder, counts["languages"])
            collections.append(
                {**counts, "chunks": {"ledger": counts["chunks"], **counted(stores, up)}, "language_warning": warning}
            )
    lines = [line for each in collections for line in _collection_lines(each)] or [
        "No collection yet. Make one: sluice ingest file:///your/folder --collection docs"
    ]
    limited = [line for use in uses if use.quota != Quota() for line in use_lines(use)]
    report = {
        "collections": collections,
        "tenants": [use.to_json() for use in uses],
        "engines": [each.to_json() for each in engines],
    }
    tell(report, json_, *lines, *limited, *_engine_lines(engines))
    raise typer.Exit(OK if all(each.ok for each in engines) else FAILED)


def reconcile(
    collection: Annotated[str | None, typer.Option("--collection", "-c", help="Only this one. Not given: all.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Repair differences. Not given: only report them.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Also compare vectors and the bytes of uploads.")] = False,
    json_: Json = False,
) -> None:
    """Compare Qdrant, Neo4j and object storage with the ledger. Exit code 1: differences remain."""
    with opened() as sluice:
        report = sluice.reconciliation.reconcile(collection=collection, repair=repair, deep=deep)
    lines = [
        f"{each.name}, {store}: {compared.checked} chunks, {compared.missing} missing, {compared.surplus} surplus, "
        f"{compared.stale} stale, {compared.repaired} repaired, {compared.in_flight} in a run now"
        for each in report.collections
        for store, compared in each.stores.items()
    ]
    lines += [_terms_line(each.name, each.terms) for each in report.collections if each.terms.lacking]
    lines = lines or ["No collection yet: there is nothing to compare."]
    tell(report.to_json(), json_, *lines, *_object_lines(report.objects), *_advice(report))
    raise typer.Exit(OK if report.ok else FAILED)


def doctor(json_: Json = False) -> None:
    """Check every engine: reachable, version, latency, and what to do if it does not answer."""
    with opened() as sluice:
        engines = probe_all(sluice.pings)
    tell({"engines": [each.to_json() for each in engines]}, json_, *_engine_lines(engines))
    raise typer.Exit(OK if all(each.ok for each in engines) else FAILED)


def migrate() -> None:
    """Migrate the ledger and the key database to this release's schema, and replace unkeyed fingerprints of older
    releases."""
    from sluice.settings import Settings
    from sluice.wiring.clients import migrate as upgrade

    rewritten = upgrade(Settings())
    typer.echo("The ledger and the keys are at this release's schema.")
    if rewritten is None:
        typer.echo(
            "SLUICE_MASTER_KEY is not set, so fingerprints stored by releases up to 0.2.0 were not changed. Run it "
            "again with the key: with an unkeyed fingerprint one can test a guess of a purged document."
        )
    elif rewritten:
        typer.echo(f"{rewritten} fingerprints of an older release were replaced by keyed ones.")


# --- details ------------------------------------------------------------------------------------------------


def _object_lines(objects: StoreReport) -> list[str]:
    lines = [
        f"objects: {objects.checked} uploads, {objects.missing} missing, {objects.stale} stale; "
        f"{objects.surplus} orphaned objects, {objects.repaired} removed"
    ]
    lost = [*objects.examples.get("missing", ()), *objects.examples.get("stale", ())]
    if lost:
        lines.append(
            f"Uploads of these documents are lost: {', '.join(lost)}. Their chunks are still served. Upload them "
            "again; if all objects of an upload are missing, the next run of its source deletes its document."
        )
    return lines


def _terms_line(collection: str, terms: TermsReport) -> str:
    return (
        f"{collection}, full text: {terms.lacking} chunks of an older release lacked their terms, {terms.added} added. "
        "Searches without Qdrant do not find the others; `sluice reconcile --repair` adds them."
    )


def _advice(report: ReconciliationReport) -> list[str]:
    remaining = report.missing + report.stale + report.surplus - report.repaired
    if report.repair or remaining == report.objects.missing + report.objects.stale:
        return []
    return ["Nothing was changed. To repair it: sluice reconcile --repair"]


def _collection_lines(collection: Mapping[str, Any]) -> list[str]:
    from sluice.model.languages import in_words

    chunks = ", ".join(f"{_shown(count)} in {store}" for store, count in collection["chunks"].items())
    languages = f"; languages: {in_words(collection['languages'])}" if collection["languages"] else ""
    warning = collection["language_warning"]
    return [
        f"{collection['name']} (generation {collection['generation']}): {collection['documents']} documents, "
        f"{collection['quarantined']} in quarantine, chunks: {chunks}{languages}",
        *([f"  Warning: {warning}"] if warning else []),
    ]


def _shown(count: int | None) -> str:
    return "?" if count is None else str(count)


def _engine_lines(engines: list[EngineState]) -> list[str]:
    return [
        f"{each.name}: {each.version}, {each.to_json()['latency_ms']} ms" if each.ok else f"{each.name}: {each.error}"
        for each in engines
    ]
