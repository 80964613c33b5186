"""What an ingest and `sluice status` ask of Qdrant: requests over REST, without its client."""

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
    """Threads may share it; every call ends within `call_timeout_s`."""

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
        """Physical collection, payload indexes and alias exist when this returns."""
        ensure_collection(self._request, generation)

    def upsert(self, generation: Generation, points: Sequence[Point]) -> None:
        """In bounded batches; durable when this returns. Raises Terminal on a vector of another shape."""
        from sluice.adapters.qdrant.upload import over_rest, upload  # numpy

        upload(over_rest(self._request), generation.physical, points)

    def delete(self, generation: Generation, chunk_ids: Sequence[UUID]) -> None:
        """Deleting what is missing does nothing."""
        path = f"{path_of(generation.physical)}/points/delete?wait=true"
        try:
            for start in range(0, len(chunk_ids), _DELETE_BATCH):
                ids = [str(each) for each in chunk_ids[start : start + _DELETE_BATCH]]
                with asking(f"delete {len(ids)} points of {generation.physical}"):
                    applied(self._request("POST", path, {"points": ids}))
        except CollectionMissing:
            return

    def count(self, generation: Generation, tenant: str | None = None, source: UUID | None = None) -> int:
        """Points, exactly; 0 where the collection is lost."""
        values = {"tenant": tenant, "source_id": str(source) if source else None}
        must = [{"key": key, "match": {"value": value}} for key, value in values.items() if value is not None]
        body = {"exact": True, "filter": {"must": must}}
        try:
            with asking(f"count {generation.physical}"):
                return int(self._request("POST", f"{path_of(generation.physical)}/points/count", body)["count"])
        except CollectionMissing:
            return 0

    def drop(self, generation: Generation) -> None:
        """The backing collection, with all points and its alias. Deleting what is missing does nothing."""
        with suppress(CollectionMissing), asking(f"drop {generation.physical}"):
            if not isinstance(self._request("DELETE", path_of(generation.physical)), bool):
                raise TypeError("it neither removed the collection nor missed it")

    def ping(self) -> str:
        """The server's version. Raises Unavailable."""
        with asking("ask for its version"):
            return str(self._http.get("").raise_for_status().json()["version"])

    def close(self) -> None:
        self._http.close()

    def _request(self, method: str, path: str, body: Any = None) -> Any:
        """The `result` of Qdrant's answer; `body` is JSON, as an object or encoded."""
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return self._http.request(method, path, **content).raise_for_status().json()["result"]
