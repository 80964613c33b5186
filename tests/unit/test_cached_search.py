"""Searches with a cache in front: what is cached, for whom, how long, and what happens without the cache."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from sluice.errors import BadRequest, NotFound, Unavailable
from sluice.model.catalog import Live
from sluice.model.chunk import Vector
from sluice.model.generation import Generation, Profile
from sluice.model.grants import Principal
from sluice.model.passage import Passage
from sluice.model.search import DEGRADATIONS, Degradation, SearchRequest
from sluice.retrieval import cached_search
from sluice.retrieval.cached_search import CachedSearch
from sluice.retrieval.encrypted_cache import EncryptedCache, EntryKey
from sluice.retrieval.query_vectors import QueryVectors
from sluice.retrieval.searching import SearchOutcome
from support.byte_caches import MemoryCache
from support.waiting import wait_until

GENERATION = Generation(UUID(int=1), "docs", 1, Profile("chars:100:0", "hash:4", "off", 4), "docs__g1", ("year",))
REQUEST = SearchRequest("how are pumps inspected", "docs", 5)
ANN, BOB = Principal("ann", "acme", frozenset({"*"})), Principal("bob", "acme", frozenset({"*"}))
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PASSAGE = Passage(
    chunk_id=UUID(int=5),
    document_id=UUID(int=6),
    external_id="é\U0001f980.md",
    title="",
    text="Pumps “are” inspected.\n",
    score=0.1 + 0.2,
    uri="file:///a",
    start=0,
    end=3,
    page=None,
    headings=("Upkeep",),
    metadata={"year": 2**62 + 1, "list": [1, 1.5, None, {"deep": "x"}], "flag": True, "text": "2026-01-01"},
    version=3,
    generation=1,
    run_id=UUID(int=7),
    scores={"dense": 1 / 3},
    similarity=1e-9,
)
OUTCOME = SearchOutcome((PASSAGE,), ("dense", "sparse"), (), 1, 12.0)


@dataclass
class World:
    """A ledger with one collection, a search that counts its calls, and a cache."""

    live_now: Live = field(default_factory=lambda: Live(GENERATION, (UUID(int=2),), "e1", NOON, None))
    outcome: SearchOutcome = OUTCOME
    computed: list[str] = field(default_factory=list)
    store: MemoryCache = field(default_factory=MemoryCache)
    down: bool = False
    before: Callable[[], object] = lambda: None  # called by each search before it ends

    def live(self, collection: str, principal: Principal) -> Live:
        if self.down:
            raise Unavailable("PostgreSQL (ledger)", "it is down")
        if collection != "docs":
            raise NotFound("no such collection")
        return self.live_now

    def search(self, request: SearchRequest, principal: Principal, live: Live) -> SearchOutcome:
        self.computed.append(principal.name)
        self.before()
        return self.outcome

    def cached(self, **options: Any) -> CachedSearch:
        catalog: Any = self
        cache = EncryptedCache(self.store, bytes(32))
        return CachedSearch(self.search, catalog, cache, **{"ttl_s": 60.0, "wait_s": 5.0, **options})


def test_the_second_answer_is_the_first_one() -> None:
    world = World()
    search = world.cached()
    first, second = search(REQUEST, ANN), search(REQUEST, ANN)
    assert world.computed == ["ann"]
    assert (first.cached, second.cached) == (False, True)
    assert replace(first, took_ms=0) == replace(OUTCOME, took_ms=0)
    assert replace(second, took_ms=0) == replace(OUTCOME, took_ms=0, cached=True)
    assert first.took_ms < 10_000 and 0 < second.took_ms != 12.0
    assert world.store.calls == ["get", "lock", "put", "release", "get"], "a hit costs one call"


def test_every_field_of_an_outcome_survives() -> None:
    world = World(outcome=replace(OUTCOME, nothing_relevant=True, degraded=("refill",), passages=(PASSAGE,) * 3))
    search = world.cached()
    first, second = search(REQUEST, ANN), search(REQUEST, ANN)
    for each in fields(SearchOutcome):
        if each.name not in ("cached", "took_ms"):
            assert getattr(second, each.name) == getattr(first, each.name), each.name
    assert type(second.passages[0].metadata["year"]) is int and second.passages[0].metadata["year"] == 2**62 + 1


def test_each_caller_computes_once() -> None:
    world = World()
    search = world.cached()
    assert not search(REQUEST, ANN).cached and not search(REQUEST, BOB).cached
    assert world.computed == ["ann", "bob"]
    assert search(REQUEST, ANN).cached and search(REQUEST, BOB).cached


@pytest.mark.parametrize(
    "changes",
    [{"epoch": "e2"}, {"sources": ()}, {"generation": replace(GENERATION, number=2)}],
    ids=lambda each: str(*each),
)
def test_another_state_of_the_ledger_computes(changes: dict[str, Any]) -> None:
    world = World()
    search = world.cached()
    search(REQUEST, ANN)
    world.live_now = replace(world.live_now, **changes)
    assert not search(REQUEST, ANN).cached
    assert search(REQUEST, ANN).cached


def test_without_the_ledger_nothing_is_answered() -> None:
    world = World()
    search = world.cached()
    search(REQUEST, ANN)
    world.down = True
    with pytest.raises(Unavailable, match="ledger"):
        search(REQUEST, ANN)


def test_an_invalid_request_is_refused_before_the_ledger_is_asked() -> None:
    world = World(down=True)
    with pytest.raises(BadRequest, match="top_k"):
        world.cached()(replace(REQUEST, top_k=0), ANN)
    with pytest.raises(NotFound):
        World().cached()(replace(REQUEST, collection="other"), ANN)


@pytest.mark.parametrize("loss", sorted(set(DEGRADATIONS) - {"refill"}))
def test_what_lacks_a_store_or_time_is_not_cached(loss: Degradation) -> None:
    world = World(outcome=replace(OUTCOME, degraded=(loss,)))
    search = world.cached()
    for _ in range(2):
        assert search(REQUEST, ANN).degraded == (loss,)
    assert world.computed == ["ann"] * 2 and not world.store.values


# --- expiry


def test_an_expiry_is_compared_with_the_ledgers_clock() -> None:
    world = World()
    world.live_now = replace(world.live_now, next_expiry=NOON + timedelta(seconds=30))
    search = world.cached()
    search(REQUEST, ANN)
    for second, cached in ((29.999999, True), (30, False)):
        world.live_now = replace(world.live_now, read_at=NOON + timedelta(seconds=second))
        assert search(REQUEST, ANN).cached is cached
    world.live_now = replace(world.live_now, next_expiry=None)
    assert not search(REQUEST, ANN).cached and search(REQUEST, ANN).cached, "an expired entry is replaced"


@pytest.mark.parametrize(("left_s", "expected"), [(None, 60), (20, 20), (1000, 60), (1e-6, 1e-6)])
def test_the_time_of_an_entry_is_capped(left_s: float | None, expected: float) -> None:
    world = World()
    expiry = None if left_s is None else NOON + timedelta(seconds=left_s)
    world.live_now = replace(world.live_now, next_expiry=expiry)
    began = time.monotonic()
    world.cached()(REQUEST, ANN)
    ((_, until),) = world.store.values.values()
    assert began + expected <= until <= time.monotonic() + expected


def test_a_document_that_expires_while_an_equal_search_is_awaited() -> None:
    world = World()
    search, going = world.cached(), threading.Event()
    world.live_now = replace(world.live_now, next_expiry=NOON + timedelta(seconds=1))
    world.before = lambda: going.wait(10)
    first = _Asked(search)
    wait_until(lambda: world.computed, "the first one does not compute")
    world.live_now = replace(world.live_now, read_at=NOON + timedelta(seconds=1), next_expiry=None)
    second = _Asked(search)
    time.sleep(0.1)
    going.set()
    assert (first.result().cached, second.result().cached) == (False, False)
    assert len(world.computed) == 2


# --- many at once


class _Asked(threading.Thread):
    def __init__(self, search: CachedSearch, who: Principal = ANN) -> None:
        super().__init__()
        self._search, self._who = search, who
        self.outcome: SearchOutcome | None = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self._search(REQUEST, self._who)
        except Exception as error:
            self.error = error

    def result(self) -> SearchOutcome:
        self.join(20)
        assert self.outcome is not None, self.error
        return self.outcome


def test_equal_searches_at_once_compute_once() -> None:
    world = World()
    search, going = world.cached(), threading.Event()
    world.before = lambda: going.wait(10)
    asked = [_Asked(search) for _ in range(20)]
    others = _Asked(search, BOB)
    wait_until(lambda: len(world.computed) == 2, "they do not compute")
    time.sleep(0.1)
    going.set()
    outcomes = [each.result() for each in asked]
    assert sorted(world.computed) == ["ann", "bob"] and not others.result().cached
    assert sorted(each.cached for each in outcomes) == [False] + [True] * 19
    assert all(each.passages == OUTCOME.passages for each in outcomes)


def test_an_error_is_everybodys_and_is_not_kept() -> None:
    world = World()
    search, going = world.cached(), threading.Event()

    def fail() -> None:
        going.wait(10)
        raise Unavailable("Qdrant", "down")

    world.before = fail
    asked = [_Asked(search) for _ in range(5)]
    wait_until(lambda: world.computed, "nobody computes")
    time.sleep(0.1)
    going.set()
    for each in asked:
        each.join(20)
    assert all(isinstance(each.error, Unavailable) for each in asked) and len(world.computed) == 1
    assert not world.store.values and not world.store.locks
    world.before = lambda: None
    assert not search(REQUEST, ANN).cached


def test_who_waits_too_long_for_an_equal_search_computes() -> None:
    world = World()
    search, going = world.cached(wait_s=0.05), threading.Event()
    world.before = lambda: going.wait(10) if len(world.computed) == 1 else None
    first = _Asked(search)
    wait_until(lambda: world.computed, "the first one does not compute")
    assert not search(REQUEST, ANN).cached
    going.set()
    assert not first.result().cached


def test_servers_that_search_the_same_compute_once() -> None:
    world = World()
    servers, going = [world.cached() for _ in range(4)], threading.Event()
    world.before = lambda: going.wait(10)
    asked = [_Asked(each) for each in servers]
    wait_until(lambda: world.computed, "nobody computes")
    wait_until(lambda: world.store.calls.count("lock") > 6, "the others do not wait")
    going.set()
    outcomes = [each.result() for each in asked]
    assert world.computed == ["ann"] and sorted(each.cached for each in outcomes) == [False, True, True, True]
    assert not world.store.locks


def test_a_server_that_died_at_it_holds_others_up_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_search, "LOCK_S", 0.3)
    world = World()
    assert world.store.lock(f"{entry_of(world)[1].name}:lock", 0.3)  # the dead server's
    began = time.monotonic()
    assert not world.cached()(REQUEST, ANN).cached
    assert 0.2 < time.monotonic() - began < 2


def entry_of(world: World) -> tuple[EncryptedCache, EntryKey]:
    """The entry of ann's request."""
    cache, live = EncryptedCache(world.store, bytes(32)), world.live_now
    parts = {"generation": live.generation, "sources": live.sources, "epoch": live.epoch}
    return cache, cache.key("search", request=REQUEST, principal=ANN, **parts)


