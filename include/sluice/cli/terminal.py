"""Parts that all commands share: options, access to the dependencies, and output.

The modules of the command line import heavy modules only inside the commands, so that `sluice --help` is fast.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from sluice.errors import BadRequest

if TYPE_CHECKING:
    from sluice.maintenance.deletion import DeletionPreview, DeletionReport
    from sluice.model.grants import Principal
    from sluice.model.source import SourceSpec
    from sluice.wiring.application import Sluice

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Tenant = Annotated[str, typer.Option(help="The tenant that owns the documents.")]
Collection = Annotated[str, typer.Option("--collection", "-c", help="Name of the collection.")]

AccessGroups = Annotated[
    list[str] | None, typer.Option("--access-group", help="Who may read; repeat. Not given: as saved.")
]
RetentionDays = Annotated[
    int | None, typer.Option(min=0, help="Days until documents expire; 0: never. Not given: as saved.")
]
Include = Annotated[list[str] | None, typer.Option(help="Globs of paths to ingest; *.zip!/: in zips; repeat.")]
Exclude = Annotated[list[str] | None, typer.Option(help="Globs of paths to skip; repeat.")]

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before documents become unreadable.")]

Apply = Annotated[bool, typer.Option("--apply", help="Delete. Not given: only report what would be deleted.")]

OK, FAILED, USAGE, QUARANTINED, STOPPED = 0, 1, 2, 3, 4
INTERRUPTED = 130  # typer's exit code after SIGINT


@contextmanager
def opened() -> Iterator[Sluice]:
    """Opens the stores that the settings name, and closes them at the end. Raises BadRequest where a setting is
    missing."""
    from sluice.settings import Settings
    from sluice.wiring.application import Sluice

    sluice = Sluice(Settings())
    try:
        yield sluice
    finally:
        sluice.close()


def confirm(what: str, yes: bool) -> None:
    """Asks for confirmation before a change makes documents unreadable. `yes`: `--yes` was given, do not ask. Raises
    BadRequest if standard input is not a terminal, and Abort if the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadRequest(f"{what} Nothing was changed. To confirm it, run the command again with --yes.")
    typer.confirm(f"{what} Continue?", abort=True, err=True)


def confirm_hiding(sluice: Sluice, spec: SourceSpec, yes: bool) -> None:
    """Asks before new groups or a new retention make served documents unreadable. Raises BadRequest, Abort."""
    from sluice.pipeline.requests import canonical_spec

    if count := sluice.ledger.deletions.hidden_by(canonical_spec(spec)):
        confirm(
            f"{count} documents of {spec.uri} become unreadable for everyone or for some of their readers, because the "
            "source gets fewer groups, or because they are older than its new retention.",
            yes,
        )


def tell_deletion(what: str, preview: DeletionPreview, report: DeletionReport | None, as_json: bool) -> NoReturn:
    """Prints what would be deleted, or (with a report) what was deleted, and ends the command. Exit code 1: some of it
    could not be deleted."""
    named = f"{preview.documents} documents with {preview.chunks} chunks, {preview.quarantined} of them in quarantine"
    served = "" if preview.kept is None else f"; {preview.kept} documents stay served"
    if report is None:
        line = f"{what}: {named} would be deleted{served}. Nothing was changed. To delete, run it again with --apply."
        tell({"apply": False, **preview.to_json()}, as_json, line)
        raise typer.Exit(OK)
    deleted = f"{report.documents} documents and {report.chunks} chunks were deleted from all stores{served}."
    tell({"apply": True, **preview.to_json(), **report.to_json()}, as_json, f"{what}: {deleted}", *report.left)
    raise typer.Exit(FAILED if report.left else OK)


def given(values: list[str] | None) -> tuple[str, ...] | None:
    """The values of an option that may be repeated; None: it was not given, and the saved values stay."""
    return tuple(values) if values else None


def operator(tenant: str) -> Principal:
    """The principal that runs the command."""
    from sluice.model import grants

    return grants.operator(tenant)


class Progress:
    """Progress on stderr: documents done, rate and time left after each batch, and the stages' own progress."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        shown = logging.StreamHandler(sys.stderr)
        shown.setFormatter(logging.Formatter("  %(message)s"))
        stages = logging.getLogger("sluice.progress")
        stages.addHandler(shown)
        stages.setLevel(logging.INFO)
        stages.propagate = False

    def __call__(self, done: int, planned: int) -> None:
        took_s = time.monotonic() - self._began_s
        left = f", {took_s / done * (planned - done):.0f} s left" if 0 < done < planned else ""
        typer.echo(f"{done}/{planned} documents in {took_s:.0f} s, {done / max(took_s, 0.001):.1f}/s{left}", err=True)


def tell(value: Any, as_json: bool, *lines: str) -> None:
    """Prints `value` as JSON, or else `lines`."""
    typer.echo(json.dumps(value, default=_json) if as_json else "\n".join(lines))


def _json(value: Any) -> str:
    """Dates as ISO 8601, as in the API's answers; ids as text."""
    return value.isoformat() if isinstance(value, date) else str(value)
