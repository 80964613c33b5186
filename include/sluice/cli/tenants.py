"""Commands for tenants: their use and their quotas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.terminal import Json, opened, tell
from sluice.errors import BadRequest

if TYPE_CHECKING:
    from sluice.model.costs import TenantUse

app = typer.Typer(help="Tenants: their use and their quotas.", no_args_is_help=True)

_MOST = "A number, or none for no limit. Not given: unchanged."


@app.command("list")
def list_(json_: Json = False) -> None:
    """List documents and raw bytes that are served, by tenant, and their quotas."""
    with opened() as sluice:
        uses = sluice.ledger.quotas.uses()
    lines = [line for use in uses for line in use_lines(use)]
    tell({"tenants": [use.to_json() for use in uses]}, json_, *(lines or ["No tenant yet: an ingest creates it."]))


@app.command("set")
def set_(
    tenant: Annotated[str, typer.Argument(help="Whose quota.")],
    max_documents: Annotated[str | None, typer.Option(help=_MOST)] = None,
    max_bytes: Annotated[str | None, typer.Option(help=_MOST)] = None,
    json_: Json = False,
) -> None:
    """Limit the documents and bytes of a tenant in all its collections. Documents that are served already stay."""
    from sluice.model.costs import Quota

    if max_documents is None and max_bytes is None:
        raise BadRequest("Give --max-documents, --max-bytes or both. Nothing was changed.")
    with opened() as sluice:
        now = sluice.ledger.quotas.use(tenant).quota
        quota = Quota(_most(max_documents, now.max_documents), _most(max_bytes, now.max_bytes))
        sluice.ledger.quotas.assign(tenant, quota)
        use = sluice.ledger.quotas.use(tenant)
    tell(use.to_json(), json_, *use_lines(use))


def use_lines(use: TenantUse) -> list[str]:
    """Returns the use and the limits of a tenant as lines of text."""
    limits = (use.quota.max_documents, use.quota.max_bytes)
    documents, size = ("" if most is None else f" of {most}" for most in limits)
    return [f"tenant {use.tenant}: {use.documents}{documents} documents, {use.size_bytes}{size} bytes"]


def _most(given: str | None, now: int | None) -> int | None:
    if given is None:
        return now
    if given == "none":
        return None
    if not given.isdecimal():
        raise BadRequest(f"{given!r} is not a number of 0 or more, and not `none`. Nothing was changed.")
    return int(given)
