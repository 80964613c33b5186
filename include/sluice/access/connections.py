"""Decides which connections a source may use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sluice.access.places import Place
from sluice.access.source_rules import Rule
from sluice.errors import BadRequest, Forbidden
from sluice.model.source import SourceSpec
from sluice.ports.readers import Connection, Connections

_CONNECTION_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_MISSPELLED = frozenset(
    {"tenant", "tenants", "tennants", "tenents", "group", "groups", "accessgroups", "accessgroup", "allowedtenants"}
    | {"allowedgroups"}
)


def allowed_connections(connections: Connections, spec: SourceSpec) -> Connections:
    """Limits `connections` to those that this source may use.

    Sluice's own connections (`sluice_…`) are never allowed, because they lead to the data of all tenants. Any other
    connection is allowed if its extras `tenants` and `groups` (a list, or names separated by `,`) admit the source.
    """

    def allowed(conn_id: str) -> Connection:
        if not _CONNECTION_ID.fullmatch(conn_id):
            raise BadRequest(f"{conn_id[:80]!r} is not a connection id. Use letters, digits, '_', '-' and '.'.")
        if conn_id.lower().startswith("sluice"):
            raise Forbidden(
                f"Connection {conn_id!r} is used by Sluice itself, and no source may use it. Create one for the source."
            )
        connection = connections(conn_id)
        _check(conn_id, connection.extra, spec)
        return connection

    return allowed


def _check(conn_id: str, extra: Mapping[str, Any], spec: SourceSpec) -> None:
    """Raises Forbidden. Raises BadRequest for a misspelled extra, which would leave the connection open to all."""
    for name in extra:
        if name not in ("tenants", "groups") and str(name).casefold().replace("_", "") in _MISSPELLED:
            raise BadRequest(
                f"Connection {conn_id!r} has an extra {name!r}. The extras `tenants` and `groups` say who may use it; "
                "nothing was read. Rename it."
            )
    rule = Rule(Place("connection", b""), _names(extra.get("tenants")), _names(extra.get("groups")))
    if not rule.admits(spec):
        raise Forbidden(
            f"Sources of tenant {spec.tenant!r} for {', '.join(spec.access_groups or ()) or 'everyone'} may not use "
            f"connection {conn_id!r}. Its extras `tenants` and `groups` say who may. Nothing was read."
        )


def _names(value: Any) -> frozenset[str] | None:
    if value is None:
        return None
    names = value if isinstance(value, list) else str(value).split(",")
    return frozenset(str(name).strip() for name in names)
