"""`sluice`: the same pipeline without Airflow. Exit codes: 0 done, 1 failed, 2 usage or settings, 3 done with
quarantined documents, 4 budget exceeded (run it again to continue), 130 interrupted."""

from __future__ import annotations

import gc
import logging
import os
import sys
from typing import Annotated

import typer

from sluice import __version__
from sluice.cli import (
    access,
    collections,
    documents,
    evaluation,
    gates,
    golden,
    models,
    operating,
    quarantine,
    retention,
    sources,
    tenants,
)
from sluice.cli.local import use_local_stack
from sluice.cli.terminal import FAILED, INTERRUPTED, USAGE
from sluice.errors import BadRequest, SluiceError

app = typer.Typer(
    help="Ingest documents and search them, with citations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(version_requested: bool) -> None:
    if version_requested:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


for command in (documents.ingest, documents.search, operating.status, operating.reconcile, operating.doctor):
    app.command()(command)
app.command(name="eval")(evaluation.evaluate)
app.command()(evaluation.tune)
for other in (operating.migrate, access.grant, access.revoke, retention.purge, retention.prune):
    app.command()(other)
app.add_typer(access.app, name="access")
app.add_typer(collections.app, name="collections")
app.add_typer(collections.documents, name="documents")
for group in (models, gates, golden, sources, retention, quarantine, tenants):
    app.add_typer(group.app, name=group.__name__.rpartition(".")[2])


def main() -> None:
    """Runs the command. An error becomes one line on stderr and an exit code."""
    _start_quickly()
    logging.getLogger("neo4j").setLevel(logging.ERROR)  # it warns of each retry; the error that is shown says enough
    try:
        use_local_stack()
        app()
    except SluiceError as error:
        typer.echo(" ".join([f"sluice: {error}", *getattr(error, "__notes__", ())]), err=True)
        sys.exit(USAGE if isinstance(error, BadRequest) else FAILED)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            typer.echo("sluice: interrupted. What is complete is kept. To continue, run the command again.", err=True)
        raise


def _start_quickly() -> None:
    """Speeds up imports, which take most of the time of a command. They create a million objects, so the garbage
    collector runs less often; and pydantic looks for plugins in each of the 300 distributions that Airflow installs."""
    gc.set_threshold(50_000)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
