"""The guards of the query service: which dependency has which limits. No other module knows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from sluice.ports.content import Embedder, Keyring
from sluice.ports.ledger import Ledger
from sluice.ports.telemetry import Telemetry
from sluice.resilience import deadline
from sluice.resilience.guard import Guard, Limits
from sluice.resilience.guarded import guarded
from sluice.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

EMBEDDING, RERANKER = "embedding", "reranker"
VECTOR_WRITES = frozenset({"ensure", "upsert", "delete", "drop"})
GRAPH_WRITES = frozenset({"ensure", "write", "remove", "remove_chunks", "drop", "drop_orphans"})
KEY_WRITES = frozenset({"create", "destroy"})
GRANT_WRITES = frozenset({"add", "revoke"})


def make_guards(settings: Settings, telemetry: Telemetry | None = None) -> dict[str, Guard]:
    """Returns the guards by the names of the dependencies in `GET /health`.

    The API has 16 threads for calls. No dependency but the ledger and the keys, without which nothing can be answered,
    may hold more than 12 of them. The shares of a search's time: embedding, then Qdrant or the ledger's full text, then
    hydration and reranking.
    """
    call_s, connections = settings.query_timeout_s, settings.pool_size
    limits = {
        # Calls beyond the connections of the pool wait, because nothing can serve in place of these two.
        "ledger": Limits(calls=connections, timeout_s=call_s, share=0.4, wait_s=1.0),
        "keys": Limits(calls=connections, timeout_s=call_s, share=0.4, wait_s=1.0),
        "qdrant": Limits(calls=12, timeout_s=call_s, share=0.3, wait_s=0.25),
        "neo4j": Limits(calls=8, timeout_s=call_s, share=0.2, wait_s=0.05),
        "redis": Limits(calls=12, timeout_s=call_s, share=0.04, wait_s=0.02, attempts=1),
        EMBEDDING: Limits(calls=12, timeout_s=call_s, share=0.3, wait_s=0.25),
        # A search that finds no free call keeps its order at once.
        RERANKER: Limits(calls=4, timeout_s=settings.reranker_timeout_s, share=0.4, wait_s=0.0, attempts=1),
    }
    off = {
        "neo4j": settings.graph != "on",
        "redis": not settings.redis_url.get_secret_value(),
        RERANKER: settings.reranker == "off",
    }
    used = {name: each for name, each in limits.items() if not off.get(name)}
    if telemetry is None:
        return {name: Guard(name, each) for name, each in used.items()}

    def observe(dependency: str, ms: float, failed: bool) -> None:
        telemetry.timing(f"calls.{dependency}", ms)
        if failed:
            telemetry.count(f"failures.{dependency}")

    return {name: Guard(name, each, observe) for name, each in used.items()}


def is_endpoint(embedder: str) -> bool:
    """Returns whether an embedder of this name calls a server."""
    return embedder.partition(":")[0] == "openai"


def guarded_keyring(keyring: Keyring, guard: Guard) -> Keyring:
    """Returns the keyring behind the guard. Index keys that are known are returned at once: the keyring keeps them for
    the life of the process, and a search asks for one five times."""
    behind = guarded(keyring, guard, writes=KEY_WRITES)
    known: dict[str, bytes] = {}

    def index_key(tenant: str) -> bytes:
        if tenant not in known:
            known[tenant] = behind.index_key(tenant)
        return known[tenant]

    return cast(Keyring, _Overridden(behind, index_key=index_key))


class _Overridden:
    """A port with other methods in the place of some."""

    def __init__(self, port: object, **methods: Callable[..., object]) -> None:
        self._port = port
        vars(self).update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


def guarded_ledger(ledger: Ledger, guard: Guard) -> Ledger:
    """Returns the ledger with all its roles behind the guard. Only the reads of searches and of authentication are
    limited in time; the other roles write, or return transactions."""
    reads = {"grants": GRANT_WRITES, "full_text": frozenset({"add", "set_complete"})}
    names = [each.name for each in fields(ledger)]
    return replace(ledger, **{name: guarded(getattr(ledger, name), guard, writes=reads.get(name)) for name in names})


def guarded_embedder(embedder: Callable[[str], Embedder], guard: Guard) -> Callable[[str], Embedder]:
    """Returns the function that makes embedders, with those of an endpoint behind the guard."""

    @wraps(embedder)
    def make(name: str) -> Embedder:
        return guarded(embedder(name), guard) if is_endpoint(name) else embedder(name)

    return make


def within_budget(search: Callable[P, T], budget_s: float) -> Callable[P, T]:
    """Returns the search with a time budget, of which each guarded call gets its share."""

    @wraps(search)
    def limited(*args: P.args, **kwargs: P.kwargs) -> T:
        with deadline.within(budget_s):
            return search(*args, **kwargs)

    return limited
