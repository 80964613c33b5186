"""Other parts in the place of stores, roles of the ledger or settings; the product's own wiring joins them."""

from __future__ import annotations

from copy import copy
from dataclasses import fields, replace
from functools import cached_property
from typing import Any

from sluice.ports.ledger import Ledger
from sluice.settings import Settings
from sluice.wiring.application import Sluice

ROLES = frozenset(each.name for each in fields(Ledger))

STORES = (
    "ledger",
    "catalog",
    "cache",
    "keyring",
    "vectors",
    "graph",
    "links",
    "blobs",
    "reader",
    "embedder",
    "entities",
)


def port_of(sluice: Sluice, name: str) -> Any:
    return getattr(sluice.ledger if name in ROLES else sluice, name)


def swapped(sluice: Sluice, **changes: Any) -> Sluice:
    """The same with other parts; each verb is built anew from them."""
    built = copy(sluice)
    for name, member in vars(Sluice).items():
        if isinstance(member, cached_property):
            vars(built).pop(name, None)
    roles = changes.keys() & ROLES
    parts = changes.keys() & vars(sluice).keys()
    built.ledger = replace(sluice.ledger, **{name: changes[name] for name in roles})
    built.settings = sluice.settings.model_copy(update={name: changes[name] for name in changes.keys() - roles - parts})
    vars(built).update({name: changes[name] for name in parts})
    return built


def wired(**parts: Any) -> Sluice:
    """Of these parts alone; those that are settings differ from the defaults."""
    built = object.__new__(Sluice)
    settings = {name: each for name, each in parts.items() if name in Settings.model_fields and not callable(each)}
    vars(built).update(
        dict.fromkeys(STORES) | {"settings": Settings.model_construct(**settings), "gate_rules": {}} | parts
    )
    return built
