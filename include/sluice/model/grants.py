"""Who asks, and what they may read and write."""

from __future__ import annotations

from dataclasses import dataclass

ALL_GROUPS = "*"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: one tenant at a time, with the access groups held there (`*`: all)."""

    name: str
    tenant: str
    groups: frozenset[str] = frozenset()
    may_write: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """What one caller may read in one tenant. `principal` is an Airflow user name."""

    principal: str
    tenant: str
    groups: frozenset[str]
    may_write: bool
