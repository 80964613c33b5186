"""Who may read and write."""

from __future__ import annotations

from typing import Annotated

import typer

from sluice.cli.terminal import (
    Tenant,
    tools_of_settings,
)
from sluice.model import Grant


def grant(
    user: Annotated[str, typer.Argument(help="An Airflow user name.")],
    tenant: Tenant = "default",
    group: Annotated[list[str] | None, typer.Option(help="Access groups held; repeat; '*': all.")] = None,
    write: Annotated[bool, typer.Option("--write", help="May also trigger ingests.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take the grant back.")] = False,
) -> None:
    """Let an Airflow user read (and write) a tenant's documents."""
    with tools_of_settings() as tools:
        if remove:
            had = tools.catalog.revoke(user, tenant)
            typer.echo(f"{user} may no longer read tenant {tenant}." if had else f"{user} had no grant for {tenant}.")
            return
        tools.catalog.grant(Grant(user, tenant, frozenset(group or ()), write))
    typer.echo(f"{user} may {'read and write' if write else 'read'} tenant {tenant}.")
