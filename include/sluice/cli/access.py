"""Commands for grants: who may read and write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cli.terminal import Json, Tenant, Yes, confirm, opened, operator, tell
from sluice.errors import NotFound

if TYPE_CHECKING:
    from sluice.model.grants import Grant
    from sluice.model.source import SavedSource
    from sluice.wiring.application import Sluice

app = typer.Typer(help="List who may read and write what.", no_args_is_help=True)


def grant(
    user: Annotated[str, typer.Argument(help="An Airflow user name.")],
    tenant: Tenant = "default",
    group: Annotated[list[str] | None, typer.Option(help="Access groups held; repeat; '*': all.")] = None,
    write: Annotated[bool, typer.Option("--write", help="May also trigger ingests and delete.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Revoke the grant.")] = False,
    create_tenant: Annotated[bool, typer.Option("--create-tenant", help="Allow a tenant that is new.")] = False,
    unknown_user: Annotated[
        bool, typer.Option("--unknown-user", help="Allow a user that Airflow does not have (yet).")
    ] = False,
    yes: Yes = False,
    json_: Json = False,
) -> None:
    """Let an Airflow user read (and write) a tenant's documents. Replaces the user's earlier grant for the tenant."""
    from sluice.access import grant_changes
    from sluice.access.policy import held
    from sluice.model.grants import Grant
    from sluice.wiring.clients import airflow_knows

    with opened() as sluice:
        before = held(sluice.ledger.grants.of(user), tenant)
        if remove:
            _remove(sluice, user, tenant, before, yes, json_)
            return
        grant_changes.check_tenant(sluice.ledger.quotas, tenant, create=create_tenant)
        known = airflow_knows(user)
        grant_changes.check_user(user, known, unchecked=unknown_user or before is not None)
        after = Grant(user, tenant, frozenset(group or ()), write)
        if before is not None:
            _confirm(sluice, before, after, yes)
        sluice.ledger.grants.add(after)
    report = {**after.to_json(), "before": before and before.to_json(), "user_checked": known is True}
    lines = [f"{user} may, in tenant {tenant}, {_named(after)}. Before: {_named(before) if before else 'nothing'}."]
    if known is False:
        lines.append(f"Airflow has no user {user}; the grant was saved nevertheless.")
    elif known is None:
        why = "the address of Airflow's database is not set, or it did not answer"
        lines.append(f"The user {user} was not checked: {why}.")
    tell(report, json_, *lines)


def revoke(
    user: Annotated[str, typer.Argument(help="An Airflow user name.")],
    tenant: Tenant = "default",
    yes: Yes = False,
    json_: Json = False,
) -> None:
    """Revoke a grant: the same as `sluice grant --remove`."""
    from sluice.access.policy import held

    with opened() as sluice:
        before = held(sluice.ledger.grants.of(user), tenant)
        _remove(sluice, user, tenant, before, yes, json_)


@app.command("list")
def access_list(
    tenant: Annotated[str | None, typer.Option(help="Only of this one.")] = None,
    collection: Annotated[str | None, typer.Option("--collection", "-c", help="Only sources of this one.")] = None,
    source: Annotated[str | None, typer.Option(help="Only this one, by its URI.")] = None,
    json_: Json = False,
) -> None:
    """List grants by user, and for each source its groups and readers."""
    from sluice.access.policy import readable_by
    from sluice.pipeline.generations import live_generations
    from sluice.sources.schemes import canonical

    with opened() as sluice:
        if tenant is not None:
            _check_known(sluice, tenant)
        if collection is not None:
            live_generations(sluice.ledger.collections, collection)  # raises NotFound where it is misspelled
        grants = sluice.ledger.grants.all(tenant)
        saved = sluice.ledger.sources.saved(tenant, collection)
    if source is not None:
        saved = [each for each in saved if each.spec.uri == canonical(source)]
        if not saved:
            raise NotFound(f"There is no saved source {source}. `sluice sources list` shows the saved sources.")
    shown = grants if collection is None and source is None else []
    lines = [f"{each.principal} may, in tenant {each.tenant}, {_named(each)}" for each in shown]
    lines += [line for each in saved for line in _source_lines(each, grants)]
    sources = [readable_by(each.spec, grants) for each in saved]
    report = {"grants": [each.to_json() for each in grants], "sources": sources}
    tell(report, json_, *(lines or ["There is no grant and no saved source."]))


# --- details -----------------------------------------------------------------------------------------------------


def _check_known(sluice: Sluice, tenant: str) -> None:
    """Raises NotFound, which names the nearest tenant."""
    from sluice.access.grant_changes import tenants
    from sluice.model.spelling import unknown_names

    if unknown := unknown_names([tenant], tenants(sluice.ledger.quotas), "tenant"):
        raise NotFound(f"{unknown} Nothing was changed.")


def _confirm(sluice: Sluice, before: Grant, after: Grant | None, yes: bool) -> int:
    """Asks if a change of a grant hides documents from its holder. Returns their number. Raises BadRequest, Abort."""
    from sluice.access import grant_changes

    hidden = grant_changes.hidden_from(sluice.catalog, before, after)
    if hidden:
        confirm(
            f"{hidden} documents of tenant {before.tenant} become unreadable for {before.principal} "
            f"(grant before: {_named(before)}).",
            yes,
        )
    return hidden


def _remove(sluice: Sluice, user: str, tenant: str, before: Grant | None, yes: bool, as_json: bool) -> None:
    from sluice.access import grant_changes

    _check_known(sluice, tenant)
    hidden = _confirm(sluice, before, None, yes) if before else 0
    had = before is not None and grant_changes.revoke(sluice.ledger, before, operator(tenant).name)
    line = f"{user} may no longer read tenant {tenant}." if had else f"{user} had no grant for {tenant}."
    more = f" {hidden} documents are unreadable for them now (grant before: {_named(before)})." if before else ""
    tell({"removed": had, "before": before and before.to_json(), "hidden": hidden}, as_json, line + more)


def _named(granted: Grant) -> str:
    groups = f"groups {', '.join(sorted(granted.groups))}" if granted.groups else "only documents for everyone"
    return f"{'read and write' if granted.may_write else 'read'} ({groups})"


def _source_lines(saved: SavedSource, grants: Sequence[Grant]) -> list[str]:
    from sluice.access.policy import readable_by

    readable = readable_by(saved.spec, grants)
    groups = ", ".join(readable["access_groups"]) or "everyone in the tenant"
    return [
        f"{readable['uri']} (collection {readable['collection']}, tenant {readable['tenant']})",
        f"    for {groups}; readable by {', '.join(readable['readers']) or 'nobody'}",
    ]
