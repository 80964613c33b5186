"""The embedded Qdrant server: compared with the real one, and on its own."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from qdrant_client import QdrantClient
from qdrant_client import models as m
from qdrant_client.http.exceptions import UnexpectedResponse

from contract.qdrant_comparison import assert_same, outcome, output
from contract.qdrant_operations import NAME, Operations
from contract.qdrant_pair import API_KEY, REAL_BINARY, Server, embedded, given_client, real
from support.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")

STEPS = 200
VECTORS = {"dense": m.VectorParams(size=4, distance=m.Distance.COSINE)}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = embedded(tmp_path).start()
    yield started
    started.kill()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = embedded(tmp_path_factory.mktemp("shared")).start()
    yield started
    started.kill()


@pytest.fixture
def shared(running: Server) -> Server:
    """A server for tests that leave it running; empty at the start of each."""
    client = running.client()
    for collection in client.get_collections().collections:
        client.delete_collection(collection.name)
    return running


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[QdrantClient, QdrantClient]]:
    folder = tmp_path_factory.mktemp("pair")
    given = given_client()
    if given is None and not REAL_BINARY:
        pytest.skip("no real Qdrant to compare with: set SLUICE_QDRANT_BIN, or SLUICE_QDRANT_URL of an external stack")
    if given is not None and given.get_collections().collections:
        pytest.skip("the Qdrant of SLUICE_QDRANT_URL holds collections, which this comparison would remove")
    servers = [embedded(folder), *([] if given else [real(folder)])]
    try:
        mine, *theirs = (server.start().client() for server in servers)
        yield mine, given or theirs[0]
    finally:
        for server in servers:
            server.kill()


@pytest.mark.parametrize("seed", range(3))
def test_random_operations_give_the_same_on_both_servers(pair: Any, seed: int) -> None:
    operations = Operations(seed)
    for client in pair:
        for collection in client.get_collections().collections:
            client.delete_collection(collection.name)
    for step, call in enumerate([*operations.setup(), *(operations.draw() for _ in range(STEPS))]):
        mine, theirs = (outcome(call, client) for client in pair)
        where = f"seed {seed} step {step} {output(call)}"
        assert mine[0] == theirs[0], f"{where}: {mine} != {theirs}"
        assert_same(_listed(mine[1]), _listed(theirs[1]), where)


def test_compared_after_both_have_optimised(pair: Any) -> None:
    """Exact search, fusion and counts on indexed segments, with deletions in them."""
    operations = Operations(99)
    points = [m.PointStruct(id=n, vector=operations.vector(), payload={"n": n}) for n in range(1, 1500)]
    for client in pair:
        client.delete_collection(NAME)
        client.create_collection(
            NAME,
            vectors_config={"dense": m.VectorParams(size=8, distance=m.Distance.COSINE)},
            sparse_vectors_config={"bm25": m.SparseVectorParams(modifier=m.Modifier.IDF)},
            optimizers_config=m.OptimizersConfigDiff(indexing_threshold=10),
        )
        client.upsert(NAME, points=points, wait=True)
        _wait_green(client, NAME)
        client.delete(NAME, points_selector=list(range(1, 300, 3)), wait=True)
    dense, sparse = operations.dense(), operations.sparse()
    legs = [
        m.Prefetch(query=dense, using="dense", limit=40, params=m.SearchParams(exact=True)),
        m.Prefetch(query=sparse, using="bm25", limit=40),
    ]
    for call in (
        lambda c: c.count(NAME),
        lambda c: c.query_points(NAME, query=dense, using="dense", limit=30, search_params=m.SearchParams(exact=True)),
        lambda c: c.query_points(NAME, prefetch=legs, query=m.RrfQuery(rrf=m.Rrf(k=60)), limit=30),
    ):
        mine, theirs = (outcome(call, client) for client in pair)
        assert_same(mine[1], theirs[1], "optimised")
    assert pair[0].get_collection(NAME).indexed_vectors_count > 0


def test_an_acknowledged_write_survives_kill_9(server: Server) -> None:
    client = server.client()
    client.create_collection("c", vectors_config=VECTORS)
    client.create_payload_index("c", "n", m.PayloadSchemaType.INTEGER, wait=True)
    for start in range(0, 400, 50):
        client.upsert("c", points=_points(start, 50), wait=True)
    client.set_payload("c", payload={"late": True}, points=[7], wait=True)
    client.delete("c", points_selector=[8], wait=True)
    client.update_collection_aliases([_alias("c", "live")])
    with pytest.raises(UnexpectedResponse, match="No point with id"):
        client.set_payload("c", payload={"x": 1}, points=[123456], wait=True)
    server.kill()
    client = server.start().client()
    assert client.count("live").count == 399
    assert client.retrieve("live", ids=[7])[0].payload == {"n": 7, "late": True}
    assert client.get_collection("c").payload_schema["n"].points == 399
    assert client.query_points("live", query=[1.0, 7.0, 0.0, 0.0], using="dense", limit=1).points


def test_a_clean_stop_exits_0_and_keeps_everything(server: Server) -> None:
    client = server.client()
    client.create_collection("c", vectors_config=VECTORS)
    client.upsert("c", points=_points(0, 100), wait=True)
    assert server.stop() == 0
    assert server.start().client().count("c").count == 100


def test_a_second_server_on_the_same_folder_is_refused(server: Server) -> None:
    second = embedded(server.folder)
    with pytest.raises(AssertionError, match="used by another running server"):
        second.start()
    second.kill()
    assert server.client().get_collections().collections == []


def test_leftovers_of_a_killed_server_are_swept(server: Server) -> None:
    server.client().create_collection("c", vectors_config=VECTORS)
    server.kill()
    root = server.folder / "storage" / "collections"
    (unfinished := next(root.glob("*/*")).parent / "unfinished").mkdir()
    (half_made := root / "half-made" / "shard").mkdir(parents=True)
    client = server.start().client()
    assert client.count("c").count == 0
    assert not half_made.exists() and not unfinished.exists()


def test_readers_never_see_a_half_switched_alias(shared: Server) -> None:
    client = shared.client()
    for name, count in (("blue", 10), ("green", 20)):
        client.create_collection(name, vectors_config=VECTORS)
        client.upsert(name, points=_points(0, count), wait=True)
    client.update_collection_aliases([_alias("blue", "live"), _alias("blue", "shown")])
    with _background(lambda c: c.count("live").count, shared) as seen:
        for turn in range(40):
            target = ("green", "blue")[turn % 2]
            drop = m.DeleteAliasOperation(delete_alias=m.DeleteAlias(alias_name="live"))
            client.update_collection_aliases([drop, _alias(target, "live"), _alias(target, "shown")])
            table = {a.alias_name: a.collection_name for a in client.get_aliases().aliases}
            assert table == {"live": target, "shown": target}
    assert set(seen) == {10, 20}


def test_alias_actions_are_all_done_or_none(shared: Server) -> None:
    client = shared.client()
    client.create_collection("c", vectors_config=VECTORS)
    with pytest.raises(UnexpectedResponse, match="`nowhere`"):
        client.update_collection_aliases([_alias("c", "a"), _alias("nowhere", "b")])
    assert client.get_aliases().aliases == []


def test_readers_go_on_while_points_are_written_and_optimised(server: Server) -> None:
    """Every write during an optimisation is in the optimised shard; reads are never refused or held up for long."""
    client = server.client()
    settings = m.OptimizersConfigDiff(indexing_threshold=10)
    client.create_collection("c", vectors_config=VECTORS, optimizers_config=settings)
    client.upsert("c", points=_points(0, 4000), wait=True)
    read_before = None
    with _background(lambda c: c.query_points("c", query=[1.0, 2.0, 0, 0], using="dense"), server) as reads:
        start, deadline = 4000, time.monotonic() + 30
        while client.get_collection("c").indexed_vectors_count == 0 and time.monotonic() < deadline:
            if _shard_folders(server) > 1 or start > 4000:
                read_before = len(reads) if read_before is None else read_before
                client.upsert("c", points=_points(start, 20), wait=True)
                client.delete("c", points_selector=[start], wait=True)
                start += 20
            else:
                time.sleep(0.02)
        read_meanwhile = len(reads) - (read_before or 0)
    _wait_green(client, "c")
    assert (client.get_collection("c").indexed_vectors_count or 0) >= 4000
    assert start > 4000, "no write fell into the optimisation"
    assert client.count("c").count == 4000 + (start - 4000) // 20 * 19
    server.kill()
    client = server.start().client()
    assert client.count("c").count == 4000 + (start - 4000) // 20 * 19
    assert _shard_folders(server) == 1
    assert len(reads) > 20 and read_meanwhile >= 2, "reads waited for the optimisation"


def test_settings_can_be_changed(server: Server) -> None:
    client = server.client()
    client.create_collection("c", vectors_config=VECTORS)
    client.update_collection("c", optimizers_config=m.OptimizersConfigDiff(indexing_threshold=0))
    server.kill()
    client = server.start().client()
    assert client.get_collection("c").config.optimizer_config.indexing_threshold == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "named"),
    [
        ("GET", "/collections/c/snapshots", None, "GET /collections/c/snapshots"),
        ("POST", "/collections/c/points/query/groups", {}, "POST /collections/c/points/query/groups"),
        ("POST", "/collections/c/points/query", {"query": {"recommend": {"positive": [1]}}}, "`recommend`"),
        ("POST", "/collections/c/points/query", {"query": [1], "lookup_from": {"collection": "d"}}, "`lookup_from`"),
        ("PUT", "/collections/d", {}, "a collection without vectors"),
    ],
)
def test_what_is_not_supported_is_501_and_names_itself(
    shared: Server, method: str, path: str, body: Any, named: str
) -> None:
    shared.client().create_collection("c", vectors_config=VECTORS)
    reply = httpx.request(method, shared.url + path, json=body, headers={"api-key": API_KEY}, timeout=5.0)
    assert reply.status_code == 501
    assert named in reply.json()["status"]["error"]


def test_the_key_is_asked_for_everywhere_but_at_the_probes(shared: Server) -> None:
    def status(path: str, **headers: str) -> int:
        return httpx.get(shared.url + path, headers=headers, timeout=5.0).status_code

    for path in ("/", "/readyz", "/healthz", "/livez"):
        assert status(path) == 200
    for path in ("/collections", "/telemetry", "/aliases", "/collections/c/snapshots", "/nothing-here"):
        assert status(path) == 401
        assert status(path, **{"api-key": API_KEY + "x"}) == 401
        assert status(path, Authorization="Bearer nonsense") == 401
    assert status("/collections", **{"api-key": API_KEY}) == 200
    assert status("/collections", Authorization=f"Bearer {API_KEY}") == 200


@pytest.mark.parametrize("content", [b"", b"{", b'{"points": [', b"\xff\xfe", b'{"points": NaN}', b"[]", b"7"])
def test_a_body_that_is_no_request_is_400(shared: Server, content: bytes) -> None:
    shared.client().create_collection("c", vectors_config=VECTORS)
    headers = {"api-key": API_KEY, "content-type": "application/json"}
    for method, path in (("PUT", "points"), ("POST", "points/query"), ("POST", "points/delete"), ("PUT", "index")):
        url = f"{shared.url}/collections/c/{path}"
        reply = httpx.request(method, url, content=content, headers=headers, timeout=5.0)
        assert reply.status_code == 400, (path, reply.text)
        assert reply.json()["status"]["error"].startswith("Format error in JSON body")


def test_a_body_above_the_limit_is_400_and_the_server_lives(shared: Server) -> None:
    url, headers = f"{shared.url}/collections/c/points", {"api-key": API_KEY}
    reply = httpx.put(url, content=b" " * (33 * 1024 * 1024), headers=headers, timeout=30.0)
    assert reply.status_code == 400
    assert "larger than allowed (limit: 33554432 bytes)" in reply.json()["status"]["error"]
    assert shared.client().get_collections().collections == []


class _background:
    """Runs a read over and over in two threads while the block runs; gives what was read, and fails as they fail."""

    def __init__(self, read: Any, server: Server) -> None:
        self._done = threading.Event()
        self._seen: list[Any] = []
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(read, server.client())) for _ in range(2)]

    def _run(self, read: Any, client: QdrantClient) -> None:
        while not self._done.is_set():
            try:
                self._seen.append(read(client))
            except BaseException as error:
                self._errors.append(error)
                return

    def __enter__(self) -> list[Any]:
        for thread in self._threads:
            thread.start()
        return self._seen

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(30)
        if self._errors:
            raise self._errors[0]


def _points(start: int, count: int) -> list[m.PointStruct]:
    numbers = range(start, start + count)
    return [m.PointStruct(id=n, vector={"dense": [1.0, n, n % 7, n % 3]}, payload={"n": n}) for n in numbers]


def _alias(collection: str, alias: str) -> m.CreateAliasOperation:
    return m.CreateAliasOperation(create_alias=m.CreateAlias(collection_name=collection, alias_name=alias))


def _shard_folders(server: Server) -> int:
    return len(list((server.folder / "storage" / "collections").glob("*/*")))


def _wait_green(client: QdrantClient, name: str) -> None:
    wait_until(
        lambda: client.get_collection(name).status == m.CollectionStatus.GREEN, "the collection did not become green"
    )


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
