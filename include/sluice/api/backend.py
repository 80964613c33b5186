"""State that the routes share: dependencies (built on first use, closed on shutdown), thread pools, upload limits."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from threading import Lock, Thread
from typing import Any

from fastapi import Request

from sluice.api.limits import MAX_FORMS, BoundedExecutor, Result, UploadSlots
from sluice.api.quota_check import QuotaCheck
from sluice.errors import Terminal, Unavailable, shown_text
from sluice.wiring.application import Sluice

log = logging.getLogger(__name__)


class Backend:
    """One per app, on `app.state.backend`."""

    def __init__(self, factory: Callable[[], Sluice]) -> None:
        self._factory = factory
        self._lock = Lock()
        self._sluice: Sluice | None = None
        self.calls = BoundedExecutor(threads=16, max_waiting=64)
        self.forms = UploadSlots(MAX_FORMS)
        self.quotas = QuotaCheck()
        # A store that hangs must not take the searches' threads.
        self.probes = BoundedExecutor(threads=8, max_waiting=64)

    @property
    def sluice(self) -> Sluice:
        """Blocks while the dependencies are built. After a failure the next call tries again. Raises Unavailable."""
        with self._lock:
            if self._sluice is None:
                try:
                    self._sluice = self._factory()
                except Terminal as error:
                    log.error("The query service cannot be set up: %s", error)
                    raise Unavailable(
                        "The query service", "its settings are not complete", "Its log names what is missing."
                    ) from error
            return self._sluice

    def warm_up(self) -> None:
        """Builds and prepares the dependencies in a thread. Neither delays nor fails the start of the server."""
        Thread(target=self._warm, name="sluice-warm-up", daemon=True).start()

    def _warm(self) -> None:
        try:
            self.sluice.warm_up()
        except Exception as error:  # the first call tries again, and reports it to its caller
            log.warning("The query service could not be prepared: %s", shown_text(error))

    def close(self) -> None:
        """Closes every connection. Safe to call twice."""
        with self._lock:
            sluice, self._sluice = self._sluice, None
        if sluice is not None:
            sluice.close()


def backend_of(request: Request) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


def in_thread(work: Callable[..., Result]) -> Callable[..., Awaitable[Result]]:
    """Makes a route of a blocking function. The route runs it in a thread of `Backend.calls`, with the dependencies as
    its first argument; its other parameters are those of the route."""

    @wraps(work)
    async def route(request: Request, **values: Any) -> Result:
        backend = backend_of(request)
        return await backend.calls.run(lambda: work(backend.sluice, **values))

    _, *parameters = inspect.signature(work).parameters.values()
    parameters.append(inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Request))
    route.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # which FastAPI reads
    return route
