"""Qdrant's REST API without its client, for the calls of an ingest and of `sluice status`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from sluice.adapters.qdrant.failures import CollectionMissing, applied, asking
from sluice.adapters.qdrant.schema import ensure_collection, path_of
from sluice.adapters.qdrant.transport import Transport, httpx, with_port
from sluice.model.generation import Generation
from sluice.model.points import Point

_DELETE_BATCH = 1000


class QdrantRest:
    """A part of the port VectorIndex over REST. Threads may share it; every call ends within `call_timeout_s`."""

    def __init__(
        self, url: str, api_key: str | None = None, *, connect_timeout_s: float = 5.0, call_timeout_s: float = 30.0
    ) -> None:
        self._http = httpx.Client(
            base_url=with_port(url) + "/",
            headers={"content-type": "application/json"} | ({"api-key": api_key} if api_key else {}),
            timeout=call_timeout_s,
            transport=Transport(url, connect_timeout_s),
        )

    def ensure(self, generation: Generation) -> None:
        """Creates the backing collection, its payload indexes and its alias if they are missing."""
        ensure_collection(self._request, generation)

    def upsert(self, generation: Generation, points: Sequence[Point]) -> None:
        """Writes points in bounded batches; durable when this returns. Raises Terminal on a vector of another shape."""
        from sluice.adapters.qdrant.upload import over_rest, upload  # numpy

        upload(over_rest(self._request), generation.backing_collection, points)

    def delete(self, generation: Generation, chunk_ids: Sequence[UUID]) -> None:
        """Deletes points. Deleting a missing point is a no-op."""
        path = f"{path_of(generation.backing_collection)}/points/delete?wait=true"
        try:
            for start in range(0, len(chunk_ids), _DELETE_BATCH):
                ids = [str(each) for each in chunk_ids[start : start + _DELETE_BATCH]]
                with asking(f"delete {len(ids)} points of {generation.backing_collection}"):
                    applied(self._request("POST", path, {"points": ids}))
        except CollectionMissing:
            return

    def count(self, generation: Generation, tenant: str | None = None, source: UUID | None = None) -> int:
        """Counts points exactly; 0 if the collection is missing."""
        values = {"tenant": tenant, "source_id": str(source) if source else None}
        must = [{"key": key, "match": {"value": value}} for key, value in values.items() if value is not None]
        body = {"exact": True, "filter": {"must": must}}
        try:
            with asking(f"count {generation.backing_collection}"):
                path = f"{path_of(generation.backing_collection)}/points/count"
                return int(self._request("POST", path, body)["count"])
        except CollectionMissing:
            return 0

    def drop(self, generation: Generation) -> None:
        """Deletes the backing collection with its points and alias. Deleting a missing collection is a no-op."""
        with suppress(CollectionMissing), asking(f"drop {generation.backing_collection}"):
            if not isinstance(self._request("DELETE", path_of(generation.backing_collection)), bool):
                raise TypeError("the result of the deletion is not a boolean")

    def ping(self) -> str:
        """Returns the server's version. Raises Unavailable."""
        with asking("read the version"):
            return str(self._http.get("").raise_for_status().json()["version"])

    def close(self) -> None:
        self._http.close()

    def _request(self, method: str, path: str, body: Any = None) -> Any:
        """Returns `result` of Qdrant's answer. `body`: JSON, as an object or encoded as bytes."""
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return self._http.request(method, path, **content).raise_for_status().json()["result"]
