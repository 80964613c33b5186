"""What tenants hold, and what they may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from sluice.model.costs import Quota, TenantUse
from sluice.model.run import Run


class Quotas(Protocol):
    def assign(self, tenant: str, quota: Quota) -> None:
        """In place of the one before. Creates the tenant where it is missing; what is served already stays."""

    def use(self, tenant: str) -> TenantUse:
        """Counted over the live generations; expired documents count until they are removed. A tenant that is not
        known holds nothing."""

    def of(self, tenant: str) -> Quota:
        """Counts nothing."""

    def uses(self) -> list[TenantUse]:
        """By name (operator's view)."""

    def beyond(self, run: Run, sizes: Mapping[UUID, int]) -> set[UUID]:
        """Of these documents, by their sizes to be in bytes, those that would not fit now. `versions.activate`
        decides."""