# --- without the cache


@pytest.mark.parametrize("call", ["get", "lock", "put", "release"])
def test_any_failure_of_the_cache_is_told_and_does_no_harm(call: str) -> None:
    world = World()
    world.store.down = {call}
    search = world.cached()
    outcome = search(REQUEST, ANN)
    assert (outcome.passages, outcome.degraded, outcome.cached) == (OUTCOME.passages, ("cache",), False)
    assert world.store.calls[-1] == call, "after a failure it is not asked again"
    world.store.down = set()
    world.store.locks.clear()
    assert search(REQUEST, ANN).degraded == ()


def test_an_entry_of_another_form_is_no_entry() -> None:
    world = World()
    search = world.cached()
    search(REQUEST, ANN)
    cache, key = entry_of(world)
    for content in (b"", b"{}", b"\xff", b'{"outcome": {"passages": 3}, "expires_at": null}'):
        cache.put(key, content, 60)
        assert not search(REQUEST, ANN).cached
        assert search(REQUEST, ANN).cached


# --- vectors of questions


class _Embedder:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: list[str]) -> Vector:
        self.texts += texts
        return np.full((len(texts), 3), 1 / np.sqrt(3), np.float32)


OF_THREE = Profile("chars:100:0", "e", "off", 3)


def test_a_shared_vector_of_another_size_is_computed_anew() -> None:
    embedder, shared = _Embedder(), EncryptedCache(MemoryCache(), bytes(32))
    entry = {"tenant": ANN.tenant, "caller": ANN.name, "embedder": "e", "question": "question"}
    for spoilt in ([1.0], [np.nan] * 3):
        shared.put(shared.key("vector", **entry), np.array(spoilt, np.float32).tobytes(), 60)
        vectors = QueryVectors(lambda name: embedder, shared=shared, ttl_s=60)  # type: ignore[arg-type,return-value]
        assert np.isfinite(vectors(OF_THREE, "question", ANN)).all()
    assert embedder.texts == ["question"] * 2


