"""The calls about points."""

from typing import Any

import qdrant_edge as edge

from devstack.qdrant_server import render, updates
from devstack.qdrant_server.body import as_list, as_object, count, flag, point_id, point_ids, required
from devstack.qdrant_server.calls import Call, Handler, done, engine
from devstack.qdrant_server.errors import ApiError, not_found, wrong_input
from devstack.qdrant_server.filters import to_filter
from devstack.qdrant_server.queries import DEFAULT_LIMIT, order_by, to_query
from devstack.qdrant_server.selectors import Shown, to_shown

_NO_OFFSET = (
    "Cannot use an `offset` when using `order_by`. The alternative for paging is to use `order_by.start_from` and a "
    "filter to exclude the IDs that you've already seen for the `order_by.start_from` value"
)


async def retrieve(call: Call) -> Any:
    """Points by ids, in that order; unknown ids are left out."""
    body = as_object(call.body, "struct PointRequest")
    ids: list[Any] = point_ids(required(body, "ids"))
    collection = call.collection
    shown = to_shown(body, payload_default=False)
    records = engine(lambda: collection.shard.retrieve(ids, shown.payload, shown.vector))
    return [render.record(record, shown) for record in records]


async def get_point(call: Call) -> Any:
    """One point with all it has."""
    try:
        identity = point_id(int(call.names[1]) if call.names[1].isdecimal() else call.names[1])
    except ApiError:
        raise wrong_input(f'Can not recognize "{call.names[1]}" as point id') from None
    records = call.collection.shard.retrieve([identity], True, True)
    if not records:
        raise not_found(f"Point with id {identity} does not exists!")
    return render.record(records[0], Shown(True, True))


async def scroll(call: Call) -> Any:
    """A page of points, by id or by an indexed field."""
    body = as_object(call.body, "struct ScrollRequest")
    limit = count(body, "limit", DEFAULT_LIMIT, "scroll_request")
    offset = point_id(body["offset"]) if body.get("offset") is not None else None
    order = order_by(body["order_by"]) if body.get("order_by") is not None else None
    condition = to_filter(body.get("filter"), "scroll_request.filter")
    collection = call.collection
    shown = to_shown(body, payload_default=True)
    if order is not None and offset is not None:
        raise wrong_input(_NO_OFFSET)
    request = edge.ScrollRequest(offset, limit, condition, shown.payload, shown.vector, order)
    records, following = engine(lambda: collection.shard.scroll(request))
    return {"points": [render.record(record, shown) for record in records], "next_page_offset": following}


async def count_points(call: Call) -> Any:
    """How many points match."""
    body = as_object(call.body, "struct CountRequest")
    request = edge.CountRequest(flag(body, "exact", True), to_filter(body.get("filter"), "count_request.filter"))
    collection = call.collection
    return {"count": engine(lambda: collection.shard.count(request))}


async def facet(call: Call) -> Any:
    """Values of an indexed field with their counts."""
    body = as_object(call.body, "struct FacetRequest")
    key, limit = str(required(body, "key")), count(body, "limit", DEFAULT_LIMIT, "facet_request")
    condition = to_filter(body.get("filter"), "facet_request.filter")
    collection = call.collection
    answer = engine(
        lambda: collection.shard.facet(edge.FacetRequest(key, limit, flag(body, "exact", False), condition))
    )
    return {"hits": [{"value": hit.value, "count": hit.count} for hit in answer.hits]}


async def query_points(call: Call) -> Any:
    """The universal query."""
    body, collection = call.body, call.collection
    request, shown = engine(lambda: to_query(body, collection.reading))
    found = engine(lambda: collection.shard.query(request))
    return {"points": [render.scored(point, shown) for point in found]}


async def query_batch(call: Call) -> Any:
    """Several universal queries, answered in order."""
    searches, collection = as_list(required(as_object(call.body, "struct Batch"), "searches")), call.collection
    if not searches:
        return []
    read = engine(
        lambda: [
            to_query(search, collection.reading, f"searches[{index}].internal") for index, search in enumerate(searches)
        ]
    )
    requests = edge.QueryBatchRequest([request for request, _ in read])
    answers = engine(lambda: collection.shard.query_batch(requests))
    return [
        {"points": [render.scored(point, shown) for point in found]}
        for found, (_, shown) in zip(answers, read, strict=True)
    ]


async def update_batch(call: Call) -> Any:
    """Several updates in order; those before a failing one stay, as in Qdrant."""
    wait, operations, collection, answers = call.wait, updates.batch(call.body), call.collection, []
    async with collection.gate:
        for kind, body in operations:
            number = collection.apply(updates.KINDS[kind](body, collection.names))
            answers.append(done(number, wait))
    return answers


def update(kind: str) -> Handler:
    """The call for one kind of update."""

    async def handler(call: Call) -> Any:
        wait, body, collection = call.wait, call.body, call.collection
        change = updates.KINDS[kind](body, collection.names)
        async with collection.gate:
            return done(collection.apply(change), wait)

    return handler
