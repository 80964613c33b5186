"""Checks that whoever started an evaluation may evaluate a tenant's collections."""

from __future__ import annotations

from collections.abc import Callable

from sluice.access import policy
from sluice.errors import Forbidden
from sluice.model.grants import Principal
from sluice.ports.grants import Grants


def may_evaluate(grants: Grants, user: str | None) -> Callable[[str], bool]:
    """Returns a check of the tenants that a run of this user may evaluate: those that the user may administer, because
    an evaluation searches all documents of the tenant. None is a run that no user started; it may evaluate all."""
    if user is None:
        return lambda tenant: True
    held = grants.of(user)

    def check(tenant: str) -> bool:
        grant = policy.writing(held, tenant)
        return grant is not None and grant.holds_all_groups

    return check


def check_tenant(grants: Grants, user: str | None, tenant: str) -> None:
    """Raises Forbidden if the user may not evaluate this tenant's collections."""
    if not may_evaluate(grants, user)(tenant):
        raise Forbidden(
            f"{user} may not evaluate tenant {tenant}: that needs a grant to write there with all groups. Nothing was "
            f"evaluated. An administrator can allow it: sluice grant {user} --tenant {tenant} --write --group '*'"
        )


def check_reader(caller: Principal) -> None:
    """Raises Forbidden if the caller may not see evaluations: they describe all documents of the tenant."""
    if not caller.holds_all_groups:
        raise Forbidden(
            f"Evaluations and golden sets are about all documents of tenant {caller.tenant}, so they need a grant with "
            f"all groups. An operator can allow it: sluice grant {caller.name} --tenant {caller.tenant} --group '*'"
        )
