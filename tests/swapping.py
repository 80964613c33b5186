"""Another adapter in the place of a port of `Tools`, or of a role of its ledger; both go by their field's name."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from sluice.ports.ledger import Ledger
from sluice.ports.tools import Tools

ROLES = frozenset(each.name for each in fields(Ledger))


def port_of(tools: Tools, name: str) -> Any:
    return getattr(tools.ledger if name in ROLES else tools, name)


def swapped(tools: Tools, **adapters: Any) -> Tools:
    roles = {name: adapter for name, adapter in adapters.items() if name in ROLES}
    ports = {name: adapter for name, adapter in adapters.items() if name not in ROLES}
    return replace(tools, ledger=replace(tools.ledger, **roles), **ports)
