"""Searches of several clients while a dependency is stopped, hangs or is slow: nothing wrong is shown, what is lost is
told, nobody waits for long, and all is whole again by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from fastapi.testclient import TestClient

from devstack import Stack
from sluice.api.app import create_app
from sluice.errors import CircuitOpen, Transient, Unavailable
from sluice.model.grants import ALL_GROUPS, Grant, Principal
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.resilience.guarded import guarded
from sluice.wiring.application import Sluice
from support.engines import EngineStack
from support.outages import OUTAGES, EmbeddingEndpoint, hung, stopped
from support.waiting import wait_until

BIRDS = ("owl", "heron", "kingfisher", "wren", "plover")
CLIENTS, SEARCHES = 4, 6
# The budget of a search, and what a busy machine may add.
SEARCH_S, BUSY_S = 2.0, 10.0
# Links lead to passages that only the index can score.
LOST = {"qdrant": ("dense", "full_text", "graph"), "embedding": ("dense",), "neo4j": ("graph",)}


@pytest.fixture
def engines(stack: EngineStack) -> Stack:
    if stack.devstack is None:
        pytest.skip("engines that are not ours are not stopped: unset SLUICE_TEST_STACK")
    return stack.devstack


@dataclass
class Served:
    """A collection with open documents, some of the group board, and another tenant's; a query service over it."""

    sluice: Sluice
    collection: str
    public: set[str]
    board: set[str]
    foreign: set[str]
    endpoint: EmbeddingEndpoint

    def reader(self, *groups: str) -> Principal:
        return Principal("reader", self.collection, frozenset(groups))

    def ask(self, bird: str, *groups: str) -> tuple[str, ...]:
        """Returns `degraded`. Whatever is shown may be read by the caller, and contains the word."""
        began_s = time.monotonic()
        request = SearchRequest(f"{bird} {time.monotonic_ns()}", self.collection, 5)
        outcome = self.sluice.search(request, self.reader(*groups))
        assert time.monotonic() - began_s < SEARCH_S + BUSY_S
        shown = {each.external_id for each in outcome.passages}
        assert shown <= self.public | (self.board if groups else set())
        assert outcome.passages[0].external_id.startswith(bird)
        return outcome.degraded

    def crowd(self) -> list[tuple[str, ...] | None]:
        """Returns what several clients get at once: `degraded`, or None for an error that a retry may help."""

        def client(number: int) -> list[tuple[str, ...] | None]:
            return [self._one(BIRDS[(number + i) % len(BIRDS)], number % 2 == 0) for i in range(SEARCHES)]

        with ThreadPoolExecutor(CLIENTS) as pool:
            return [each for answers in pool.map(client, range(CLIENTS)) for each in answers]

    def _one(self, bird: str, board: bool) -> tuple[str, ...] | None:
        began_s = time.monotonic()
        try:
            return self.ask(bird, *(["board"] if board else []))
        except Transient:
            assert time.monotonic() - began_s < SEARCH_S + BUSY_S
            return None

    def is_whole(self) -> bool:
        return all(each == () for each in (self._one(bird, False) for bird in BIRDS)) and all(
            guard.state == "closed" for guard in self.sluice.guards.values()
        )


def lost(answers: Sequence[tuple[str, ...] | None]) -> set[tuple[str, ...] | None]:
    """Returns the different answers without `cache`: on a busy machine Redis may be late for any search."""
    return {answer if answer is None else tuple(word for word in answer if word != "cache") for answer in answers}


