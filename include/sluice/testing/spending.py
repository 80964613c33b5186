"""What runs spend and tenants hold, in a ledger in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from uuid import UUID

from sluice.adapters.postgres.rules import beyond_quota, check_quota, check_tenant
from sluice.model.costs import Quota, Spent, TenantUse
from sluice.model.run import Run
from sluice.testing.state import CostRow, MemoryState


class MemorySpending:
    """The part of `sluice.ports.ledger.Ledger` that is about costs and quotas."""

    state: MemoryState
    _fence: Callable[[Run], None]

    def reserve(self, run: Run, batch: int, tokens: int) -> int:
        with self.state.lock:
            self._fence(run)
            row = self.state.runs[run.run_id]
            others = sum(cost.reserved_tokens for number, cost in row.costs.items() if number != batch)
            most, taken = row.budget.max_tokens, others + self.spent(run).tokens
            granted = tokens if most is None else max(0, min(tokens, most - taken))
            row.costs.setdefault(batch, CostRow()).reserved_tokens = granted
            return granted

    def settle(self, run: Run, batch: int, spent: Spent) -> None:
        with self.state.lock:
            costs = self.state.runs[run.run_id].costs
            costs[batch] = CostRow(_sum(costs.get(batch, CostRow()).spent, spent))

    def spent(self, run: Run) -> Spent:
        with self.state.lock:
            total = Spent()
            for cost in self.state.runs[run.run_id].costs.values():
                total = _sum(total, cost.spent)
            return total

    def stop(self, run: Run, why: str) -> None:
        with self.state.lock:
            self._fence(run)
            self.state.runs[run.run_id].stopped = why

    def stopped(self, run: Run) -> str | None:
        with self.state.lock:
            return self.state.runs[run.run_id].stopped

    def set_quota(self, tenant: str, quota: Quota) -> None:
        check_tenant(tenant)
        check_quota(quota)
        with self.state.lock:
            self.state.tenants.add(tenant)
            self.state.quotas[tenant] = quota

    def tenant(self, tenant: str) -> TenantUse:
        with self.state.lock:
            use = TenantUse(tenant, 0, 0, self.state.quotas.get(tenant, Quota()))
            for document in self.state.documents.values():
                live = self.state.collections[document.source.spec.collection]
                version = self.state.active(document.document_id, live)
                if document.source.spec.tenant != tenant:
                    continue
                if version and document.deleted_at is None:
                    use = use.taking(version.sealed.size_bytes)
                elif not version and (record := self.state.quarantine.get(document.document_id)):
                    refused_bytes = use.refused_bytes + (record.kept_bytes or 0)
                    use = replace(use, refused=use.refused + 1, refused_bytes=refused_bytes)
            return use

    def quota(self, tenant: str) -> Quota:
        with self.state.lock:
            return self.state.quotas.get(tenant, Quota())

    def tenants(self) -> list[TenantUse]:
        with self.state.lock:
            return [self.tenant(each) for each in sorted(self.state.tenants)]

    def beyond_quota(self, run: Run, sizes: Mapping[UUID, int]) -> set[UUID]:
        with self.state.lock:
            active = {each: self.state.active(each, run.source.generation) for each in sizes}
            served = {each: version.sealed.size_bytes for each, version in active.items() if version}
            return beyond_quota(self.tenant(run.source.spec.tenant), sizes, served)


def _sum(one: Spent, other: Spent) -> Spent:
    return replace(
        one, texts=one.texts + other.texts, tokens=one.tokens + other.tokens, seconds=one.seconds + other.seconds
    )
