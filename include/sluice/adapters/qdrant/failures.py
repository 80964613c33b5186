"""What Qdrant's client raises, over REST and gRPC, told as the project's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import httpx
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from sluice.adapters.qdrant_on_demand import CollectionMissing, failure
from sluice.errors import Transient, Unavailable

__all__ = ["CollectionMissing", "asking"]


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Raises Unavailable, Transient or Terminal where the body's call to Qdrant fails; `what` names the call."""
    try:
        yield
    except UnexpectedResponse as error:
        raise failure(what, error.status_code, _text(error.content)) from error
    except httpx.HTTPStatusError as error:
        raise failure(what, error.response.status_code, error.response.text) from error
    except (ResponseHandlingException, httpx.TransportError) as error:
        source = getattr(error, "source", error)
        raise Unavailable("qdrant", f"{what}: {type(source).__name__} {source}".rstrip()) from error
    except ResourceExhaustedResponse as error:
        raise Transient(f"Qdrant limits the rate ({what}). Nothing of this call was kept; try again later.") from error
    except grpc.RpcError as error:
        code = error.code()
        raise failure(what, code.name if code else None, error.details() or "") from error


def _text(content: bytes | str | None) -> str:
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content or "")
