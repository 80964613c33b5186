"""What a grant allows: whom it lets read, write, delete and administer what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sluice.errors import Forbidden
from sluice.model.grants import Grant, Principal
from sluice.model.source import SourceSpec


def held(grants: Iterable[Grant], tenant: str) -> Grant | None:
    """The grant for this tenant, if there is one."""
    return next((each for each in grants if each.tenant == tenant), None)


def writing(grants: Iterable[Grant], tenant: str) -> Grant | None:
    """The grant to write to this tenant, if there is one."""
    return next((each for each in grants if each.tenant == tenant and each.may_write), None)


def may_repeat(grant: Grant | Principal | None, saved: SourceSpec | None) -> bool:
    """Whether a saved source (None: a new one) may be ingested, or its documents removed, as it is saved."""
    if grant is None:
        return False
    groups = (saved.access_groups if saved else None) or ()
    return grant.holds_all_groups or set(groups) <= grant.groups


def is_kept_from(saved: SourceSpec, spec: SourceSpec) -> bool:
    """Whether what is saved for some groups would be readable for others by the source `spec`, whose groups are not
    None."""
    groups = set(spec.access_groups or ())
    return bool(saved.access_groups) and not (groups and groups <= set(saved.access_groups or ()))


def readers(grants: Iterable[Grant], spec: SourceSpec) -> list[Grant]:
    """Grants by which the documents of a source may be read."""
    groups = set(spec.access_groups or ())
    return [
        each
        for each in grants
        if each.tenant == spec.tenant and (not groups or each.holds_all_groups or groups & each.groups)
    ]


def readable_by(spec: SourceSpec, grants: Iterable[Grant]) -> dict[str, Any]:
    """A source, the groups that it is for and who may read it."""
    return {**spec.to_json(), "readers": [each.principal for each in readers(grants, spec)]}


def visible_groups(caller: Principal, groups: Iterable[str]) -> list[str]:
    """Which other groups may read something is not for everyone to know."""
    return [group for group in groups if caller.holds_all_groups or group in caller.groups]


def check_deleting(caller: Principal, spec: SourceSpec) -> None:
    """Raises Forbidden."""
    if not caller.may_write or spec.tenant != caller.tenant or not may_repeat(caller, spec):
        raise Forbidden(
            f"{caller.name} may not delete there: it needs a grant to write to tenant {caller.tenant} with every group "
            "of the source. Nothing was changed. An operator can allow it with `sluice grant`."
        )


def check_administrator(caller: Principal) -> None:
    """Raises Forbidden."""
    if not caller.may_write or not caller.holds_all_groups:
        raise Forbidden(
            f"{caller.name} may not do this: it needs a grant to write to tenant {caller.tenant} with all groups. "
            "Nothing was changed."
        )
