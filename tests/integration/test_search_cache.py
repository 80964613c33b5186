"""The cache of searches on real engines: over HTTP, in Redis' memory, and through any history by several principals."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from fastapi.testclient import TestClient

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
    from sluice.adapters.redis_cache import RedisCache

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
NAMES = tuple("abcdef")
WORDS = ("herons", "trains", "bread", "rivers")
QUESTIONS = ("herons of the rivers", "trains")


@dataclass
class Place:
    """A source: its folder, and what it is saved with."""

    folder: Path
    spec: SourceSpec


class CacheHistory:
    """A collection of two tenants that changes in every way, in an order that the seed gives. After each step every
    caller's cached answer equals an uncached one of the same moment."""

    def __init__(self, stack: EngineStack, root: Path, seed: int) -> None:
        self.random, self.stack = Random(seed), stack
        common = {"embedder": "hash:64", "graph": "off", "file_roots": str(root), "max_shrink": 1.0}
        self.sluice = Sluice(stack.settings(**common), serving=True)
        self.uncached = Sluice(stack.settings(**common, search_cache="off"), serving=True)
        self.db = db_of(self.sluice)
        self.collection = f"h{uuid4().hex[:12]}"
        first, second = (f"t{uuid4().hex[:12]}" for _ in range(2))
        owners = ((first, ()), (first, ("staff",)), (second, ()))
        self.places = [self._place(root / str(n), *owner) for n, owner in enumerate(owners)]
        for place in self.places:
            self.add(place)
            self.add(place)
        self.callers = {f"u{uuid4().hex[:12]}": tenant for tenant in (first, first, first, second)}
        for caller, held in zip(self.callers, (("*",), ("staff",), (), ()), strict=True):
            self._grant(caller, held)
        self.hits = self.reads = 0
        self.steps: list[str] = []

    def run(self, rounds: int) -> None:
        """Takes every kind of step once in each round."""
        kinds = [self.add, self.edit, self.delete_file, self.rename, self.delete_by_hand, self.restore, self.expire]
        kinds += [self.keep, self.regroup_source, self.regroup_document, self.regrant, self.flush, self.wait, self.add]
        self.compare()
        for _ in range(rounds):
            self.random.shuffle(kinds)
            for step in kinds:
                self.steps.append(step.__name__)
                step()
                self.compare()

    # writes

    def add(self, place: Place | None = None) -> None:
        place = place or self.random.choice(self.places)
        free = [name for name in NAMES if not (place.folder / f"{name}.md").exists()]
        if free:
            self._write(place, place.folder / f"{self.random.choice(free)}.md")

    def edit(self) -> None:
        place = self.random.choice(self.places)
        self._write(place, self._file(place))

    def delete_file(self) -> None:
        place = self.random.choice(self.places)
        if len(list(place.folder.iterdir())) > 1:
            self._file(place).unlink()
            self._ingest(place)

    def rename(self) -> None:
        place = self.random.choice(self.places)
        self._file(place).rename(place.folder / f"{self.random.choice(NAMES)}.md")
        self._ingest(place)

    def delete_by_hand(self) -> None:
        if documents := self._documents():
            self.sluice.deletion.delete_documents([self.random.choice(documents)], actor="ann")

    def restore(self) -> None:
        removed = self._ids("removed_at IS NOT NULL AND deleted_at IS NULL")
        if removed:
            source = self.sluice.deletion.restore(self.random.choice(removed))
            self._ingest(next(each for each in self.places if each.spec.uri == source.spec.uri))

    def expire(self) -> None:
        """Soon, so that no write marks the moment itself; one that callers then see go."""
        if documents := self._documents():
            until = self.sluice.ledger.retention.clock() + timedelta(milliseconds=self.random.choice((-100, 200, 400)))
            scope = RetentionScope(document_id=self.random.choice(documents))
            self.sluice.ledger.retention.assign(scope, Retention(until=until))
            self.compare()
            time.sleep(0.4)

    def keep(self) -> None:
        for document_id in self._ids("retain_until IS NOT NULL")[:1]:
            self.sluice.ledger.retention.assign(RetentionScope(document_id=document_id), None)
            self.compare()
        place = self.random.choice(self.places)
        source = self.random.choice((place.spec.uri, ""))
        scope = RetentionScope(self.collection, place.spec.tenant, source)
        self.sluice.ledger.retention.assign(scope, Retention(days=self.random.choice((0, 1, 2))))

    def regroup_source(self) -> None:
        """A document that is open to all keeps the source among everybody's: only the epoch tells that it changed."""
        for place in self.places[:2]:
            one = "source_id = (SELECT source_id FROM sources s WHERE s.uri = :u) AND deleted_at IS NULL"
            for document_id in self._ids(f"{one} AND removed_at IS NULL", u=place.spec.uri)[:1]:
                self._set_groups(document_id, ())
            self.compare()
            self.sluice.saved_sources.save(replace(place.spec, access_groups=self._groups()))
            self.compare()

    def regroup_document(self) -> None:
        if documents := self._documents():
            self._set_groups(self.random.choice(documents), self.random.choice((None, self._groups())))

    def regrant(self) -> None:
        self._grant(self.random.choice(list(self.callers)), self.random.choice((("*",), self._groups())))

    def flush(self) -> None:
        with redis.Redis.from_url(self.stack.environment["SLUICE_REDIS_URL"]) as client:
            client.flushdb()

    def wait(self) -> None:
        time.sleep(0.1)

    # reads

    def compare(self) -> None:
        for caller in self.callers:
            (grant,) = self.sluice.ledger.grants.of(caller)
            for query in QUESTIONS:
                request = SearchRequest(query, self.collection, 4)
                for _ in range(3):  # a document may expire between the two; a stale entry would be there again
                    given, expected = self._pair(request, grant.holder())
                    if given == expected:
                        break
                assert given == expected, f"{caller} ({sorted(grant.groups)}) {query!r} after {self.steps}"

    def _pair(self, request: SearchRequest, who: Principal) -> tuple[object, object]:
        return self._answer(self.sluice, request, who), self._answer(self.uncached, request, who)

    def _answer(self, sluice: Sluice, request: SearchRequest, who: Principal) -> SearchOutcome | str:
        try:
            outcome = sluice.search(request, who)
        except NotFound:
            return "404"
        if sluice is self.sluice:
            self.reads += 1
            self.hits += outcome.cached
        assert outcome.degraded == ()
        return replace(outcome, took_ms=0, cached=False)

    # the rest

    def _place(self, folder: Path, tenant: str, groups: tuple[str, ...]) -> Place:
        folder.mkdir(parents=True)
        return Place(folder, SourceSpec(folder.as_uri(), self.collection, tenant, groups))

    def _write(self, place: Place, file: Path) -> None:
        words = self.random.sample(WORDS, self.random.randint(1, 3))
        number = self.random.randrange(10**6)
        file.write_text("\n\n".join(f"The {word} are written of in part {number} of this page." for word in words))
        self._ingest(place)

    def _file(self, place: Place) -> Path:
        return self.random.choice(sorted(place.folder.iterdir()))

    def _ingest(self, place: Place) -> None:
        spec = SourceSpec(place.spec.uri, self.collection, place.spec.tenant)
        saved = self.sluice.ledger.sources.spec(spec.tenant, spec.collection, spec.uri)
        self.sluice.ingestion.ingest(IngestRequest(spec if saved else place.spec, approve_shrink=True))

    def _grant(self, caller: str, held: tuple[str, ...]) -> None:
        self.sluice.ledger.grants.add(Grant(caller, self.callers[caller], frozenset(held), False))

    def _groups(self) -> tuple[str, ...]:
        return tuple(self.random.sample(GROUPS, self.random.randint(0, 2)))

    def _set_groups(self, document_id: UUID, groups: tuple[str, ...] | None) -> None:
        own = None if groups is None else list(groups)
        self.db.execute("UPDATE documents SET access_groups = :g WHERE document_id = :d", g=own, d=document_id)

    def _ids(self, where: str, **values: str) -> list[UUID]:
        collection = "collection_id = (SELECT collection_id FROM collections WHERE name = :c)"
        query = f"SELECT document_id FROM documents WHERE {collection} AND {where} ORDER BY 1"
        return self.db.select(query, c=self.collection, **values)

    def _documents(self) -> list[UUID]:
        return self._ids("deleted_at IS NULL AND removed_at IS NULL")

    def close(self) -> None:
        self.sluice.close()
        self.uncached.close()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("seed", "rounds"), [(1, 1), *(pytest.param(n, 4, marks=pytest.mark.drill) for n in range(2, 12))]
)
def test_no_history_gives_a_stale_or_foreign_answer(stack: EngineStack, tmp_path: Path, seed: int, rounds: int) -> None:
    history = CacheHistory(stack, tmp_path, seed)
    try:
        history.run(rounds)
    finally:
        history.close()
    assert history.hits > 8 * rounds, "the cache is hardly used"
