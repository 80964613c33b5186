"""The engine's answers as Qdrant's JSON (dicts; ids stay UUID objects, which the serialiser writes as text)."""

from typing import Any

import qdrant_edge as edge

from devstack.qdrant_server.body import Json
from devstack.qdrant_server.selectors import Shown


def record(item: edge.Record, shown: Shown) -> Json:
    """A point as scroll and retrieve show it."""
    entry: Json = {"id": item.id}
    return _contents(entry, item, shown)


def scored(item: edge.ScoredPoint, shown: Shown) -> Json:
    """A point as a query shows it."""
    entry: Json = {"id": item.id, "version": item.version, "score": item.score}
    return _contents(entry, item, shown)


def vectors(value: Any) -> Any:
    """A point's vectors: a list for the unnamed one, else a dict by name."""
    if isinstance(value, dict):
        return {name: vectors(item) for name, item in value.items()}
    if isinstance(value, edge.SparseVector):
        return {"indices": value.indices, "values": value.values}
    return value


def _contents(entry: Json, item: Any, shown: Shown) -> Json:
    if shown.any_payload:
        entry["payload"] = item.payload or {}
    if shown.any_vector:
        entry["vector"] = vectors(item.vector or {})
    if item.order_value is not None:
        entry["order_value"] = item.order_value
    return entry
