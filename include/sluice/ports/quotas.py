"""Tenants' quotas and their use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from sluice.model.costs import Quota, TenantUse
from sluice.model.run import Run


class Quotas(Protocol):
    """Limits of each tenant on documents and bytes, over all its collections."""

    def assign(self, tenant: str, quota: Quota) -> None:
        """Sets or replaces the quota. Creates the tenant where it is missing. Documents that are served stay. Raises
        BadRequest on an invalid name or limit."""

    def use(self, tenant: str) -> TenantUse:
        """Counts over the live generations; expired documents count until they are deleted. 0 for an unknown tenant."""

    def of(self, tenant: str) -> Quota:
        """Returns the quota without counting its use; no limits for an unknown tenant."""

    def uses(self) -> list[TenantUse]:
        """Returns the use of all tenants, by name (operator's view)."""

    def beyond(self, run: Run, sizes: Mapping[UUID, int]) -> set[UUID]:
        """Returns those documents that would exceed the quota now. `sizes`: document → new size in bytes.
        `versions.activate` makes the final decision."""
