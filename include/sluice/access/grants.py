"""What a grant allows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sluice.model.grants import ALL_GROUPS, Grant
from sluice.model.source import SourceSpec


def held(grants: Iterable[Grant], tenant: str) -> Grant | None:
    """The grant for this tenant, if there is one."""
    return next((each for each in grants if each.tenant == tenant), None)


def grant_json(grant: Grant) -> dict[str, Any]:
    """As the command line and the routes show it."""
    return {
        "principal": grant.principal,
        "tenant": grant.tenant,
        "groups": sorted(grant.groups),
        "may_write": grant.may_write,
    }


def writing(grants: Iterable[Grant], tenant: str) -> Grant | None:
    """The grant to write to this tenant, if there is one."""
    return next((each for each in grants if each.tenant == tenant and each.may_write), None)


def may_repeat(grant: Grant | None, saved: SourceSpec | None) -> bool:
    """Whether a saved source (None: a new one) may be ingested, or its documents removed, as it is saved."""
    if grant is None:
        return False
    groups = (saved.access_groups if saved else None) or ()
    return ALL_GROUPS in grant.groups or set(groups) <= grant.groups


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
        if each.tenant == spec.tenant and (not groups or ALL_GROUPS in each.groups or groups & each.groups)
    ]
