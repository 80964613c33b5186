"""What Qdrant's client raises, over REST and gRPC, told as the project's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import httpx
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from sluice.errors import Terminal, Transient, Unavailable

_MISSING = (404, grpc.StatusCode.NOT_FOUND)
_DENIED = (401, 403, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
_REFUSED = (
    *(400, 405, 409, 411, 413, 414, 415, 422, 501),
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNIMPLEMENTED,
)


class CollectionMissing(Transient):
    """The physical collection is not there; the next run's `ensure` makes it again."""


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Raises Unavailable, Transient or Terminal where the body's call to Qdrant fails; `what` names the call."""
    try:
        yield
    except UnexpectedResponse as error:
        raise _failure(what, error.status_code, _text(error.content)) from error
    except httpx.HTTPStatusError as error:
        raise _failure(what, error.response.status_code, error.response.text) from error
    except (ResponseHandlingException, httpx.TransportError) as error:
        source = getattr(error, "source", error)
        raise Unavailable("qdrant", f"{what}: {type(source).__name__} {source}".rstrip()) from error
    except ResourceExhaustedResponse as error:
        raise Transient(f"Qdrant limits the rate ({what}). Nothing of this call was kept; try again later.") from error
    except grpc.RpcError as error:
        raise _failure(what, error.code(), error.details() or "") from error


def _failure(what: str, code: int | grpc.StatusCode | None, detail: str) -> Exception:
    detail = " ".join(detail.split())[:500]
    name = code.name if isinstance(code, grpc.StatusCode) else code
    if code in _MISSING:
        return CollectionMissing(f"Qdrant does not have what was asked for ({what}): {detail}. Run the ingest again.")
    if code in _DENIED:
        return Terminal(
            f"Qdrant refused the API key ({what}): {detail}. Set SLUICE_QDRANT_API_KEY to the server's key."
        )
    if code in _REFUSED:
        return Terminal(f"Qdrant refused the request ({what}, {name}): {detail}. Nothing of it was kept.")
    return Unavailable("qdrant", f"{what} answered {name}: {detail}")


def _text(content: bytes | str | None) -> str:
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content or "")
