"""Uploads of points to Qdrant over gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qdrant_client import QdrantClient
from qdrant_client import grpc as messages

from sluice.adapters.qdrant.client_failures import asking_client
from sluice.adapters.qdrant.schema import DENSE, SPARSE
from sluice.adapters.qdrant.upload import Send
from sluice.model.points import Point


def over_grpc(client: QdrantClient, timeout_s: float) -> Send:
    """Returns a function that writes one batch over gRPC and waits until it is applied, at most `timeout_s`."""

    def send(collection: str, points: Sequence[Point]) -> None:
        request = messages.UpsertPoints(collection_name=collection, wait=True)
        for point in points:
            _fill(request.points.add(), point)
        with asking_client(f"upsert {len(points)} points into {collection}"):
            client.grpc_points.Upsert(request, timeout=timeout_s)

    return send


def _fill(row: Any, point: Point) -> None:
    row.id.uuid = str(point.chunk_id)
    vectors = row.vectors.vectors.vectors
    vectors[DENSE].dense.data.extend(point.dense.tolist())
    sparse = vectors[SPARSE].sparse
    sparse.indices.extend(point.sparse.indices.tolist())
    sparse.values.extend(point.sparse.values.tolist())
    for key, value in point.payload.items():
        _set_value(row.payload[key], value)


def _set_value(target: Any, value: Any) -> None:
    """Writes a JSON value into a protobuf value; types that JSON lacks (dates, ids) become strings."""
    if value is None:
        target.null_value = 0
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.integer_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, dict):
        target.struct_value.SetInParent()
        for key, inner in value.items():
            _set_value(target.struct_value.fields[str(key)], inner)
    elif isinstance(value, (list, tuple)):
        target.list_value.SetInParent()
        for inner in value:
            _set_value(target.list_value.values.add(), inner)
    else:
        target.string_value = value.isoformat() if hasattr(value, "isoformat") else str(value)
