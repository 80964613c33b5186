"""The universal query of Qdrant's REST API as the engine's query requests.

Fusion (RRF with any `k` and weights, DBSF) is the engine's own: its planner pushes the outer filter down to the
prefetches exactly as the server's does. What the server adds around the engine is done here: queries by point id are
resolved to that point's vector, and points that a request refers to are left out of its answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import qdrant_edge as edge

from devstack.qdrant_server.body import Json, PointId, as_list, as_object, count, flag, number, point_id, text
from devstack.qdrant_server.errors import ApiError, bad_format, bad_request, unsupported
from devstack.qdrant_server.filters import excluding, to_filter
from devstack.qdrant_server.points import Names, to_vector
from devstack.qdrant_server.selectors import Shown, to_shown

DEFAULT_LIMIT = 10
_DEFAULT_RRF_K = 2
_NO_QUERY = "Expected some form of vector, id, or a type of query"
_UNSUPPORTED = ("recommend", "discover", "context", "formula", "relevance_feedback")

Resolver = Callable[[PointId, str], Any]
"""Returns the vector of a point under a name; raises ApiError 404 if there is none."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Data of a collection that reading a request needs."""

    names: Names
    resolve: Resolver


def to_query(body: Any, reading: Reading, path: str = "internal") -> tuple[edge.QueryRequest, Shown]:
    """One query request and what its answer shows. Raises ApiError.

    An absent `query` scrolls; `path` names the place of the request in the body, for messages.
    """
    body = as_object(body, "struct QueryRequest")
    limit = count(body, "limit", DEFAULT_LIMIT, path)
    offset = count(body, "offset", 0, path, least=0)
    stage = _stage(body, reading, path)
    if stage.prefetches and stage.query is None:
        raise bad_request("A query is needed to merge the prefetches. Can't have prefetches without defining a query.")
    shown = to_shown(body, payload_default=False)
    request = edge.QueryRequest(
        limit=limit,
        offset=offset,
        query=stage.query,
        prefetches=stage.prefetches,
        with_vector=shown.vector,
        with_payload=shown.payload,
        filter=excluding(stage.filter, stage.referenced),
        score_threshold=stage.score_threshold,
        params=stage.params,
    )
    return request, shown


@dataclass(frozen=True, slots=True)
class _Stage:
    query: Any
    prefetches: list[edge.Prefetch]
    filter: edge.Filter | None
    referenced: list[PointId]
    score_threshold: float | None
    params: edge.SearchParams | None


def _stage(body: Json, reading: Reading, path: str) -> _Stage:
    for name in ("lookup_from", "shard_key"):
        if body.get(name) is not None:
            raise unsupported(f"`{name}` in a query")
    referenced: list[PointId] = []
    given = body.get("prefetch") or []
    prefetches = []
    for index, item in enumerate(given if isinstance(given, list) else [given]):
        prefetch, ids = _prefetch(item, reading, f"{path}.prefetch[{index}]")
        prefetches.append(prefetch)
        referenced += ids
    query = _query(body.get("query"), text(body, "using") or "", reading, referenced, path)
    return _Stage(
        query,
        prefetches,
        to_filter(body.get("filter"), f"{path}.filter"),
        referenced,
        number(body, "score_threshold"),
        _params(body.get("params")),
    )


def _prefetch(value: Any, reading: Reading, path: str) -> tuple[edge.Prefetch, list[PointId]]:
    body = as_object(value, "struct Prefetch")
    limit = count(body, "limit", DEFAULT_LIMIT, path)
    stage = _stage(body, reading, path)
    prefetch = edge.Prefetch(
        limit=limit,
        query=stage.query,
        prefetches=stage.prefetches,
        params=stage.params,
        filter=excluding(stage.filter, stage.referenced),
        score_threshold=stage.score_threshold,
    )
    return prefetch, stage.referenced


def _query(value: Any, using: str, reading: Reading, referenced: list[PointId], path: str) -> Any:
    if value is None:
        return None
    if isinstance(value, dict) and "indices" not in value:
        return _typed(value, using, reading, referenced, path)
    return _nearest(value, using, reading, referenced, f"{path}.query")


def _typed(value: Json, using: str, reading: Reading, referenced: list[PointId], path: str) -> Any:
    for name in _UNSUPPORTED:
        if name in value:
            raise unsupported(f"the query `{name}`")
    if "nearest" in value:
        if value.get("mmr") is not None:
            raise unsupported("the query parameter `mmr`")
        return _nearest(value["nearest"], using, reading, referenced, f"{path}.query.nearest")
    if value.get("fusion") == "rrf":
        return edge.Fusion.Rrf(_DEFAULT_RRF_K)
    if value.get("fusion") == "dbsf":
        return edge.Fusion.Dbsf()
    if isinstance(value.get("rrf"), dict):
        return _rrf(value["rrf"], f"{path}.query.rrf")
    if "order_by" in value:
        return order_by(value["order_by"])
    if value.get("sample") == "random":
        return edge.Sample.Random
    raise bad_format(_NO_QUERY)


def _rrf(value: Json, path: str) -> Any:
    k, weights = count(value, "k", _DEFAULT_RRF_K, path), value.get("weights")
    if weights is None:
        return edge.Fusion.Rrf(k)
    return _engine(lambda: edge.Fusion.Rrf(k, as_list(weights)))


def _nearest(value: Any, using: str, reading: Reading, referenced: list[PointId], path: str) -> Any:
    if isinstance(value, int | str):
        try:
            identity = point_id(value)
        except ApiError:
            raise bad_format(_NO_QUERY) from None
        referenced.append(identity)
        return edge.Query.Nearest(reading.resolve(identity, using), using=using)
    if isinstance(value, dict) and not {"indices", "values"} <= value.keys():
        raise unsupported("inference in a query") if "model" in value else bad_format(_NO_QUERY)
    if not isinstance(value, dict | list):
        raise bad_format(_NO_QUERY)
    return _engine(lambda: edge.Query.Nearest(to_vector(value, using, reading.names, path), using=using))


def order_by(value: Any) -> Any:
    """`order_by` of a scroll or a query: a key, or an object with key, direction and start_from."""
    body = {"key": value} if isinstance(value, str) else as_object(value, "struct OrderBy")
    key, direction = body.get("key"), body.get("direction") or "asc"
    if not isinstance(key, str) or direction not in ("asc", "desc"):
        raise bad_format("data did not match any variant of untagged enum OrderByInterface")
    way = edge.Direction.Asc if direction == "asc" else edge.Direction.Desc
    return _engine(lambda: edge.OrderBy(key, way, body.get("start_from")))


def _params(value: Any) -> edge.SearchParams | None:
    if value is None:
        return None
    body = as_object(value, "struct SearchParams")
    ef = count(body, "hnsw_ef", 0, "params", least=0)
    return edge.SearchParams(
        hnsw_ef=ef or None, exact=flag(body, "exact", False), indexed_only=flag(body, "indexed_only", False)
    )


def _engine(build: Callable[[], Any]) -> Any:
    try:
        return build()
    except (TypeError, ValueError, OverflowError):
        raise bad_format(_NO_QUERY) from None
