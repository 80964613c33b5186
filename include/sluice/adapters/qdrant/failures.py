"""What Qdrant answers when a call fails, told as the project's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sluice.adapters.qdrant.transport import httpx
from sluice.errors import Terminal, Transient, Unavailable

# Statuses of HTTP, and names of gRPC's.
_MISSING = (404, "NOT_FOUND")
_DENIED = (401, 403, "UNAUTHENTICATED", "PERMISSION_DENIED")
_REFUSED = (
    *(400, 405, 409, 411, 413, 414, 415, 422, 501),
    *("INVALID_ARGUMENT", "ALREADY_EXISTS", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED"),
)
_RATE_LIMITED = 429


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
    if code == _RATE_LIMITED:
        return Transient(f"Qdrant limits the rate ({what}). Nothing of this call was kept; try again later.")
    return Unavailable("qdrant", f"{what} answered {code}: {detail}")


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Raises Unavailable, Transient or Terminal where the body's request fails, or its answer is not one of Qdrant's;
    `what` names the call."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise failure(what, error.response.status_code, error.response.text) from error
    except httpx.RequestError as error:
        raise Unavailable("qdrant", f"{what}: {type(error).__name__} {error}".rstrip()) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Unavailable("qdrant", f"{what}: what answers there is no Qdrant") from error


def applied(result: Any) -> None:
    """Raises ValueError, LookupError or TypeError where `result` does not say that an update, which was waited for, is
    applied."""
    if result["status"] != "completed":
        raise ValueError(f"the update is {result['status']}")
