"""Granting and revoking: what has to hold, and what it hides from whoever held the grant."""

from __future__ import annotations

from dataclasses import replace

from sluice.errors import BadRequest
from sluice.model.deletion import Deletion
from sluice.model.grants import Grant
from sluice.ports.catalog import Catalog
from sluice.ports.ledger import Ledger


def tenants(ledger: Ledger) -> list[str]:
    """`default` needs no creation."""
    return sorted({use.tenant for use in ledger.quotas.uses()} | {"default"})


def check_tenant(ledger: Ledger, tenant: str, *, create: bool) -> None:
    """Raises BadRequest."""
    if tenant not in (known := tenants(ledger)) and not create:
        raise BadRequest(
            f"There is no tenant {tenant!r}; there are {', '.join(known)}. Nothing was granted. Correct the "
            "name, or add --create-tenant where it is a new one."
        )


def check_user(user: str, known: bool | None, *, unchecked: bool) -> None:
    """`known`: whether Airflow knows the user; None: it could not be asked. Raises BadRequest where it does not, unless
    `unchecked`."""
    if known is False and not unchecked:
        raise BadRequest(
            f"Airflow has no user {user!r}. Nothing was granted. Correct the name, make the user first (Airflow: "
            "Security, List Users), or add --unknown-user where somebody else keeps the users."
        )


def hidden_from(catalog: Catalog, before: Grant, after: Grant | None) -> int:
    """Documents that may be read by `before` and not by `after` (None: nothing is granted): what groups of both open
    less what the later do."""
    if after is None:
        return _readable(catalog, before)
    both = replace(before, groups=before.groups | after.groups)
    return _readable(catalog, both) - _readable(catalog, after)


def revoke(ledger: Ledger, grant: Grant, actor: str) -> bool:
    """Take a grant back. False where there was none any more."""
    had = ledger.grants.revoke(grant.principal, grant.tenant)
    if had:
        ledger.deletions.record(Deletion("grant", grant.principal, actor, grant.tenant))
    return had


def _readable(catalog: Catalog, granted: Grant) -> int:
    return sum(each.documents for each in catalog.collections(granted.holder()))
