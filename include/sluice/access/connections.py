"""Which connections a source may use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sluice.access.places import Place
from sluice.access.rules import Rule
from sluice.errors import BadRequest, Forbidden
from sluice.model.source import SourceSpec
from sluice.ports.readers import Connection, Connections

_CONNECTION_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_MISSPELLED = frozenset(
    {"tenant", "tenants", "tennants", "tenents", "group", "groups", "accessgroups", "accessgroup", "allowedtenants"}
    | {"allowedgroups"}
)


def allowed_connections(connections: Connections, spec: SourceSpec) -> Connections:
    """`connections` as far as this source may use them: none of Sluice's own (`sluice_…`), which lead to every tenant's
    data, and of the others those whose extras `tenants` and `groups` (with `,` between them, or a list) admit it."""

    def allowed(conn_id: str) -> Connection:
        if not _CONNECTION_ID.fullmatch(conn_id):
            raise BadRequest(f"{conn_id[:80]!r} is not a connection's id: letters, digits, '_', '-' and '.'.")
        if conn_id.lower().startswith("sluice"):
            raise Forbidden(
                f"Connection {conn_id!r} is one of Sluice's own and no source may use it. Make one for the source."
            )
        found = connections(conn_id)
        _check(conn_id, found.extra, spec)
        return found

    return allowed


def _check(conn_id: str, extra: Mapping[str, Any], spec: SourceSpec) -> None:
    """Raises Forbidden, and BadRequest for a name that is nearly one of the two: it would leave the connection open."""
    for name in extra:
        if name not in ("tenants", "groups") and str(name).casefold().replace("_", "") in _MISSPELLED:
            raise BadRequest(
                f"Connection {conn_id!r} has an extra {name!r}. Who may use it is said by `tenants` and `groups`; "
                "nothing was read. Rename it."
            )
    rule = Rule(Place("connection", b""), _listed(extra.get("tenants")), _listed(extra.get("groups")))
    if not rule.admits(spec):
        raise Forbidden(
            f"Sources of tenant {spec.tenant!r} for {', '.join(spec.access_groups or ()) or 'everyone'} may not use "
            f"connection {conn_id!r}. Its extras `tenants` and `groups` say who may. Nothing was read."
        )


def _listed(value: Any) -> frozenset[str] | None:
    if value is None:
        return None
    names = value if isinstance(value, list) else str(value).split(",")
    return frozenset(str(each).strip() for each in names)
