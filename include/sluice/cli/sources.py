"""Commands for saved sources and their schedules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.terminal import (
    AccessGroups,
    Apply,
    Collection,
    Exclude,
    Include,
    Json,
    RetentionDays,
    Tenant,
    Yes,
    confirm_hiding,
    given,
    opened,
    tell,
    tell_deletion,
)
from sluice.errors import BadRequest

if TYPE_CHECKING:
    from sluice.model.source import SavedSource, Schedule
    from sluice.wiring.application import Sluice

app = typer.Typer(
    help="Saved sources: the DAG sluice_ingest_all ingests each when it is due, every night or by its own schedule.",
    no_args_is_help=True,
)
Uri = Annotated[str, typer.Argument(help="The source; `sluice sources list` shows them.")]
Cron = Annotated[str, typer.Option("--schedule", help="Cron's five fields, UTC: '0 4 * * *'. nightly: every night.")]
_NIGHTLY = "nightly"


@app.command("list")
def sources_list(
    collection: Annotated[str | None, typer.Option("--collection", "-c", help="Only of this one.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only of this one.")] = None,
    json_: Json = False,
) -> None:
    """List every saved source with its schedule, its last run and its next due time."""
    with opened() as sluice:
        saved = sluice.ledger.sources.saved(tenant, collection)
    rows = [{**each.to_json(), "held_by": each.held_by} for each in saved]
    lines = [line for each in saved for line in _lines(each)]
    none = "There is no saved source. An ingest saves its source; or run: sluice sources add URI"
    tell({"sources": rows}, json_, *(lines or [none]))


@app.command("add")
def sources_add(
    uri: Annotated[str, typer.Argument(help="file:///folder, s3://…, https://…: see docs/sources.md.")],
    schedule: Annotated[
        str | None, typer.Option(help="Cron's five fields, UTC. Not given: as saved; a new source: every night.")
    ] = None,
    collection: Collection = "docs",
    tenant: Tenant = "default",
    access_group: AccessGroups = None,
    retention_days: RetentionDays = None,
    include: Include = None,
    exclude: Exclude = None,
    yes: Yes = False,
) -> None:
    """Save a source without ingesting it now; it is ingested when it is due."""
    from sluice.model.source import SourceSpec

    cron = None if schedule is None else _cron(schedule)
    spec = SourceSpec(uri, collection, tenant, given(access_group), retention_days, given(include), given(exclude))
    with opened() as sluice:
        confirm_hiding(sluice, spec, yes)
        saved = sluice.saved_sources.save(spec).spec
        wanted = _schedule(sluice, saved.tenant, saved.collection, saved.uri)
        if schedule is not None:
            wanted = replace(wanted, cron=cron)
            sluice.ledger.sources.set_schedule(saved.tenant, saved.collection, saved.uri, wanted)
    typer.echo(f"Saved {saved.uri}; it is ingested {_when(wanted)}.")


@app.command("set")
def sources_set(uri: Uri, schedule: Cron, collection: Collection = "docs", tenant: Tenant = "default") -> None:
    """Give a saved source its own schedule, or set it back to every night."""
    cron = _cron(schedule)
    _change(uri, collection, tenant, lambda previous: replace(previous, cron=cron))


@app.command("pause")
def sources_pause(uri: Uri, collection: Collection = "docs", tenant: Tenant = "default") -> None:
    """Exclude a source from scheduled runs; its documents stay served and its schedule is kept."""
    _change(uri, collection, tenant, lambda previous: replace(previous, paused=True))


@app.command("resume")
def sources_resume(uri: Uri, collection: Collection = "docs", tenant: Tenant = "default") -> None:
    """Include a paused source in scheduled runs again, with its schedule from before."""
    _change(uri, collection, tenant, lambda previous: replace(previous, paused=False))


@app.command("remove")
def sources_remove(
    uri: Uri,
    collection: Collection = "docs",
    tenant: Tenant = "default",
    with_documents: Annotated[
        bool | None,
        typer.Option(
            "--with-documents/--keep-documents",
            help="Delete its documents, too; or keep them served until they expire, are deleted or ingested again.",
        ),
    ] = None,
    apply: Apply = False,
    json_: Json = False,
) -> None:
    """Stop ingesting a source. Exit code 1: another run holds the source, try again."""
    if with_documents is None:
        raise BadRequest(
            "Choose what to do with its documents: --with-documents deletes them from all stores, --keep-documents "
            "leaves them served. Nothing was changed."
        )
    with opened() as sluice:
        source = sluice.deletion.source_at(tenant, collection, uri)
        preview = sluice.deletion.preview([(source, None)])
        if not with_documents:
            preview = replace(preview, kept=preview.documents, documents=0, chunks=0, quarantined=0)
        report = sluice.deletion.remove_source(source, with_documents=with_documents, actor="cli") if apply else None
    tell_deletion(f"source {source.spec.uri}", preview, report, json_)


def _change(uri: str, collection: str, tenant: str, change: Callable[[Schedule], Schedule]) -> None:
    from sluice.sources.schemes import canonical

    uri = canonical(uri)
    with opened() as sluice:
        wanted = change(_schedule(sluice, tenant, collection, uri))
        sluice.ledger.sources.set_schedule(tenant, collection, uri, wanted)
    typer.echo(f"{uri} is ingested {_when(wanted)}.")


def _schedule(sluice: Sluice, tenant: str, collection: str, uri: str) -> Schedule:
    from sluice.model.source import Schedule

    saved = {each.spec.uri: each.schedule for each in sluice.ledger.sources.saved(tenant, collection)}
    return saved.get(uri, Schedule())


def _cron(schedule: str) -> str | None:
    """The cron expression; None: every night. Raises BadRequest, before any connection is opened."""
    from sluice.model.schedules import check_cron

    return None if schedule.strip() == _NIGHTLY else check_cron(schedule)


def _when(schedule: Schedule) -> str:
    when = f"at {schedule.cron} (UTC)" if schedule.cron else "every night"
    return f"only on demand (paused; schedule: {when})" if schedule.paused else when


def _lines(saved: SavedSource) -> list[str]:
    spec, last = saved.spec, saved.last
    ran = f"{last.state}, started {last.started_at:%Y-%m-%d %H:%M} UTC" if last else "never"
    next_at = saved.next_due()
    next_due = "not due" if next_at is None else f"due {next_at:%Y-%m-%d %H:%M} UTC"
    readers = ", ".join(spec.access_groups or ()) or "everyone"
    retention = f"{spec.retention_days} days" if spec.retention_days else "for ever"
    removed = "; removed, its documents are kept" if saved.removed_at else ""
    return [
        f"{spec.uri}{removed}",
        f"    collection {spec.collection}, tenant {spec.tenant}, for {readers}, kept {retention}",
        f"    {_when(saved.schedule)}; last run {ran}; "
        + ("due now" if saved.due(datetime.now(UTC)) else next_due)
        + (f"; {saved.held_by} holds its lease now" if saved.held_by else ""),
    ]
