"""Commands for quarantined documents: list, show, replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from sluice.cli.terminal import OK, QUARANTINED, Json, Progress, Tenant, opened, operator, tell
from sluice.errors import BadRequest

if TYPE_CHECKING:
    from sluice.model.quarantine import QuarantineRecord
    from sluice.pipeline.summary import RunSummary
    from sluice.wiring.application import Sluice

app = typer.Typer(help="Quarantined documents, with the reason and their retained bytes.", no_args_is_help=True)
OfCollection = Annotated[str | None, typer.Option("--collection", "-c", help="Only of this collection.")]
OfCode = Annotated[str | None, typer.Option("--code", help="Only for this reason, e.g. too_long.")]
Document = Annotated[UUID, typer.Argument(help="A document's id; `sluice quarantine list` shows it.")]
_PAGE = 500


@app.command("list")
def quarantine_list(
    collection: OfCollection = None, code: OfCode = None, tenant: Tenant = "default", json_: Json = False
) -> None:
    """List every document in quarantine, with a short reason; `show` prints the full one."""
    with opened() as sluice:
        records = _all(sluice, tenant, collection, code)
    lines = [
        f"{each.document_id}  {each.collection}  {each.code:<18} {_size(each):<16} {each.external_id}: "
        + shorten(each.reason, 100, placeholder=" …")
        for each in records
    ]
    tell({"quarantine": [each.to_json() for each in records]}, json_, *lines, f"{len(records)} in quarantine")


@app.command("show")
def quarantine_show(document_id: Document, tenant: Tenant = "default", json_: Json = False) -> None:
    """Show why one document is in quarantine, and the checks that it failed."""
    with opened() as sluice:
        record = sluice.catalog.quarantine_record(operator(tenant), document_id)
    rows = [
        f"  {row.suite} {row.code}"
        + ("" if row.ordinal is None else f", chunk {row.ordinal}")
        + f": {row.expectation}, observed {row.observed}"
        for row in record.rows
    ]
    tell(
        record.to_json() | {"rows": [asdict(row) for row in record.rows]},
        json_,
        f"{record.external_id} ({record.uri})",
        f"{record.code}, at {record.stage}: {record.reason}",
        f"quarantined {record.quarantined_at:%Y-%m-%d %H:%M:%S %Z} by run {record.run_id} of {record.source_uri}",
        f"retained: {_size(record)}",
        *rows,
    )


@app.command("replay")
def quarantine_replay(
    document_id: Annotated[list[UUID] | None, typer.Argument(help="Ids of documents; or give --collection.")] = None,
    collection: OfCollection = None,
    code: OfCode = None,
    tenant: Tenant = "default",
    json_: Json = False,
) -> None:
    """Process the retained bytes again with the current rules of the gates: each document is served or quarantined."""
    if bool(document_id) == (collection is not None) or (document_id and code):
        raise BadRequest("Say what to replay: ids of documents, or --collection (and --code).")
    with opened() as sluice:
        if document_id:
            records = [sluice.catalog.quarantine_record(operator(tenant), each) for each in document_id]
        else:
            records = _all(sluice, tenant, collection, code)
        replayable = [each for each in records if each.retained_bytes is not None]
        if document_id and not replayable:
            raise BadRequest(
                f"{records[0].external_id} has no retained bytes, so there is nothing to replay: {records[0].reason} "
                f"To read it again, run: sluice ingest {records[0].source_uri}"
            )
        runs = _replayed(sluice, tenant, replayable, quiet=json_)
    served = sum(run.documents.new + run.documents.changed for run in runs)
    computed = sum(run.embeddings.computed for run in runs)
    counts = {"replayed": len(replayable), "served": served, "quarantined": len(records) - served}
    tell(
        {**counts, "not_kept": len(records) - len(replayable), "runs": [run.to_json() for run in runs]},
        json_,
        f"{len(replayable)} replayed, {served} served now, {len(records) - served} still in quarantine "
        f"({len(records) - len(replayable)} of them without bytes)",
        f"{computed} embeddings computed",
        *(f"run {run.run_id}: {run.gates}" for run in runs),
    )
    raise typer.Exit(QUARANTINED if len(records) > served else OK)


# --- details ------------------------------------------------------------------------------------------------


def _check_code(code: str) -> None:
    """Raises BadRequest for a code that no stage and no gate uses."""
    from sluice.model.reasons import REASONS
    from sluice.model.spelling import unknown_names
    from sluice.pipeline.stages import STAGES
    from sluice.quality.checks import SUITES

    checks = (check.code for checks in SUITES.values() for check in checks)
    codes = {*REASONS, *checks, *(f"{stage.name}_failed" for stage in STAGES), "quota"}
    if unknown := unknown_names([code], codes, "code"):
        raise BadRequest(f"{unknown} Nothing was changed.")


def _all(sluice: Sluice, tenant: str, collection: str | None, code: str | None) -> list[QuarantineRecord]:
    who = operator(tenant)
    if collection is not None:
        sluice.catalog.live(collection, who)  # raises NotFound if it is misspelled
    records: list[QuarantineRecord] = []
    after: UUID | None = None
    while page := sluice.catalog.quarantine_records(who, collection, code, limit=_PAGE, after=after):
        records += page
        after = page[-1].document_id
    if code is not None and not records:
        _check_code(code)  # not before: records of an older release may have a code that this one no longer uses
    return records


def _replayed(sluice: Sluice, tenant: str, records: Sequence[QuarantineRecord], *, quiet: bool) -> list[RunSummary]:
    """Replays the documents, in one run for each source."""
    from sluice.model.source import SourceSpec
    from sluice.pipeline.requests import IngestRequest
    from sluice.quality import evaluation

    by_source: dict[tuple[str, str], list[UUID]] = {}
    for each in records:
        by_source.setdefault((each.source_uri, each.collection), []).append(each.document_id)
    with evaluation.gates_process():
        return [
            sluice.ingestion.ingest(
                IngestRequest(SourceSpec(uri, collection, tenant), replay=ids), on_batch=None if quiet else Progress()
            )
            for (uri, collection), ids in by_source.items()
        ]


def _size(record: QuarantineRecord) -> str:
    return "not retained" if record.retained_bytes is None else f"{record.retained_bytes:,} bytes"
