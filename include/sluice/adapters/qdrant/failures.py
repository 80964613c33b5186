"""Translates Qdrant's error responses into the project's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sluice.adapters.qdrant.transport import httpx
from sluice.errors import Slow, Terminal, Transient, Unavailable

# HTTP status codes, and names of gRPC status codes.
_MISSING = (404, "NOT_FOUND")
_DENIED = (401, 403, "UNAUTHENTICATED", "PERMISSION_DENIED")
_REFUSED = (
    *(400, 405, 409, 411, 413, 414, 415, 422, 501),
    *("INVALID_ARGUMENT", "ALREADY_EXISTS", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED"),
)
_RATE_LIMITED = 429
_DEADLINE = "DEADLINE_EXCEEDED"


class CollectionMissing(Transient):
    """The backing collection is missing; `ensure` of the next run creates it."""


def failure(what: str, code: int | str | None, detail: str) -> Exception:
    """Returns the project's error for the status `code` of the call `what`."""
    detail = " ".join(detail.split())[:500]
    if code in _MISSING:
        return CollectionMissing(f"Qdrant answered not found ({what}): {detail}. Run the ingest again.")
    if code in _DENIED:
        return Terminal(
            f"Qdrant refused the API key ({what}): {detail}. Set SLUICE_QDRANT_API_KEY to the server's key."
        )
    if code in _REFUSED:
        return Terminal(f"Qdrant rejected the request ({what}, {code}): {detail}. No part of it was stored.")
    if code == _RATE_LIMITED:
        return Transient(f"Qdrant limits the rate ({what}). No part of this call was stored; try again later.")
    if code == _DEADLINE:
        return Slow("qdrant", what)
    return Unavailable("qdrant", f"{what} answered {code}: {detail}")


def no_answer(what: str, error: Exception) -> Unavailable:
    """Returns the project's error for the call `what` that got no answer."""
    if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
        return Slow("qdrant", what)
    return Unavailable("qdrant", f"{what}: {type(error).__name__} {error}")


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Translates a failure of the body's request, or an answer that is not Qdrant's, into Unavailable, Slow,
    Transient or Terminal; `what` names the call."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise failure(what, error.response.status_code, error.response.text) from error
    except httpx.RequestError as error:
        raise no_answer(what, error) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Unavailable("qdrant", f"{what}: the server at this address is not Qdrant") from error


def applied(result: Any) -> None:
    """Raises ValueError, LookupError or TypeError unless `result` says that an update (sent with `wait=true`) is
    applied."""
    if result["status"] != "completed":
        raise ValueError(f"the update is {result['status']}")
