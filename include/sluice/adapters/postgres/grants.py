"""Grants of callers on PostgreSQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, text

from sluice.adapters.postgres.sources import add_tenant
from sluice.adapters.postgres.transactions import Transactions
from sluice.model.grants import Grant
from sluice.model.names import check_tenant_name

_COLUMNS = "principal, tenant_id AS tenant, access_groups AS groups, may_write"
GRANTS = text(f"SELECT {_COLUMNS} FROM grants WHERE principal = :p ORDER BY tenant_id")
_ALL_GRANTS = text(f"""
    SELECT {_COLUMNS} FROM grants
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
        check_tenant_name(grant.tenant)
        with self._transaction() as connection:
            add_tenant(connection, grant.tenant)
            connection.execute(_GRANT, grant.to_json())

    def revoke(self, principal: str, tenant: str) -> bool:
        return self._execute(_REVOKE, {"principal": principal, "tenant": tenant}) > 0


def _granted(row: Row[Any]) -> Grant:
    return Grant(**{**row._mapping, "groups": frozenset(row.groups)})
