"""Usage and quotas of tenants. Usage is counted only if a quota is set, under a lock on the tenant, and not stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from sluice.adapters.postgres.sources import add_tenant
from sluice.adapters.postgres.transactions import Transactions
from sluice.model.costs import Quota, TenantUse
from sluice.model.names import check_tenant_name
from sluice.model.run import Run

_QUOTA = text("SELECT max_documents, max_bytes FROM tenants WHERE tenant_id = :tenant")
_SET = text("UPDATE tenants SET max_documents = :documents, max_bytes = :bytes WHERE tenant_id = :tenant")
# `OFFSET 0` forces a lookup by key for each document; without statistics (new tables) the planner may not choose it.
_USE = """
    SELECT t.tenant_id AS tenant, t.max_documents, t.max_bytes, u.documents, u.bytes::bigint AS size_bytes,
           r.documents AS quarantined, r.bytes::bigint AS quarantined_bytes
    FROM tenants t CROSS JOIN LATERAL (
        SELECT count(*) AS documents, coalesce(sum(v.size_bytes), 0) AS bytes
        FROM (SELECT document_id, collection_id FROM documents
              WHERE tenant_id = t.tenant_id AND deleted_at IS NULL OFFSET 0) d
        JOIN collections c USING (collection_id)
        CROSS JOIN LATERAL (SELECT size_bytes FROM versions
                            WHERE document_id = d.document_id AND generation = c.live_generation AND state = 'active'
                            OFFSET 0) v) u
    CROSS JOIN LATERAL (
        SELECT count(*) AS documents, coalesce(sum(q.kept_bytes), 0) AS bytes
        FROM (SELECT source_id FROM sources WHERE tenant_id = t.tenant_id OFFSET 0) s
        CROSS JOIN LATERAL (SELECT document_id, kept_bytes FROM quarantine
                            WHERE source_id = s.source_id AND resolved_at IS NULL OFFSET 0) q
        WHERE NOT EXISTS (SELECT FROM versions WHERE document_id = q.document_id AND state = 'active')) r
"""
USE_OF = text(f"{_USE} WHERE t.tenant_id = :tenant")
_USE_ALL = text(f"{_USE} ORDER BY t.tenant_id")
_LIMITED = """
    SELECT FROM tenants WHERE tenant_id = :tenant AND (max_documents IS NOT NULL OR max_bytes IS NOT NULL)
"""
_ASK = text(_LIMITED)
# Other activations of the tenant's documents wait here, so the count that follows is valid until this commits.
_LOCK = text(f"{_LIMITED} FOR NO KEY UPDATE")
_SERVED = text("""
    SELECT document_id, size_bytes FROM versions
    WHERE document_id = ANY(CAST(:ids AS uuid[])) AND generation = :generation AND state = 'active'
""")


class PostgresQuotas(Transactions):
    """`sluice.ports.quotas.Quotas`."""

    def assign(self, tenant: str, quota: Quota) -> None:
        with self._transaction() as connection:
            check_tenant_name(tenant)
            quota.check()
            add_tenant(connection, tenant)
            connection.execute(_SET, {"tenant": tenant, "documents": quota.max_documents, "bytes": quota.max_bytes})

    def use(self, tenant: str) -> TenantUse:
        with self._transaction() as connection:
            return tenant_use(connection, tenant)

    def of(self, tenant: str) -> Quota:
        rows = self._rows(_QUOTA, {"tenant": tenant})
        return Quota(**rows[0]._mapping) if rows else Quota()

    def uses(self) -> list[TenantUse]:
        return [_use(row) for row in self._rows(_USE_ALL)]

    def beyond(self, run: Run, sizes: Mapping[UUID, int]) -> set[UUID]:
        with self._transaction() as connection:
            return beyond(connection, run, sizes, lock=False)


def beyond(connection: Connection, run: Run, sizes: Mapping[UUID, int], *, lock: bool) -> set[UUID]:
    """Returns the documents that do not fit the tenant's quota. `lock`: the others fit until the transaction ends; call
    it after locking the documents."""
    values = {"tenant": run.source.spec.tenant, "ids": list(sizes), "generation": run.source.generation.number}
    if not sizes or connection.execute(_LOCK if lock else _ASK, values).one_or_none() is None:
        return set()
    served = {row.document_id: row.size_bytes for row in connection.execute(_SERVED, values)}
    return tenant_use(connection, run.source.spec.tenant).beyond(sizes, served)


def tenant_use(connection: Connection, name: str) -> TenantUse:
    """Returns the use of one tenant; zeros and no quota where the tenant is unknown."""
    row = connection.execute(USE_OF, {"tenant": name}).one_or_none()
    return _use(row) if row else TenantUse(tenant=name, documents=0, size_bytes=0, quota=Quota())


def _use(row: Row[Any]) -> TenantUse:
    use = dict(row._mapping)
    quota = Quota(max_documents=use.pop("max_documents"), max_bytes=use.pop("max_bytes"))
    return TenantUse(**use, quota=quota)
