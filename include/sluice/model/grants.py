"""Principals and grants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

ALL_GROUPS = "*"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller in one tenant, with the access groups held there (`*`: all)."""

    name: str
    tenant: str
    groups: frozenset[str] = frozenset()
    may_write: bool = False

    @property
    def holds_all_groups(self) -> bool:
        return ALL_GROUPS in self.groups


@dataclass(frozen=True, slots=True)
class Grant:
    """What one caller may read and write in one tenant. `principal` is an Airflow user name."""

    principal: str
    tenant: str
    groups: frozenset[str]
    may_write: bool

    @property
    def holds_all_groups(self) -> bool:
        return ALL_GROUPS in self.groups

    def holder(self) -> Principal:
        """Returns the principal of this grant, in its tenant."""
        return Principal(self.principal, self.tenant, self.groups, self.may_write)

    def to_json(self) -> dict[str, Any]:
        """Returns the grant as JSON values, its groups sorted."""
        return {**asdict(self), "groups": sorted(self.groups)}


def operator(tenant: str) -> Principal:
    """Returns the principal of the command line. It may read and write everything in the tenant, because whoever runs
    the command line has the database's password."""
    return Principal("operator", tenant, frozenset({ALL_GROUPS}), may_write=True)


def narrows(before: Sequence[str] | None, after: Sequence[str] | None) -> bool:
    """Returns whether a reader permitted by the groups `before` may lose access by those `after`; empty: everyone."""
    return bool(after) and (not before or not set(before) <= set(after or ()))