@pytest.fixture(scope="module")
def served(
    stack: EngineStack, make_lasting_sluice: Callable[..., Sluice], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    root, name = tmp_path_factory.mktemp("outages"), f"t{time.monotonic_ns()}"
    with closing(EmbeddingEndpoint()) as endpoint:
        settings = {"embedder": "openai:test", "openai_base_url": endpoint.url}
        loading = make_lasting_sluice([root], **settings)
        files = {
            kind: _ingested(loading, root / kind, SourceSpec((root / kind).as_uri(), name, *place))
            for kind, place in {
                "public": (name, ()),
                "board": (name, ("board",)),
                "foreign": (f"{name}-other", ()),
            }.items()
        }
        limits = {"query_timeout_s": SEARCH_S, "connect_timeout_s": 2.0, "search_timeout_s": SEARCH_S}
        sluice = Sluice(stack.settings(**settings, **limits), serving=True)
        try:
            yield Served(sluice, name, endpoint=endpoint, **files)
        finally:
            sluice.close()


def _ingested(sluice: Sluice, folder: Path, spec: SourceSpec) -> set[str]:
    folder.mkdir()
    for bird in BIRDS:
        (folder / f"{bird}-{folder.name}.md").write_text(
            f"# Notes\n\nThe {bird} of {folder.name} was seen near a pond.\n"
        )
    sluice.ingestion.ingest(IngestRequest(spec))
    return {path.name for path in folder.iterdir()}


def recovered(served: Served) -> None:
    wait_until(served.is_whole, "the searches were not whole again", 90)


@pytest.mark.parametrize("state", OUTAGES)
def test_without_qdrant_words_are_found_in_the_ledger(served: Served, engines: Stack, state: str) -> None:
    recovered(served)
    with OUTAGES[state](engines, "qdrant"):
        answers = served.crowd()
        if state != "slow":
            assert served.sluice.guards["qdrant"].state != "closed"
            answers += served.crowd()
            assert () not in answers
            assert LOST["qdrant"] in lost(answers)
    assert lost(answers) <= {LOST["qdrant"], LOST["neo4j"], (), None}
    assert answers.count(None) < len(answers) / 2, "only of a machine that is too busy"
    recovered(served)


@pytest.mark.parametrize("state", OUTAGES)
def test_without_the_embedding_endpoint_words_serve(served: Served, state: str) -> None:
    recovered(served)
    with served.endpoint.failing(state):
        answers = served.crowd()
        if state != "slow":
            assert served.sluice.guards["embedding"].state != "closed"
            assert lost(answers) <= {LOST["embedding"], ("dense", "graph"), None}
            assert LOST["embedding"] in lost(answers)
    assert lost(answers) <= {LOST["embedding"], ("dense", "graph"), *LOST.values(), (), None}
    recovered(served)


@pytest.mark.parametrize("state", OUTAGES)
def test_without_the_ledger_and_the_keys_nothing_is_shown_and_nobody_waits(
    served: Served, engines: Stack, state: str
) -> None:
    recovered(served)
    with OUTAGES[state](engines, "postgres"):
        answers = served.crowd()
        if state != "slow":
            assert set(answers) == {None}
            assert served.sluice.guards["ledger"].state != "closed"
            _told_at_once(served)
    recovered(served)


def _told_at_once(served: Served) -> None:
    """A breaker that is open does not wait; of the calls between two trials at least one is told so."""
    took_s = []
    for _ in range(20):
        began_s = time.monotonic()
        with pytest.raises(Unavailable) as raised:
            served.ask("owl")
        if isinstance(raised.value, CircuitOpen):
            assert raised.value.retry_after_s > 0
            took_s.append(time.monotonic() - began_s)
    assert took_s
    assert min(took_s) < 0.5


def test_without_neo4j_links_are_not_followed(served: Served, engines: Stack) -> None:
    recovered(served)
    with hung(engines, "neo4j"):
        answers = served.crowd()
        assert served.sluice.guards["neo4j"].state != "closed"
    assert lost(answers) <= {LOST["neo4j"], None}
    assert LOST["neo4j"] in lost(answers)
    recovered(served)


def test_a_cold_neo4j_is_used_again_though_its_first_answers_are_late(served: Served, engines: Stack) -> None:
    recovered(served)
    with stopped(engines, "neo4j"):
        assert LOST["neo4j"] in lost(served.crowd())
        assert served.sluice.guards["neo4j"].state != "closed"
    recovered(served)


def test_the_first_search_after_the_start_follows_links(served: Served, stack: EngineStack, engines: Stack) -> None:
    recovered(served)
    with stopped(engines, "neo4j"):
        pass
    # Without a warm-up the first query takes longer than its share of this time, too.
    changes = {"embedder": "openai:test", "openai_base_url": served.endpoint.url, "search_timeout_s": 20.0}
    with closing(Sluice(stack.settings(**changes), serving=True)) as started:
        started.warm_up()
        request = SearchRequest(f"owl {time.monotonic_ns()}", served.collection, 5)
        assert started.search(request, served.reader()).degraded == ()
    recovered(served)


def test_redis_is_not_missed(served: Served, engines: Stack) -> None:
    recovered(served)
    with hung(engines, "redis"):
        answers = served.crowd()
    assert ("cache",) in answers
    assert set(answers) <= {("cache",), (*LOST["neo4j"], "cache"), None}


class Values:
    """A port on Redis, as a cache has it."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, socket_timeout=5.0, socket_connect_timeout=5.0)

    def get(self, key: str) -> Any:
        try:
            return self._client.get(key)
        except redis.RedisError as error:
            raise Unavailable("Redis", type(error).__name__) from error


@pytest.mark.parametrize("outage", [hung, stopped])
def test_a_port_on_redis_behind_a_guard(
    served: Served, engines: Stack, stack: EngineStack, outage: Callable[..., Any]
) -> None:
    guard = served.sluice.guards["redis"]
    values = guarded(Values(stack.environment["SLUICE_REDIS_URL"]), guard)
    wait_until(lambda: _read(values), "Redis did not answer", 30)
    with outage(engines, "redis"):
        for _ in range(6):
            assert not _read(values)
        assert guard.state != "closed"
    wait_until(lambda: _read(values) and guard.state == "closed", "the breaker did not close", 60)


def _read(values: Values) -> bool:
    try:
        values.get("absent")
    except Unavailable:
        return False
    return True


def test_what_the_api_tells(served: Served, engines: Stack) -> None:
    recovered(served)
    served.sluice.ledger.grants.add(Grant("ann", served.collection, frozenset({ALL_GROUPS}), False))

    async def ann(request: Any) -> str:
        return "ann"

    # The client's shutdown would close the dependencies, which the other tests need.
    client = TestClient(create_app(lambda: served.sluice, ann), base_url="http://sluice.test")
    question = {"query": "owl", "collection": served.collection}
    with hung(engines, "qdrant"):
        for _ in range(6):
            answer = client.post("/api/v1/search", json=question)
            assert answer.status_code == 200, answer.text
            assert lost([tuple(answer.json()["degraded"])]) == {LOST["qdrant"]}
            assert answer.json()["legs"] == ["sparse"]
        refused = client.post("/api/v1/search", json={**question, "legs": ["dense"]})
        assert (refused.status_code, "qdrant is not available" in refused.text) == (503, True)
        assert int(refused.headers["Retry-After"]) >= 1
        health = client.get("/api/v1/health").json()
        qdrant = next(each for each in health["dependencies"] if each["name"] == "qdrant")
        assert (health["status"], qdrant["state"]) == ("degraded", "down")
        assert qdrant["breaker"] in ("open", "half-open")
        assert client.get("/api/v1/health/ready").status_code == 200
    recovered(served)
    health = client.get("/api/v1/health").json()
    breakers = {each["name"]: each["breaker"] for each in health["dependencies"]}
    assert {breakers[name] for name in ("ledger", "keys", "qdrant", "neo4j", "redis")} == {"closed"}
    assert breakers.get("marquez") is None
    assert "embedding" not in breakers
    with served.endpoint.failing("stopped"):
        for number in range(6):  # the vectors of earlier questions are cached
            answer = client.post("/api/v1/search", json={**question, "query": f"owl {number}"})
            assert lost([tuple(answer.json()["degraded"])]) == {("dense",)}
        health = client.get("/api/v1/health").json()
        embedding = next(each for each in health["dependencies"] if each["name"] == "embedding")
        assert (embedding["state"], embedding["breaker"] != "closed") == ("down", True)
    recovered(served)
