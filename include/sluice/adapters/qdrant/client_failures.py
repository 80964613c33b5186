"""Translates errors of Qdrant's client, over REST and gRPC, into the project's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from sluice.adapters.qdrant.failures import failure, no_answer


@contextmanager
def asking_client(what: str) -> Iterator[None]:
    """Translates a failure of the body's call to Qdrant into Unavailable, Slow, Transient or Terminal; `what` names
    the call."""
    try:
        yield
    except UnexpectedResponse as error:
        raise failure(what, error.status_code, _text(error.content)) from error
    except ResponseHandlingException as error:
        raise no_answer(what, error.source) from error
    except ResourceExhaustedResponse as error:
        raise failure(what, 429, str(error)) from error
    except grpc.RpcError as error:
        code = error.code()
        raise failure(what, code.name if code else None, error.details() or "") from error


def _text(content: bytes | str | None) -> str:
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content or "")
