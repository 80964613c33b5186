"""What callers were granted."""

from __future__ import annotations

from typing import Protocol

from sluice.model.grants import Grant


class Grants(Protocol):
    def of(self, principal: str) -> list[Grant]: ...

    def all(self, tenant: str | None = None) -> list[Grant]:
        """Operator's view: of every caller, in one tenant or in all; by principal and tenant."""

    def add(self, grant: Grant) -> None:
        """Add or replace; creates the tenant where it is missing."""

    def revoke(self, principal: str, tenant: str) -> bool:
        """Take back what was granted there. False where nothing was."""
