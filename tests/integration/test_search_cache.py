"""The cache of searches on real engines: over HTTP, in Redis' memory, and through any history by several principals."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import hypothesis.strategies as st
import pytest
import redis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from sluice.errors import NotFound
from sluice.model.grants import Grant, Principal
from sluice.model.retention import Retention, RetentionScope
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.retrieval.cached_search import CachedSearch
from sluice.retrieval.encrypted_cache import EncryptedCache
from sluice.retrieval.searching import SearchOutcome
from sluice.wiring.application import Sluice
from support.api_service import World, as_caller, client_of, question
from support.byte_caches import Valkey, valkey
from support.engines import EngineStack
from support.ledger_rows import db_of

# --- over HTTP


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    with valkey(tmp_path) as server:
        yield server


@pytest.fixture
def client(world: World, server: Valkey) -> Iterator[TestClient]:
    """Of a service whose searches are cached in a Valkey of the test's own."""
    from sluice.adapters.redis import RedisCache

    store = RedisCache(server.url, 1.0)
    plain = world.search_of

    def search_of(**stores: Any) -> CachedSearch:
        cache = EncryptedCache(store, bytes(32))
        return CachedSearch(plain(**stores), stores["catalog"], cache, ttl_s=60, wait_s=5)

    world.search_of = search_of  # type: ignore[method-assign]
    with client_of(world) as client:
        yield client
    store.close()


