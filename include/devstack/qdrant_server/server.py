"""The HTTP server: requests, API key, envelope of answers, and the server's lifecycle."""

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from pydantic_core import to_json

from devstack.qdrant_server import optimizer
from devstack.qdrant_server.calls import Call, Text
from devstack.qdrant_server.errors import ApiError, unsupported
from devstack.qdrant_server.routes import OPEN_PATHS, find
from devstack.qdrant_server.store import Store

MAX_BODY_BYTES = 32 * 1024 * 1024
_JSON = b"application/json"
_TEXT = b"text/plain; charset=utf-8"

_log = logging.getLogger("devstack.qdrant_server")

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class Application:
    """An ASGI application over a store. `api_key` None: no authentication, as in Qdrant."""

    def __init__(self, store: Store, api_key: str | None) -> None:
        self._store = store
        self._key = api_key.encode() if api_key else None
        self._background: asyncio.Task[None] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answers one request, or handles the server's start and stop."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            event = (await receive())["type"]
            if event == "lifespan.startup":
                self._background = asyncio.create_task(optimizer.run(self._store))
            else:
                if self._background is not None:
                    self._background.cancel()
                    with suppress(asyncio.CancelledError):
                        await self._background
                self._store.close()
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return

    async def _answer(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        path = scope["path"]
        if path not in OPEN_PATHS and (rejection := self._rejection(scope["headers"])):
            await _send(send, 401, rejection.encode(), _TEXT)
            return
        try:
            result = await self._result(scope, receive)
            if isinstance(result, Text):
                await _send(send, 200, result.encode(), _TEXT if not result.startswith("{") else _JSON)
                return
            status, envelope = 200, {"result": result, "status": "ok"}
        except ApiError as error:
            status, envelope = error.status, {"status": {"error": error.text}}
        except OSError as error:
            _log.exception("%s %s failed", scope["method"], path)
            status, envelope = 500, {"status": {"error": f"Service internal error: {error}"}}
        except Exception as error:
            _log.exception("%s %s failed", scope["method"], path)
            status, envelope = 500, {"status": {"error": f"Service internal error: {type(error).__name__}: {error}"}}
        envelope["time"] = time.perf_counter() - began
        await _send(send, status, to_json(envelope), _JSON)

    async def _result(self, scope: dict[str, Any], receive: Receive) -> Any:
        method, path = scope["method"], scope["raw_path"].decode("ascii", errors="replace")
        segments = [unquote(part) for part in path.strip("/").split("/")]
        handler, names = find(method, segments)
        if handler is None:
            raise unsupported(f"the call {method} {unquote(path)}")
        body = await _body(scope, receive)
        call = Call(self._store, names, _query(scope["query_string"]), body)
        return await handler(call)

    def _rejection(self, headers: list[tuple[bytes, bytes]]) -> str | None:
        if self._key is None:
            return None
        given = None
        for name, value in headers:
            if name == b"api-key":
                given = value
            elif name == b"authorization" and given is None and value[:7].lower() == b"bearer ":
                given = value[7:].strip()
        if given is None:
            return "Must provide an API key or an Authorization bearer token"
        return None if hmac.compare_digest(given, self._key) else "Invalid API key or JWT"


def _query(raw: bytes) -> dict[str, str]:
    pairs = (part.partition("=") for part in raw.decode("ascii", errors="replace").split("&") if part)
    return {name: unquote(value) for name, _, value in pairs}


async def _body(scope: dict[str, Any], receive: Receive) -> bytes:
    announced = next((int(v) for k, v in scope["headers"] if k == b"content-length" and v.isdigit()), 0)
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ApiError(400, "Bad request: the client disconnected before its request was complete")
        part = message.get("body", b"")
        size += len(part)
        # A body that is too large is read to its end and discarded: if the connection were closed while the client
        # sends, it would see a broken connection, not the answer.
        if size <= MAX_BODY_BYTES:
            parts.append(part)
        else:
            parts.clear()
        if not message.get("more_body"):
            break
    if size > MAX_BODY_BYTES:
        size = max(size, announced)
        raise ApiError(400, f"JSON payload ({size} bytes) is larger than allowed (limit: {MAX_BODY_BYTES} bytes).")
    return b"".join(parts)


async def _send(send: Send, status: int, body: bytes, content_type: bytes) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
