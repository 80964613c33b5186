"""Who asks, and what they may read and write."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

ALL_GROUPS = "*"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: one tenant at a time, with the access groups held there (`*`: all)."""

    name: str
    tenant: str
    groups: frozenset[str] = frozenset()
    may_write: bool = False

    @property
    def holds_all_groups(self) -> bool:
        return ALL_GROUPS in self.groups


@dataclass(frozen=True, slots=True)
class Grant:
    """What one caller may read in one tenant. `principal` is an Airflow user name."""

    principal: str
    tenant: str
    groups: frozenset[str]
    may_write: bool

    @property
    def holds_all_groups(self) -> bool:
        return ALL_GROUPS in self.groups

    def holder(self) -> Principal:
        """Whoever was granted this, in its tenant."""
        return Principal(self.principal, self.tenant, self.groups, self.may_write)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "groups": sorted(self.groups)}


def operator(tenant: str) -> Principal:
    """Who runs the command line holds the database's password: nothing of one tenant is hidden from them."""
    return Principal("operator", tenant, frozenset({ALL_GROUPS}), may_write=True)
