"""Uploads of points to Qdrant in bounded batches, two requests at a time.

The client's own models take longer than the server's work (they validate each vector float by float), so a batch is
encoded here: protobuf over gRPC, JSON over REST. 3,400 points of 384 + 60 terms on two cores: 0.4 s and 0.8 s.
Every request waits until it is applied: a request that is only acknowledged may still fail without an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from pydantic_core import to_json

from sluice.adapters.qdrant.failures import applied, asking
from sluice.adapters.qdrant.schema import DENSE, SPARSE, Request, path_of
from sluice.errors import Terminal
from sluice.model.points import Point
from sluice.model.sizes import split_by_size

Send = Callable[[str, Sequence[Point]], None]
_BATCH_POINTS = 500
_BATCH_BYTES = 4_000_000  # of vectors; about four times that as JSON, half of the server's default limit of 32 MB
_PARALLEL = 2
_DECIMALS = 8  # in JSON: finer than the spacing of float32 near the components of a unit vector


def upload(send: Send, collection: str, points: Sequence[Point]) -> None:
    """Sends all points and waits until they are applied. Raises what `send` raises; earlier batches stay written."""
    parts = list(split_by_size(points, _checked_bytes, _BATCH_BYTES, _BATCH_POINTS))
    if len(parts) < 2:
        for part in parts:
            send(collection, part)
        return
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="qdrant-upload") as pool:
        futures = [pool.submit(send, collection, part) for part in parts]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _checked_bytes(point: Point) -> int:
    """Returns the size of the point's vectors. Raises Terminal on NaN or infinity."""
    if not (np.isfinite(point.dense).all() and np.isfinite(point.sparse.values).all()):
        raise Terminal(f"The vector of chunk {point.chunk_id} contains NaN or infinity. It was not written.")
    return int(point.dense.nbytes + point.sparse.indices.nbytes + point.sparse.values.nbytes)


def over_rest(request: Request) -> Send:
    """Returns a function that writes one batch over REST and waits until it is applied."""

    def send(collection: str, points: Sequence[Point]) -> None:
        body = to_json({"points": [_as_json(point) for point in points]})
        with asking(f"upsert {len(points)} points into {collection}"):
            applied(request("PUT", f"{path_of(collection)}/points?wait=true", body))

    return send


def _as_json(point: Point) -> dict[str, Any]:
    return {
        "id": str(point.chunk_id),
        "vector": {
            DENSE: np.round(point.dense.astype(np.float64), _DECIMALS).tolist(),
            SPARSE: {"indices": point.sparse.indices.tolist(), "values": point.sparse.values.tolist()},
        },
        "payload": dict(point.payload),
    }