def test_vectors_are_shared_by_servers_and_not_by_callers() -> None:
    store, embedder = MemoryCache(), _Embedder()
    shared = EncryptedCache(store, bytes(32))
    one, other = (QueryVectors(lambda name: embedder, shared=shared, ttl_s=60) for _ in range(2))  # type: ignore[arg-type,return-value]
    vectors = [each(OF_THREE, "question", who) for who in (ANN, BOB) for each in (one, other, one)]
    assert embedder.texts == ["question"] * 2
    assert all(np.array_equal(each, vectors[0]) and each.dtype == np.float32 for each in vectors)
    assert store.calls == ["get", "put", "get"] * 2, "the process has the first level"
    one(replace(OF_THREE, embedder="e2"), "question", ANN)
    assert len(embedder.texts) == 3


@pytest.mark.parametrize("call", ["get", "put"])
def test_vectors_without_the_shared_cache(call: str) -> None:
    store, embedder = MemoryCache(down={call}), _Embedder()
    vectors = QueryVectors(lambda name: embedder, shared=EncryptedCache(store, bytes(32)), ttl_s=60)  # type: ignore[arg-type,return-value]
    for _ in range(2):
        assert vectors(OF_THREE, "question", ANN).shape == (3,)
    assert embedder.texts == ["question"] and store.calls[-1] == call
