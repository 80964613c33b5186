"""Grants of callers."""

from __future__ import annotations

from typing import Protocol

from sluice.model.grants import Grant


class Grants(Protocol):
    """What each caller may read and write: one grant for each principal and tenant."""

    def of(self, principal: str) -> list[Grant]:
        """Returns the grants of one caller in all tenants, by tenant. Empty for an unknown caller."""

    def all(self, tenant: str | None = None) -> list[Grant]:
        """Returns the grants of every caller, in one tenant or in all, by principal and tenant (operator's view)."""

    def add(self, grant: Grant) -> None:
        """Adds or replaces a grant; creates the tenant where it is missing."""

    def revoke(self, principal: str, tenant: str) -> bool:
        """Revokes the grant in this tenant. Returns False where there was none."""
