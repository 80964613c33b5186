"""Requests that change points, as operations of the engine."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import qdrant_edge as edge

from devstack.qdrant_server.body import Json, PointId, as_list, as_object, point_ids, required, strings, text
from devstack.qdrant_server.errors import bad_format, bad_request, unsupported
from devstack.qdrant_server.filters import to_filter
from devstack.qdrant_server.points import Names, to_points, to_vectors

_MODES = {
    "upsert": edge.UpdateMode.Upsert,
    "insert_only": edge.UpdateMode.InsertOnly,
    "update_only": edge.UpdateMode.UpdateOnly,
}
_NO_SELECTOR = "data did not match any variant of untagged enum PointsSelector"
_NO_TARGET = "Either list of point ids or filter must be provided"
_ENGINE = edge.UpdateOperation


@dataclass(frozen=True, slots=True)
class Change:
    """One operation for the engine. `weight`: number of points that it writes (1 with a filter). `ids`: points that
    must exist; if some are missing, the engine's error names any of them, that of a real server the first."""

    operation: edge.UpdateOperation
    weight: int = 1
    removes: bool = False
    ids: tuple[PointId, ...] = ()


def upsert(body: Any, names: Names) -> Change:
    """Insert or replace points; `update_filter` and `update_mode` narrow which."""
    body = as_object(body, "an upsert")
    points = to_points(body, names)
    if not points:
        raise bad_request("Empty update request")
    mode = body.get("update_mode")
    if mode is not None and mode not in _MODES:
        raise bad_format(f"unknown variant `{mode}`, expected one of `upsert`, `insert_only`, `update_only`")
    condition = to_filter(body.get("update_filter"), "update_filter")
    return Change(_ENGINE.upsert_points(points, condition, _MODES[mode] if mode else None), len(points))


def delete(body: Any, names: Names) -> Change:
    """Remove points by ids or filter."""
    body = as_object(body, "PointsSelector")
    ids, condition = _target(body, _NO_SELECTOR)
    if ids is not None:
        return Change(_ENGINE.delete_points(ids), len(ids), removes=True)
    return Change(_ENGINE.delete_points_by_filter(condition), removes=True)


def set_payload(body: Any, names: Names) -> Change:
    """Merge keys into payloads, at the root or below `key`."""
    return _with_payload(body, _ENGINE.set_payload, _ENGINE.set_payload_by_filter)


def overwrite_payload(body: Any, names: Names) -> Change:
    """Replace whole payloads (or what is below `key`)."""
    return _with_payload(body, _ENGINE.overwrite_payload, _ENGINE.overwrite_payload_by_filter)


def delete_payload(body: Any, names: Names) -> Change:
    """Remove keys from payloads."""
    body = as_object(body, "struct DeletePayload")
    keys = strings(required(body, "keys"))
    ids, condition = _target(body, _NO_TARGET)
    if ids is not None:
        return Change(_engine(lambda: _ENGINE.delete_payload(ids, keys)), len(ids))
    return Change(_engine(lambda: _ENGINE.delete_payload_by_filter(condition, keys)))


def clear_payload(body: Any, names: Names) -> Change:
    """Remove all keys from payloads."""
    ids, condition = _target(as_object(body, "PointsSelector"), _NO_SELECTOR)
    if ids is not None:
        return Change(_ENGINE.clear_payload(ids), len(ids))
    return Change(_ENGINE.clear_payload_by_filter(condition))


def update_vectors(body: Any, names: Names) -> Change:
    """Replace named vectors of existing points; their other vectors and payloads stay."""
    body = as_object(body, "struct UpdateVectors")
    rows = to_vectors(body, names)
    operation = _ENGINE.update_vectors(rows, to_filter(body.get("update_filter"), "update_filter"))
    ids = tuple(row.id if isinstance(row.id, int) else str(row.id) for row in rows)
    return Change(operation, len(rows), ids=ids)


def delete_vectors(body: Any, names: Names) -> Change:
    """Remove named vectors of points by ids or filter."""
    body = as_object(body, "struct DeleteVectors")
    wanted = strings(required(body, "vector"))
    for name in wanted:
        names.check(name)
    ids, condition = _target(body, _NO_TARGET)
    if ids is not None:
        return Change(_ENGINE.delete_vectors(ids, wanted), len(ids))
    return Change(_ENGINE.delete_vectors_by_filter(condition, wanted))


KINDS: dict[str, Callable[[Any, Names], Change]] = {
    "upsert": upsert,
    "delete": delete,
    "set_payload": set_payload,
    "overwrite_payload": overwrite_payload,
    "delete_payload": delete_payload,
    "clear_payload": clear_payload,
    "update_vectors": update_vectors,
    "delete_vectors": delete_vectors,
}


def batch(body: Any) -> list[tuple[str, Any]]:
    """The operations of `points/batch` as (kind, body), in order; the bodies are read when their turn comes."""
    operations = []
    for item in as_list(required(as_object(body, "struct UpdateOperations"), "operations")):
        if not isinstance(item, dict) or len(item) != 1 or next(iter(item)) not in KINDS:
            raise bad_format("data did not match any variant of untagged enum UpdateOperation")
        operations.append(next(iter(item.items())))
    return operations


def _with_payload(body: Any, by_ids: Any, by_filter: Any) -> Change:
    body = as_object(body, "struct SetPayload")
    payload = as_object(required(body, "payload"), "a map")
    key = text(body, "key")
    ids, condition = _target(body, _NO_TARGET)
    if ids is not None:
        return Change(_engine(lambda: by_ids(ids, payload, key)), len(ids))
    return Change(_engine(lambda: by_filter(condition, payload, key)))


def _target(body: Json, otherwise: str) -> tuple[list[Any] | None, Any]:
    if body.get("shard_key") is not None:
        raise unsupported("shard keys")
    if body.get("points") is not None:
        ids = point_ids(body["points"])
        if not ids:
            raise bad_request("Empty update request")
        return ids, None
    if body.get("filter") is None:
        raise bad_format(otherwise)
    return None, to_filter(body["filter"])


def _engine(build: Callable[[], edge.UpdateOperation]) -> edge.UpdateOperation:
    try:
        return build()
    except (TypeError, ValueError, OverflowError) as error:
        raise bad_format(str(error).splitlines()[0]) from None
