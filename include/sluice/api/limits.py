"""Limits checked before any work starts: size of the body, NUL characters, number of concurrent calls and uploads."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from typing import TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sluice.api.problems import problem

Result = TypeVar("Result")

MAX_BODY_BYTES = 64 * 1024
MAX_UPLOAD_BYTES = 20 * 1024 * 1024  # of a form with one document; it is held in memory until it is encrypted
UPLOADS = "/api/v1/documents"
MAX_FORMS = 8  # in memory at once, of `MAX_UPLOAD_BYTES` each
FORM_TIMEOUT_S = 120.0  # for a form to arrive
MAX_RETRY_AFTER_S = 30
_RECENT = 0.1  # weight of one call in the mean time of recent calls


def _max_bytes(request: Request) -> int:
    upload = request.method == "POST" and request.url.path.endswith(UPLOADS)
    return MAX_UPLOAD_BYTES if upload else MAX_BODY_BYTES


def _too_large(max_bytes: int) -> str:
    return f"The body is larger than {max_bytes // 1024} KiB. Nothing was stored. Send a smaller one."


class RequestLimits:
    """ASGI middleware. Also counts the bytes received, because Content-Length may be missing or wrong."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        max_bytes = _max_bytes(request)
        length = request.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > max_bytes:
            await problem(request, 413, _too_large(max_bytes))(scope, receive, send)
            return
        if "\x00" in scope["path"] or b"%00" in scope.get("query_string", b""):
            await problem(request, 422, "The address contains a NUL character; remove it.")(scope, receive, send)
            return
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > max_bytes:
                raise HTTPException(413, _too_large(max_bytes))
            return message

        await self._app(scope, receive_counted, send)


class BoundedExecutor:
    """Runs blocking calls in threads that are separate from the server's shared threads.

    A call that would wait too long is turned away when it arrives, by the number of calls before it and the mean time
    of recent ones. One that did wait too long is turned away in place of being run: its caller has probably left, and
    so the queue of a server that was stuck is empty again at once.
    """

    def __init__(self, threads: int, max_waiting: int, longest_wait_s: float = 2.0) -> None:
        self._limiter = CapacityLimiter(threads)
        self._threads, self._most, self._longest_wait_s = threads, threads + max_waiting, longest_wait_s
        self._taken = 0  # counted here: a burst arrives before the limiter has seen any of it
        self._mean_s = 0.0  # exponential moving average; written by one thread at a time or slightly off

    async def run(self, call: Callable[[], Result], abandon: bool = False) -> Result:
        """Runs `call` in a thread. `abandon`: a cancelled caller does not wait for its thread.

        Raises HTTPException 503 with Retry-After when the queue is full or too slow."""
        wait_s = self._mean_s * (self._taken - self._threads + 1) / self._threads
        if self._taken >= self._most or wait_s > self._longest_wait_s:
            raise _overloaded(wait_s)
        came_s = time.monotonic()

        def timed() -> Result:
            started_s = time.monotonic()
            if started_s - came_s > self._longest_wait_s:
                raise _overloaded(started_s - came_s)
            try:
                return call()
            finally:
                self._mean_s += _RECENT * (time.monotonic() - started_s - self._mean_s)

        self._taken += 1
        try:
            return await anyio.to_thread.run_sync(timed, limiter=self._limiter, abandon_on_cancel=abandon)
        finally:
            self._taken -= 1


def _overloaded(wait_s: float) -> HTTPException:
    retry_after_s = min(max(1, ceil(wait_s)), MAX_RETRY_AFTER_S)
    detail = "Too many calls are waiting; try again shortly."
    return HTTPException(503, detail, {"Retry-After": str(retry_after_s)})


class UploadSlots:
    """Limits concurrent uploads, which are held in memory. One caller gets at most half of the slots."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._taken: Counter[str] = Counter()

    @contextmanager
    def slot(self, caller: str) -> Iterator[None]:
        """Holds one slot. Raises HTTPException 503 if none is free, 429 if the caller holds too many."""
        wait = {"Retry-After": "5"}
        if self._taken.total() >= self._slots:
            raise HTTPException(503, "Too many uploads arrive at once; try again shortly.", wait)
        if self._taken[caller] >= max(1, self._slots // 2):
            raise HTTPException(429, "You send too many uploads at once; send them one after another.", wait)
        self._taken[caller] += 1
        try:
            yield
        finally:
            self._taken[caller] -= 1
            self._taken += Counter()  # removes callers whose count is zero
