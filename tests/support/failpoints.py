"""Where a process can die: every call of a port and, within it, every commit and every request to a store.

Nothing in the product knows of it. A `Watch` wraps the stores of `Sluice` and listens where the clients meet their
stores, numbers what passes, and ends the process by SIGKILL at the point that it was given.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, get_type_hints

import grpc
import httpx
import neo4j
from sqlalchemy import Connection, Engine, event

from sluice.ports.content import Blobs, Keyring
from sluice.ports.ledger import Ledger
from sluice.ports.projections import GraphIndex, VectorIndex
from sluice.ports.vector_cache import VectorCache
from sluice.wiring.application import Sluice
from support.swapping import port_of, swapped

PORTS: dict[str, type] = {
    **get_type_hints(Ledger),
    "cache": VectorCache,
    "keyring": Keyring,
    "vectors": VectorIndex,
    "graph": GraphIndex,
    "blobs": Blobs,
}


def _methods(port: str) -> set[str]:
    return {f"{port}.{name}" for name in vars(PORTS[port]) if not name.startswith("_")}


_NO_CALLS = {"blobs.uri"}
# Methods of the ports that no ingest calls, by who does.
_OTHERS = {
    "asked by people": {
        *("quality.set_rule", "quality.gates"),
        *("quotas.assign", "quotas.use", "quotas.uses", "sources.save"),
    },
    "saved sources, by who schedules them": {"sources.saved", "sources.set_schedule", "runs.last_by"},
    "retention and purges": _methods("retention"),
    "pruning": {"keyring.destroy", *_methods("pruning")},
    "deletions by hand": {
        *("sources.at", "sources.of", "sources.remove"),
        *("collections.begin_drop", "collections.drop", "vectors.drop", *_methods("deletions")),
    },
    "dry runs": {"scans.preview", "keyring.known_index_key"},
    "replaying": {"quarantine.items"},
    "uploading": {"quotas.of"},
    "where a task or a store fails": {"runs.record_error", "outbox.queued"},
    "where a budget ends": {"costs.record_exceeded"},
    "asking who may": _methods("grants"),
    "searching": {"vectors.search", *_methods("full_text")},
    "evaluating": {*_methods("golden"), *_methods("feedback"), *_methods("evaluations")},
    "reconciling": {
        *("outbox.locked", *_methods("reconciliation"), "blobs.walk", "blobs.modified_at"),
        *("vectors.points", "vectors.points_of", "graph.chunks", "graph.chunks_of"),
        *("graph.orphans", "graph.drop_orphans", "graph.remove_chunks"),
    },
    "where counts differ": {"runs.others_running"},
    "a thread by the clock": {"runs.renew"},
    "dropping generations and runs": {"graph.drop", "blobs.list"},
    "no call of a store": _NO_CALLS,
    "health": {f"{port}.ping" for port in ("keyring", "vectors", "graph")},
}
_UNKEPT = {("embedder.metered", True), ("cache.store", False), ("cache.store commit", False)}


def unreached(places: Collection[str]) -> list[str]:
    """Methods of the load path's ports that `places` lack."""
    methods = set[str]().union(*map(_methods, PORTS))
    return sorted(methods - set(places) - set[str]().union(*_OTHERS.values()))


@dataclass(frozen=True, order=True)
class Point:
    """The `number`-th time that the load path comes by, before or after the call takes effect."""

    place: str  # port.method, then what it does below: `graph.write neo4j.execute_write`
    number: int
    after: bool

    @property
    def unkept(self) -> bool:
        """Paid, and not kept yet: the one moment at which a death costs one call of the embedder once more."""
        return (self.place, self.after) in _UNKEPT

    def __str__(self) -> str:
        return f"{'after' if self.after else 'before'} {self.place} #{self.number}"


