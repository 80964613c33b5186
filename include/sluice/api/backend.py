"""State that the routes share: dependencies (built on first use, closed on shutdown), thread pools, upload limits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock

from fastapi import Request

from sluice.api.limits import MAX_FORMS, BoundedExecutor, UploadSlots
from sluice.api.quota_check import QuotaCheck
from sluice.errors import Terminal, Unavailable
from sluice.model.grants import Principal
from sluice.model.search import SearchRequest
from sluice.ports.tools import Tools
from sluice.retrieval.searching import SearchOutcome

log = logging.getLogger(__name__)


Search = Callable[[SearchRequest, Principal], SearchOutcome]
MakeSearch = Callable[[Tools], Search]


def wired_search(tools: Tools) -> Search:
    from sluice.wiring import searcher  # imported late: a process that only loads the plugin must stay light

    return searcher(tools)


class Backend:
    """One per app, on `app.state.backend`."""

    def __init__(self, factory: Callable[[], Tools], make_search: MakeSearch = wired_search) -> None:
        self._factory = factory
        self._make_search = make_search
        self._lock = Lock()
        self._tools: Tools | None = None
        self._search: Search | None = None
        self.calls = BoundedExecutor(threads=16, max_waiting=64)
        self.forms = UploadSlots(MAX_FORMS)
        self.quotas = QuotaCheck()
        # A store that hangs must not take the searches' threads.
        self.probes = BoundedExecutor(threads=8, max_waiting=64)

    @property
    def tools(self) -> Tools:
        """Blocks while the dependencies are built. After a failure the next call tries again. Raises Unavailable."""
        with self._lock:
            if self._tools is None:
                try:
                    self._tools = self._factory()
                except Terminal as error:
                    log.error("The query service cannot be set up: %s", error)
                    raise Unavailable(
                        "The query service", "its settings are not complete", "Its log names what is missing."
                    ) from error
            return self._tools

    def search(self, request: SearchRequest, principal: Principal) -> SearchOutcome:
        """Raises BadRequest, NotFound, Unavailable."""
        tools = self.tools
        with self._lock:
            if self._search is None:
                self._search = self._make_search(tools)
            ask = self._search
        return ask(request, principal)

    def close(self) -> None:
        """Closes every connection. Safe to call twice."""
        with self._lock:
            tools, self._tools, self._search = self._tools, None, None
        if tools is not None:
            tools.close()


def backend_of(request: Request) -> Backend:
    backend: Backend = request.app.state.backend
    return backend
