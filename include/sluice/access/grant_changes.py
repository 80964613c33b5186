"""Checks grants before they are made or revoked, and counts the documents that a change hides from the user."""

from __future__ import annotations

from dataclasses import replace

from sluice.errors import BadRequest
from sluice.model.deletion import Deletion
from sluice.model.grants import Grant
from sluice.ports.catalog import Catalog
from sluice.ports.ledger import Ledger
from sluice.ports.quotas import Quotas


def tenants(quotas: Quotas) -> list[str]:
    """Lists the tenants that exist. `default` always exists."""
    return sorted({use.tenant for use in quotas.uses()} | {"default"})


def check_tenant(quotas: Quotas, tenant: str, *, create: bool) -> None:
    """Raises BadRequest if the tenant does not exist and is not to be created."""
    if tenant not in (known := tenants(quotas)) and not create:
        raise BadRequest(
            f"There is no tenant {tenant!r}; there are {', '.join(known)}. Nothing was granted. Correct the "
            "name, or add --create-tenant to create it."
        )


def check_user(user: str, known: bool | None, *, unchecked: bool) -> None:
    """Raises BadRequest if Airflow does not know the user, unless `unchecked`.

    `known`: True if Airflow knows the user; None if Airflow could not be asked.
    """
    if known is False and not unchecked:
        raise BadRequest(
            f"Airflow has no user {user!r}. Nothing was granted. Correct the name, create the user first (Airflow: "
            "Security, List Users), or add --unknown-user if users are managed elsewhere."
        )


def hidden_from(catalog: Catalog, before: Grant, after: Grant | None) -> int:
    """Counts the documents that `before` may read and `after` may not. `after` is None if nothing is granted.

    The count is that of the groups of both grants, minus that of `after`.
    """
    if after is None:
        return _readable(catalog, before)
    both = replace(before, groups=before.groups | after.groups)
    return _readable(catalog, both) - _readable(catalog, after)


def revoke(ledger: Ledger, grant: Grant, actor: str) -> bool:
    """Revokes a grant. Returns False if it was already revoked."""
    revoked = ledger.grants.revoke(grant.principal, grant.tenant)
    if revoked:
        ledger.deletions.record(Deletion("grant", grant.principal, actor, grant.tenant))
    return revoked


def _readable(catalog: Catalog, granted: Grant) -> int:
    return sum(collection.documents for collection in catalog.collections(granted.holder()))
