"""What every command shares: its options, the tools it opens, how it tells what it found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from sluice.errors import NotFound
from sluice.model import ALL_GROUPS, Generation, Principal
from sluice.ports import Tools
from sluice.settings import Settings
from sluice.wiring import build

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Tenant = Annotated[str, typer.Option(help="Whose documents.")]
Collection = Annotated[str, typer.Option("--collection", "-c", help="Name of the collection.")]

OK, FAILED, USAGE, QUARANTINED, STOPPED = 0, 1, 2, 3, 4


@contextmanager
def tools_of_settings() -> Iterator[Tools]:
    tools = build(Settings())
    try:
        yield tools
    finally:
        tools.close()


def generation(tools: Tools, collection: str) -> Generation:
    """Raises NotFound."""
    for generation in tools.ledger.generations():
        if generation.collection == collection:
            return generation
    raise NotFound(
        f"There is no collection {collection!r} yet: an ingest makes it. What is to hold from the "
        "first document on goes into SLUICE_GATE_ACTIONS."
    )


def given(values: list[str] | None) -> tuple[str, ...] | None:
    """None: the option was not given, what is saved stays."""
    return tuple(values) if values else None


def operator(tenant: str) -> Principal:
    """Who runs the CLI holds the database's password: nothing of one tenant is hidden from them."""
    return Principal("operator", tenant, frozenset({ALL_GROUPS}), may_write=True)


def progress(done: int, planned: int) -> None:
    typer.echo(f"{done}/{planned} documents", err=True)


def tell(value: Any, as_json: bool, *lines: str) -> None:
    typer.echo(json.dumps(value, default=str) if as_json else "\n".join(lines))
