"""Grants of callers on PostgreSQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, text

from sluice.adapters.postgres.checks import check_tenant
from sluice.adapters.postgres.sources import add_tenant
from sluice.adapters.postgres.transactions import Transactions
from sluice.model.grants import Grant

GRANTS = text("SELECT principal, tenant_id, access_groups, may_write FROM grants WHERE principal = :p ORDER BY 2")
_ALL_GRANTS = text("""
    SELECT principal, tenant_id, access_groups, may_write FROM grants
    WHERE CAST(:tenant AS text) IS NULL OR tenant_id = :tenant ORDER BY principal COLLATE "C", tenant_id COLLATE "C"
""")
_GRANT = text("""
    INSERT INTO grants (principal, tenant_id, access_groups, may_write)
    VALUES (:principal, :tenant, :groups, :may_write)
    ON CONFLICT (principal, tenant_id) DO UPDATE
    SET access_groups = excluded.access_groups, may_write = excluded.may_write
""")
_REVOKE = text("DELETE FROM grants WHERE principal = :principal AND tenant_id = :tenant")


class PostgresGrants(Transactions):
    """`sluice.ports.grants.Grants`."""

    def of(self, principal: str) -> list[Grant]:
        return [_granted(row) for row in self._rows(GRANTS, {"p": principal})]

    def all(self, tenant: str | None = None) -> list[Grant]:
        return [_granted(row) for row in self._rows(_ALL_GRANTS, {"tenant": tenant})]

    def add(self, grant: Grant) -> None:
        check_tenant(grant.tenant)
        values = {
            "principal": grant.principal,
            "tenant": grant.tenant,
            "groups": sorted(grant.groups),
            "may_write": grant.may_write,
        }
        with self._transaction() as connection:
            add_tenant(connection, grant.tenant)
            connection.execute(_GRANT, values)

    def revoke(self, principal: str, tenant: str) -> bool:
        with self._transaction() as connection:
            return connection.execute(_REVOKE, {"principal": principal, "tenant": tenant}).rowcount > 0


def _granted(row: Row[Any]) -> Grant:
    return Grant(
        principal=row.principal, tenant=row.tenant_id, groups=frozenset(row.access_groups), may_write=row.may_write
    )
