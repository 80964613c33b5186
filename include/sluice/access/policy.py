"""Decides what a grant allows: writing, deleting and administering.

Which documents a grant lets its holder read is decided in SQL: `_READABLE` in `adapters/postgres/catalog.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sluice.errors import Forbidden
from sluice.model.grants import Grant, Principal
from sluice.model.source import SourceSpec


def held(grants: Iterable[Grant], tenant: str) -> Grant | None:
    """Returns the grant for this tenant, or None."""
    return next((grant for grant in grants if grant.tenant == tenant), None)


def writing(grants: Iterable[Grant], tenant: str) -> Grant | None:
    """Returns the grant to write to this tenant, or None."""
    return next((grant for grant in grants if grant.tenant == tenant and grant.may_write), None)


def may_repeat(grant: Grant | Principal | None, saved: SourceSpec | None) -> bool:
    """Returns True if the grant has the groups to ingest a saved source as it is saved, or to delete its documents.

    It does not check `may_write`: pass a grant from `writing`, or check it first.

    `saved` is None for a new source.
    """
    if grant is None:
        return False
    groups = (saved.access_groups if saved else None) or ()
    return grant.holds_all_groups or set(groups) <= grant.groups


def may_read(grant: Grant | Principal, spec: SourceSpec) -> bool:
    """Returns True if the grant allows reading documents of a source that have no groups of their own."""
    groups = set(spec.access_groups or ())
    return grant.tenant == spec.tenant and (not groups or grant.holds_all_groups or bool(groups & grant.groups))


def would_expose(saved: SourceSpec, spec: SourceSpec) -> bool:
    """Returns True if `spec` would show the content of `saved`, which is for some groups, to others.

    The groups of `spec` are not None.
    """
    groups = set(spec.access_groups or ())
    return bool(saved.access_groups) and not (groups and groups <= set(saved.access_groups or ()))


def readers(grants: Iterable[Grant], spec: SourceSpec) -> list[Grant]:
    """Lists the grants that allow reading the documents of a source."""
    return [grant for grant in grants if may_read(grant, spec)]


def readable_by(spec: SourceSpec, grants: Iterable[Grant]) -> dict[str, Any]:
    """Returns the source as JSON, with the users that may read it under `readers`."""
    return {**spec.to_json(), "readers": [grant.principal for grant in readers(grants, spec)]}


def visible_groups(caller: Principal, groups: Iterable[str]) -> list[str]:
    """Leaves out groups that the caller does not hold: their names may be confidential."""
    return [group for group in groups if caller.holds_all_groups or group in caller.groups]


def check_deleting(caller: Principal, spec: SourceSpec) -> None:
    """Raises Forbidden if the caller may not delete documents of this source."""
    if not caller.may_write or spec.tenant != caller.tenant or not may_repeat(caller, spec):
        raise Forbidden(
            f"{caller.name} may not delete documents of this source: that needs a grant to write to tenant "
            f"{caller.tenant} with every group "
            "of the source. Nothing was changed. An operator can allow it with `sluice grant`."
        )


def check_administrator(caller: Principal) -> None:
    """Raises Forbidden if the caller may not administer the tenant."""
    if not caller.may_write or not caller.holds_all_groups:
        raise Forbidden(
            f"{caller.name} may not do this: that needs a grant to write to tenant {caller.tenant} with all groups. "
            "Nothing was changed."
        )
