"""What every command shares: its options, the tools it opens, how it tells what it found.

The command line's modules import nothing that takes long before a command runs: `sluice --help` answers at once.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.errors import BadRequest

if TYPE_CHECKING:
    from sluice.maintenance.deletion import DeletionPreview, DeletionReport
    from sluice.model.grants import Principal
    from sluice.model.source import SourceSpec
    from sluice.ports.tools import Tools

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Tenant = Annotated[str, typer.Option(help="Whose documents.")]
Collection = Annotated[str, typer.Option("--collection", "-c", help="Name of the collection.")]

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before documents become unreadable.")]

Apply = Annotated[bool, typer.Option("--apply", help="Do it; else it is only said what would go.")]

OK, FAILED, USAGE, QUARANTINED, STOPPED = 0, 1, 2, 3, 4


@contextmanager
def tools_of_settings() -> Iterator[Tools]:
    from sluice.settings import Settings
    from sluice.wiring import build

    tools = build(Settings())
    try:
        yield tools
    finally:
        tools.close()


def confirm(what: str, yes: bool) -> None:
    """Ask before something hides documents; `yes`: `--yes` was given. Raises BadRequest where nobody is there to ask,
    and Abort where the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadRequest(f"{what} Nothing was changed. If that is meant, run it again with --yes.")
    typer.confirm(f"{what} Go on?", abort=True, err=True)


def hiding(tools: Tools, spec: SourceSpec, yes: bool) -> None:
    """Ask before groups or a retention hide documents that are served. Raises BadRequest, Abort."""
    from sluice.pipeline.planning import hidden_by

    if count := hidden_by(tools, spec):
        confirm(
            f"{count} documents of {spec.uri} that are readable now become unreadable, for everyone or for some who "
            "may read them: its groups become fewer, or its retention is shorter than they are old.",
            yes,
        )


def tell_deletion(what: str, found: DeletionPreview, report: DeletionReport | None, as_json: bool) -> None:
    """What would go, or (with a report) what went."""
    named = f"{found.documents} documents with {found.chunks} chunks, {found.quarantined} of them in quarantine"
    kept = "" if found.kept is None else f"; {found.kept} documents stay served"
    if report is None:
        tell(
            {"apply": False, **found.to_json()},
            as_json,
            f"{what}: {named} would go{kept}. Nothing was changed; to do it, run it again with --apply.",
        )
        return
    went = f"{report.documents} documents went, and {report.chunks} chunks out of all stores{kept}."
    tell({"apply": True, **found.to_json(), **report.to_json()}, as_json, f"{what}: {went}", *report.left)


def given(values: list[str] | None) -> tuple[str, ...] | None:
    """None: the option was not given, what is saved stays."""
    return tuple(values) if values else None


def operator(tenant: str) -> Principal:
    """Who runs the command."""
    from sluice.model import grants

    return grants.operator(tenant)


class Progress:
    """On stderr: documents done, rate and time left after each batch, and how far its stages are in between."""

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
    typer.echo(json.dumps(value, default=str) if as_json else "\n".join(lines))