def asked(client: TestClient, **changes: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/search", json=question(**changes))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_the_second_answer_is_cached_and_equals_the_first(client: TestClient) -> None:
    first, second = asked(client, explain=True, filters={"language": "en"}), None
    second = asked(client, filters={"language": "en"}, explain=True)
    assert (first.pop("cached"), second.pop("cached")) == (False, True)
    for each in (first, second):
        assert each.pop("took_ms") >= 0
    assert first.pop("request_id") != second.pop("request_id")
    assert first["results"] and second == first


def test_a_callers_answers_are_not_anothers(client: TestClient) -> None:
    for token in ("ann-token", "sam-token"):
        for cached in (False, True):
            headers = {**as_caller(token), "X-Sluice-Tenant": "acme"}
            body = client.post("/api/v1/search", json=question(), headers=headers).json()
            assert body["cached"] is cached


def test_no_answer_without_the_ledger_however_often_it_was_given(world: World, client: TestClient) -> None:
    assert [asked(client)["cached"] for _ in range(2)] == [False, True]
    world.down = {"ledger"}
    assert client.post("/api/v1/search", json=question()).status_code == 503
    world.down = {"qdrant", "keys"}
    assert asked(client)["cached"], "the cached answer needs the ledger alone"
    assert client.post("/api/v1/search", json=question(query="another")).status_code == 503


def test_what_is_deleted_is_in_no_answer(world: World, client: TestClient) -> None:
    assert [asked(client)["cached"] for _ in range(2)] == [False, True]
    world.delete("open")
    body = asked(client)
    assert not body["cached"] and "open.md" not in [each["external_id"] for each in body["results"]]


def test_a_stopped_cache_is_told_and_used_again_later(server: Valkey, client: TestClient) -> None:
    first = asked(client)
    server.stop()
    without = [asked(client) for _ in range(2)]
    assert [(each["cached"], each["degraded"]) for each in without] == [(False, ["cache"])] * 2
    assert all(each["results"] == first["results"] for each in without)
    server.start()
    assert [(each["cached"], each["degraded"]) for each in (asked(client), asked(client))] == [(False, []), (True, [])]


# --- the service's own wiring

Serving = Callable[..., Sluice]
A_TEXT = "# Owls\n\nThe barn owl of Kent hunts voles above wet meadows at dusk.\n"


@pytest.fixture
def serving(stack: EngineStack, tmp_path: Path) -> Iterator[Serving]:
    """`serving(**settings)`: as the query service is built; it may also ingest."""
    built: list[Sluice] = []

    def make(**changes: Any) -> Sluice:
        known = {"embedder": "hash:64", "graph": "off", "file_roots": str(tmp_path), **changes}
        built.append(Sluice(stack.settings(**known), serving=True))
        return built[-1]

    yield make
    for each in built:
        each.close()


def test_nothing_can_be_read_in_redis(serving: Serving, server: Valkey, tmp_path: Path, name: str) -> None:
    sluice = serving(redis_url=server.url)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(12):
        (folder / f"secretfile{number}.md").write_text(A_TEXT * 20 + f"\n\nNumber {number} is for your eyes only.")
    sluice.ingestion.ingest(IngestRequest(SourceSpec(folder.as_uri(), name, "acmetenant")))
    who = Principal("anncaller", "acmetenant", frozenset({"*"}))
    request = SearchRequest("where do voles live at dusk", name, 12)
    first, second = (sluice.search(request, who) for _ in range(2))
    assert (first.cached, second.cached, len(first.passages)) == (False, True, 12)
    with redis.Redis.from_url(server.url) as client:
        keys: list[bytes] = client.keys("*")
        dumped = b"".join(key + (client.get(key) or b"") for key in keys)
    assert sorted(key.split(b":")[1] for key in keys) == [b"search", b"vector"]
    words = f"owl vole meadow dusk secretfile eyes live acmetenant anncaller {name} {first.passages[0].document_id}"
    assert [each for each in words.split() if each.encode() in dumped.lower()] == []


def test_servers_share_entries_and_settings_separate_them(serving: Serving, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.md").write_text(A_TEXT)
    one, other, changed, off = (
        serving(),
        serving(home=tmp_path),
        serving(entities="phrases"),
        serving(search_cache="off"),
    )
    one.ingestion.ingest(IngestRequest(SourceSpec(folder.as_uri(), name)))
    who, request = Principal("ann", "default", frozenset({"*"})), SearchRequest("owls", name)
    assert [each.search(request, who).cached for each in (one, other, off, one)] == [False, True, False, True]
    assert not serving(filter_fields="mime").search(request, who).cached
    assert changed.search(request, who).cached, "the default, spelt out"
    assert off.search_cache is None and serving(redis_url="").search_cache is None


def test_a_cache_that_hangs_costs_its_timeout_only(serving: Serving, server: Valkey, tmp_path: Path, name: str) -> None:
    import signal

    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.md").write_text(A_TEXT)
    sluice = serving(redis_url=server.url, search_cache_timeout_s=0.1)
    sluice.ingestion.ingest(IngestRequest(SourceSpec(folder.as_uri(), name)))
    who = Principal("ann", "default", frozenset({"*"}))
    sluice.search(SearchRequest("owls", name), who)
    server.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        outcome = sluice.search(SearchRequest("voles", name), who)
        assert outcome.degraded == ("cache",) and len(outcome.passages) == 1
        assert time.monotonic() - began < 2
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert sluice.search(SearchRequest("owls", name), who).cached


# --- any history

GROUPS = ("staff", "board")
NAMES = ("a.md", "b.md", "c.md")
WORDS = ("herons", "trains", "bread", "rivers")
QUESTIONS = ("herons of the rivers", "trains")
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3, unique=True).map(
    lambda words: "\n\n".join(f"The {word} are written of in part {len(word)} of this page." for word in words)
)


@dataclass
class Place:
    """A source: its folder, and the tenant that it belongs to."""

    folder: Path
    spec: SourceSpec


class CacheHistory(RuleBasedStateMachine):
    """After each step every principal's cached answer equals an uncached one of the same moment."""

    make: Callable[[], Any]
    tmp: Path
    stack: EngineStack
    hits: list[bool]

    def __init__(self) -> None:
        super().__init__()
        root = self.tmp / uuid4().hex
        common = {"embedder": "hash:64", "graph": "off", "file_roots": str(root), "max_shrink": 1.0}
        self.sluice = Sluice(self.stack.settings(**common), serving=True)
        self.uncached = Sluice(self.stack.settings(**common, search_cache="off"), serving=True)
        self.collection = f"h{uuid4().hex[:12]}"
        self.tenants = [f"t{uuid4().hex[:12]}" for _ in range(2)]
        self.places = [
            Place(root / str(number), SourceSpec((root / str(number)).as_uri(), self.collection, tenant, groups))
            for number, (tenant, groups) in enumerate(
                ((self.tenants[0], ()), (self.tenants[0], ("staff",)), (self.tenants[1], ()))
            )
        ]
        for number, place in enumerate(self.places):
            place.folder.mkdir(parents=True)
            (place.folder / "a.md").write_text(f"The herons and trains of place {number}.")
            self._ingest(place)
        self.callers = [f"u{uuid4().hex[:12]}" for _ in range(4)]
        for caller, tenant, held in zip(
            self.callers, (*[self.tenants[0]] * 3, self.tenants[1]), (("*",), ("staff",), (), ()), strict=True
        ):
            self._grant(caller, tenant, held)
        self.db = db_of(self.sluice)

    # writes

    @rule(place=st.integers(0, 2), name=st.sampled_from(NAMES), text=texts)
    def write(self, place: int, name: str, text: str) -> None:
        (self.places[place].folder / name).write_text(text)
        self._ingest(self.places[place])

    @rule(place=st.integers(0, 2), name=st.sampled_from(NAMES))
    def delete_file(self, place: int, name: str) -> None:
        folder = self.places[place].folder
        if (folder / name).exists() and len(list(folder.iterdir())) > 1:
            (folder / name).unlink()
            self._ingest(self.places[place])

    @rule(place=st.integers(0, 2), name=st.sampled_from(NAMES), other=st.sampled_from(NAMES))
    def rename_file(self, place: int, name: str, other: str) -> None:
        if (self.places[place].folder / name).exists():
            (self.places[place].folder / name).rename(self.places[place].folder / other)
            self._ingest(self.places[place])

    @precondition(lambda self: self._documents())
    @rule(data=st.data())
    def delete_by_hand(self, data: st.DataObject) -> None:
        self.sluice.deletion.delete_documents([self._drawn(data)], actor="ann")

    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        removed = self._ids("removed_at IS NOT NULL AND deleted_at IS NULL")
        if removed:
            source = self.sluice.deletion.restore(data.draw(st.sampled_from(removed)))
            self._ingest(next(each for each in self.places if each.spec.uri == source.spec.uri))

    @precondition(lambda self: self._documents())
    @rule(data=st.data(), left_ms=st.integers(-100, 200))
    def expire(self, data: st.DataObject, left_ms: int) -> None:
        """Soon: no write marks the moment itself."""
        until = self.sluice.ledger.retention.clock() + timedelta(milliseconds=left_ms)
        scope = RetentionScope(document_id=self._drawn(data))
        self.sluice.ledger.retention.assign(scope, Retention(until=until))

    @rule(data=st.data(), level=st.sampled_from(("document", "source", "collection")))
    def keep(self, data: st.DataObject, level: str) -> None:
        if level == "document":
            if ids := self._ids("retain_until IS NOT NULL"):
                scope = RetentionScope(document_id=data.draw(st.sampled_from(ids)))
                self.sluice.ledger.retention.assign(scope, None)
            return
        place = data.draw(st.sampled_from(self.places))
        source = place.spec.uri if level == "source" else ""
        days = data.draw(st.integers(0, 2))
        self.sluice.ledger.retention.assign(
            RetentionScope(self.collection, place.spec.tenant, source), Retention(days=days)
        )

    @rule(place=st.integers(0, 2), groups=st.sets(st.sampled_from(GROUPS)))
    def regroup_source(self, place: int, groups: set[str]) -> None:
        spec = replace(self.places[place].spec, access_groups=tuple(sorted(groups)))
        self.sluice.saved_sources.save(spec)

    @precondition(lambda self: self._documents())
    @rule(data=st.data(), groups=st.none() | st.sets(st.sampled_from(GROUPS)))
    def regroup_document(self, data: st.DataObject, groups: set[str] | None) -> None:
        self.db.execute(
            "UPDATE documents SET access_groups = :g WHERE document_id = :d",
            g=None if groups is None else sorted(groups),
            d=self._drawn(data),
        )

    @rule(caller=st.integers(0, 2), held=st.sets(st.sampled_from((*GROUPS, "*"))))
    def regrant(self, caller: int, held: set[str]) -> None:
        self._grant(self.callers[caller], self.tenants[0], tuple(held))

    @rule()
    def flush(self) -> None:
        with redis.Redis.from_url(self.stack.environment["SLUICE_REDIS_URL"]) as client:
            client.flushdb()

    @rule()
    def wait(self) -> None:
        time.sleep(0.1)

    # reads

    @invariant()
    def every_cached_answer_is_an_uncached_one(self) -> None:
        for caller in self.callers:
            (grant,) = self.sluice.ledger.grants.of(caller)
            for query in QUESTIONS:
                request = SearchRequest(query, self.collection, 4)
                for _ in range(2):
                    before = self._answer(self.uncached, request, grant.holder())
                    given = self._answer(self.sluice, request, grant.holder())
                    after = self._answer(self.uncached, request, grant.holder())
                    assert given in (before, after), f"{caller} holds {sorted(grant.groups)}: {query}"

    def _answer(self, sluice: Sluice, request: SearchRequest, who: Principal) -> SearchOutcome | str:
        try:
            outcome = sluice.search(request, who)
        except NotFound:
            return "404"
        if sluice is self.sluice:
            self.hits.append(outcome.cached)
        assert outcome.degraded == ()
        return replace(outcome, took_ms=0, cached=False)

    # the rest

    def _ingest(self, place: Place) -> None:
        self.sluice.ingestion.ingest(IngestRequest(place.spec, approve_shrink=True))

    def _grant(self, caller: str, tenant: str, held: tuple[str, ...]) -> None:
        self.sluice.ledger.grants.add(Grant(caller, tenant, frozenset(held), False))

    def _ids(self, where: str) -> list[UUID]:
        collection = "collection_id = (SELECT collection_id FROM collections WHERE name = :c)"
        return self.db.select(
            f"SELECT document_id FROM documents WHERE {collection} AND {where} ORDER BY 1", c=self.collection
        )

    def _documents(self) -> list[UUID]:
        return self._ids("deleted_at IS NULL AND removed_at IS NULL")

    def _drawn(self, data: st.DataObject) -> UUID:
        documents = self._documents()
        return documents[data.draw(st.integers(0, 1 << 16)) % len(documents)]

    def teardown(self) -> None:
        self.sluice.close()
        self.uncached.close()


def run_history(stack: EngineStack, folder: Path, examples: int, steps: int) -> list[bool]:
    """Returns of each search through the cache whether it was cached."""
    hits: list[bool] = []
    machine: Any = type("Machine", (CacheHistory,), {"stack": stack, "tmp": folder, "hits": hits})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=[Phase.generate],  # each step of shrinking would be a history of its own
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return hits


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("examples", "steps"), [(4, 12), pytest.param(40, 30, marks=pytest.mark.drill)])
def test_no_history_gives_a_stale_or_foreign_answer(
    stack: EngineStack, tmp_path: Path, examples: int, steps: int
) -> None:
    hits = run_history(stack, tmp_path, examples, steps)
    assert len(hits) > 8 * examples and sum(hits) > len(hits) / 4, "the cache is hardly used"
