"""The table of paths and their calls."""

from devstack.qdrant_server import collection_calls as collections
from devstack.qdrant_server import point_calls as points
from devstack.qdrant_server.calls import Handler

OPEN_PATHS = frozenset({"/", "/readyz", "/healthz", "/livez"})
"""Answered without a key."""

_ROUTES: dict[tuple[str, ...], Handler] = {
    ("GET", ""): collections.root,
    ("GET", "readyz"): collections.readyz,
    ("GET", "healthz"): collections.healthz,
    ("GET", "livez"): collections.healthz,
    ("GET", "telemetry"): collections.telemetry,
    ("GET", "aliases"): collections.list_aliases,
    ("GET", "collections"): collections.list_collections,
    ("POST", "collections", "aliases"): collections.change_aliases,
    ("GET", "collections", "*"): collections.get_collection,
    ("PUT", "collections", "*"): collections.create_collection,
    ("PATCH", "collections", "*"): collections.update_collection,
    ("DELETE", "collections", "*"): collections.delete_collection,
    ("GET", "collections", "*", "exists"): collections.collection_exists,
    ("GET", "collections", "*", "aliases"): collections.list_aliases,
    ("PUT", "collections", "*", "index"): collections.create_index,
    ("DELETE", "collections", "*", "index", "*"): collections.delete_index,
    ("PUT", "collections", "*", "points"): points.update("upsert"),
    ("POST", "collections", "*", "points"): points.retrieve,
    ("GET", "collections", "*", "points", "*"): points.get_point,
    ("POST", "collections", "*", "points", "delete"): points.update("delete"),
    ("POST", "collections", "*", "points", "payload"): points.update("set_payload"),
    ("PUT", "collections", "*", "points", "payload"): points.update("overwrite_payload"),
    ("POST", "collections", "*", "points", "payload", "delete"): points.update("delete_payload"),
    ("POST", "collections", "*", "points", "payload", "clear"): points.update("clear_payload"),
    ("PUT", "collections", "*", "points", "vectors"): points.update("update_vectors"),
    ("POST", "collections", "*", "points", "vectors", "delete"): points.update("delete_vectors"),
    ("POST", "collections", "*", "points", "batch"): points.update_batch,
    ("POST", "collections", "*", "points", "scroll"): points.scroll,
    ("POST", "collections", "*", "points", "count"): points.count_points,
    ("POST", "collections", "*", "facet"): points.facet,
    ("POST", "collections", "*", "points", "query"): points.query_points,
    ("POST", "collections", "*", "points", "query", "batch"): points.query_batch,
}


def find(method: str, segments: list[str]) -> tuple[Handler | None, list[str]]:
    """The function for a path, and the names in it (collection, then point id or field)."""
    if handler := _ROUTES.get((method, *segments)):
        return handler, []
    if len(segments) < 2 or segments[0] != "collections":
        return None, []
    collection, rest = segments[1], segments[2:]
    if handler := _ROUTES.get((method, "collections", "*", *rest)):
        return handler, [collection]
    if len(rest) == 2 and (handler := _ROUTES.get((method, "collections", "*", rest[0], "*"))):
        return handler, [collection, rest[1]]
    return None, []