class Watch:
    """Of one process. `passed`: the points in the order in which they were met."""

    def __init__(self, die_at: Point | None = None) -> None:
        self.passed: list[Point] = []
        self._die_at = die_at
        self._counts: Counter[tuple[str, bool]] = Counter()
        self._lock = threading.Lock()
        self._within = threading.local()

    def over(self, sluice: Sluice) -> Sluice:
        ports = {name: _Watched(port_of(sluice, name), name, self) for name in PORTS}
        return swapped(sluice, **ports, embedder=lambda profile: _Watched(sluice.embedder(profile), "embedder", self))

    @contextmanager
    def call(self, place: str) -> Iterator[None]:
        """A call of a port, or a request that one makes: what is not within a port is not the load path's."""
        outer = getattr(self._within, "place", "")
        self._within.place = place
        try:
            self._pass(place, after=False)
            yield
            self._pass(place, after=True)
        finally:
            self._within.place = outer

    @contextmanager
    def request(self, what: str) -> Iterator[None]:
        outer = getattr(self._within, "place", "")
        if not outer:
            yield
            return
        with self.call(f"{outer} {what}"):
            yield

    def commit(self, connection: Connection) -> None:
        if outer := getattr(self._within, "place", ""):
            self._pass(f"{outer} commit", after=False)

    def _pass(self, place: str, *, after: bool) -> None:
        if threading.current_thread().name.startswith("lease-"):  # signs of life come when time says so
            return
        with self._lock:
            self._counts[place, after] += 1
            point = Point(place, self._counts[place, after], after)
            self.passed.append(point)
            if point == self._die_at:
                os.kill(os.getpid(), signal.SIGKILL)


class _Watched:
    def __init__(self, adapter: Any, port: str, watch: Watch) -> None:
        self._adapter, self._port, self._watch = adapter, port, watch

    def __getattr__(self, name: str) -> Any:
        outcome = getattr(self._adapter, name)
        place = f"{self._port}.{name}"
        if place in _NO_CALLS or (self._port in PORTS and place not in _methods(self._port)) or not callable(outcome):
            return outcome

        def call(*args: Any, **options: Any) -> Any:
            with self._watch.call(place):
                result = outcome(*args, **options)
            return self._block(result, name) if isinstance(result, AbstractContextManager) else result

        return call

    @contextmanager
    def _block(self, block: AbstractContextManager[Any], name: str) -> Iterator[Any]:
        """What is done at its beginning and at its end is the port's, too."""
        with ExitStack() as stack:
            with self._watch.call(f"{self._port}.{name} begins"):
                entered = stack.enter_context(block)
            yield entered
            with self._watch.call(f"{self._port}.{name} ends"):
                stack.close()


def listen(watch: Watch) -> None:
    """For the rest of this process's life, which is meant to be short. To be called before clients are built."""
    event.listen(Engine, "commit", watch.commit)
    _wrap(
        httpx.HTTPTransport, "handle_request", watch, lambda _, request: f"{request.method} {_shape(request.url.path)}"
    )
    for method in ("execute_write", "execute_read", "run"):
        _wrap(neo4j.Session, method, watch, lambda *_, method=method: f"neo4j.{method}")
    _wrap(os, "fsync", watch, lambda *_: "fsync")
    channel = grpc.insecure_channel
    grpc.insecure_channel = lambda *args: grpc.intercept_channel(channel(*args), _Intercepted(watch))


def _wrap(owner: Any, method: str, watch: Watch, name: Callable[..., str]) -> None:
    original = getattr(owner, method)

    def call(*args: Any, **options: Any) -> Any:
        with watch.request(name(*args)):
            return original(*args, **options)

    setattr(owner, method, call)


def _shape(path: str) -> str:
    """`/collections/<name>/points` whatever the name."""
    parts = path.split("/")
    return "/".join(part if place != 2 else "*" for place, part in enumerate(parts))


class _Intercepted(grpc.UnaryUnaryClientInterceptor):
    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        with self._watch.request(details.method.rsplit("/", 1)[-1]):
            call = continuation(details, request)
            call.exception()  # waits until it is answered, and raises nothing: that is the caller's
        return call
