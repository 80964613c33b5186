"""Qdrant without its client as long as nobody needs it: importing that takes longer than most commands.

Outside of the package `qdrant`, which imports the client.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from sluice.adapters.importing import without
from sluice.adapters.qdrant_transport import Transport
from sluice.errors import Terminal, Transient, Unavailable
from sluice.model import Candidate, Generation, Point, StoredPoint, VectorQuery

with without("httpx._main"):  # its command line, which draws with rich: two thirds of the time
    import httpx

if TYPE_CHECKING:
    from sluice.adapters.qdrant import QdrantIndex

# Statuses of HTTP, and names of gRPC's.
_MISSING = (404, "NOT_FOUND")
_DENIED = (401, 403, "UNAUTHENTICATED", "PERMISSION_DENIED")
_REFUSED = (
    *(400, 405, 409, 411, 413, 414, 415, 422, 501),
    *("INVALID_ARGUMENT", "ALREADY_EXISTS", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED"),
)


class CollectionMissing(Transient):
    """The physical collection is not there; the next run's `ensure` makes it again."""


def failure(what: str, code: int | str | None, detail: str) -> Exception:
    """What Qdrant answered to the call `what`, as the project's error."""
    detail = " ".join(detail.split())[:500]
    if code in _MISSING:
        return CollectionMissing(f"Qdrant does not have what was asked for ({what}): {detail}. Run the ingest again.")
    if code in _DENIED:
        return Terminal(
            f"Qdrant refused the API key ({what}): {detail}. Set SLUICE_QDRANT_API_KEY to the server's key."
        )
    if code in _REFUSED:
        return Terminal(f"Qdrant refused the request ({what}, {code}): {detail}. Nothing of it was kept.")
    return Unavailable("qdrant", f"{what} answered {code}: {detail}")


class QdrantOnDemand:
    """The port VectorIndex: `QdrantIndex`, made by the first call that needs it. The server's version and the count of
    a generation are asked over HTTP. Threads may share it; every call ends within `call_timeout_s`."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        grpc_port: int | None = None,
        *,
        connect_timeout_s: float = 5.0,
        call_timeout_s: float = 30.0,
    ) -> None:
        self._url, self._api_key, self._grpc_port = url, api_key, grpc_port
        self._connect_timeout_s, self._call_timeout_s = connect_timeout_s, call_timeout_s
        self._http = httpx.Client(
            base_url=url.rstrip("/") + "/",
            headers={"api-key": api_key} if api_key else {},
            timeout=call_timeout_s,
            transport=Transport(url, connect_timeout_s),
        )
        self._making = Lock()
        self._made: QdrantIndex | None = None

    def ensure(self, generation: Generation) -> None:
        self._index().ensure(generation)

    def upsert(self, generation: Generation, points: Sequence[Point]) -> None:
        self._index().upsert(generation, points)

    def delete(self, generation: Generation, chunk_ids: Sequence[UUID]) -> None:
        self._index().delete(generation, chunk_ids)

    def search(self, generation: Generation, query: VectorQuery) -> list[Candidate]:
        return self._index().search(generation, query)

    def count(self, generation: Generation, tenant: str | None = None, source: UUID | None = None) -> int:
        """Points, exactly; 0 where the collection is lost."""
        if tenant is not None or source is not None:
            return self._index().count(generation, tenant, source)
        path = f"collections/{quote(generation.physical, safe='')}/points/count"
        try:
            with _asking(f"count {generation.physical}"):
                return int(_answer(self._http.post(path, json={"exact": True}))["result"]["count"])
        except CollectionMissing:
            return 0

    def drop(self, generation: Generation) -> None:
        self._index().drop(generation)

    def points(
        self, generation: Generation, after: UUID | None, limit: int, *, vectors: bool = False
    ) -> list[StoredPoint]:
        return self._index().points(generation, after, limit, vectors=vectors)

    def points_of(
        self, generation: Generation, chunk_ids: Sequence[UUID], *, vectors: bool = False
    ) -> list[StoredPoint]:
        return self._index().points_of(generation, chunk_ids, vectors=vectors)

    def ping(self) -> str:
        """The server's version. Raises Unavailable."""
        with _asking("ask for its version"):
            return str(_answer(self._http.get(""))["version"])

    def close(self) -> None:
        self._http.close()
        if self._made is not None:
            self._made.close()

    def _index(self) -> QdrantIndex:
        with self._making:
            if self._made is None:
                from sluice.adapters.qdrant import QdrantIndex

                self._made = QdrantIndex(
                    self._url,
                    self._api_key,
                    self._grpc_port,
                    connect_timeout_s=self._connect_timeout_s,
                    call_timeout_s=self._call_timeout_s,
                )
            return self._made


def _answer(response: httpx.Response) -> Any:
    return response.raise_for_status().json()


@contextmanager
def _asking(what: str) -> Iterator[None]:
    """Raises Unavailable, Transient or Terminal where the body's call to Qdrant fails; `what` names the call."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise failure(what, error.response.status_code, error.response.text) from error
    except httpx.TransportError as error:
        raise Unavailable("qdrant", f"{what}: {type(error).__name__} {error}".rstrip()) from error
    except (ValueError, LookupError, TypeError) as error:
        raise Unavailable("qdrant", f"{what}: what answers there is no Qdrant") from error
