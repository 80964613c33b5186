"""A Qdrant that is not there, or does not answer, costs a bounded time and says so; a connection that it has closed
costs nothing."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import BinaryIO

import numpy as np
import pytest

from sluice.adapters.qdrant.index import QdrantIndex
from sluice.adapters.qdrant.on_demand import QdrantOnDemand
from sluice.adapters.qdrant.transport import with_port
from sluice.errors import Terminal, Transient, Unavailable
from sluice.model.chunk import SparseVector
from sluice.model.generation import Generation, Profile
from sluice.model.points import Point

GENERATION = Generation(uuid.uuid4(), "c", 1, Profile("tokens:256:0", "hash:8", "off", 8), "c__g1")


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("kind", [QdrantIndex, QdrantOnDemand])
@pytest.mark.parametrize("grpc", [False, True])
@pytest.mark.parametrize("silent", [False, True])
def test_every_call_ends_in_time_as_unavailable(
    silent_port: int, grpc: bool, silent: bool, kind: type[QdrantIndex | QdrantOnDemand]
) -> None:
    port = silent_port if silent else _closed_port()
    index = kind(f"http://127.0.0.1:{port}", "key", port if grpc else None, call_timeout_s=1.0)
    for call in (lambda: index.ensure(GENERATION), lambda: index.count(GENERATION), index.ping):
        start = time.monotonic()
        with pytest.raises(Unavailable, match="qdrant did not answer in time" if silent else "is not available"):
            call()
        assert time.monotonic() - start < 20  # the default of a call is 30 s
    index.close()


@dataclass
class _Answers:
    """A server that answers what it is told to; it keeps what it was asked."""

    answers: list[tuple[int, str]]
    asked: list[tuple[str, str, str | None, bytes]] = field(default_factory=list)


@pytest.fixture
def answering() -> Iterator[tuple[str, _Answers]]:
    output = _Answers([])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            output.asked.append((self.command, self.path, self.headers.get("api-key"), body))
            status, text = output.answers.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_PUT = do_DELETE = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/below", output
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_version_and_count_are_asked_over_http(answering: tuple[str, _Answers]) -> None:
    url, output = answering
    output.answers = [(200, '{"version": "1.15.4"}'), (200, '{"result": {"count": 7}}'), (404, "no such collection")]
    index = QdrantOnDemand(url, "secret")
    assert (index.ping(), index.count(GENERATION), index.count(GENERATION)) == ("1.15.4", 7, 0)
    path = "/below/collections/c__g1/points/count"
    assert [each[:3] for each in output.asked] == [("GET", "/below/", "secret"), *[("POST", path, "secret")] * 2]
    assert json.loads(output.asked[1][3]) == {"exact": True, "filter": {"must": []}}
    index.close()


@pytest.mark.parametrize(
    ("status", "text", "error", "message"),
    [
        (401, "who are you", Terminal, "refused the API key"),
        (400, "odd", Terminal, "rejected the request"),
        (500, "oops", Unavailable, "answered 500: oops"),
        (200, "<html>", Unavailable, "is not Qdrant"),
        (200, "[]", Unavailable, "is not Qdrant"),
        (200, '{"result": null}', Unavailable, "is not Qdrant"),
        (429, "slow down", Transient, "limits the rate"),
    ],
)
def test_what_goes_wrong_over_http_is_told_as_ever(
    answering: tuple[str, _Answers], status: int, text: str, error: type[Exception], message: str
) -> None:
    url, output = answering
    index = QdrantOnDemand(url)
    point = Point(uuid.uuid4(), np.ones(8, np.float32), SparseVector(np.array([1]), np.array([1.0])), {})
    for call in (
        lambda: index.count(GENERATION),
        lambda: index.ensure(GENERATION),
        lambda: index.delete(GENERATION, [point.chunk_id]),
        lambda: index.drop(GENERATION),
        lambda: index.upsert(GENERATION, [point]),
    ):
        output.answers = [(status, text)]
        with pytest.raises(error, match=message):
            call()
    index.close()


@pytest.mark.parametrize("vectors", ['{"dense": "wide"}', "[]", '"dense"', "null"])
def test_a_collection_of_another_shape_is_told(answering: tuple[str, _Answers], vectors: str) -> None:
    url, output = answering
    index = QdrantOnDemand(url)
    params = f'{{"vectors": {vectors}, "sparse_vectors": {{}}}}'
    output.answers = [(200, f'{{"result": {{"config": {{"params": {params}}}, "payload_schema": {{}}}}}}')]
    with pytest.raises((Terminal, Unavailable)):
        index.ensure(GENERATION)
    index.close()


def test_an_update_that_is_not_applied_is_no_success(answering: tuple[str, _Answers]) -> None:
    url, output = answering
    index = QdrantOnDemand(url)
    output.answers = [(200, '{"result": {"status": "acknowledged", "operation_id": 1}}')]
    with pytest.raises(Unavailable, match="is not Qdrant"):
        index.delete(GENERATION, [uuid.uuid4()])
    index.close()


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://qdrant.example", "http://qdrant.example:6333"),
        ("https://qdrant.example/below/", "https://qdrant.example:6333/below"),
        ("http://[::1]", "http://[::1]:6333"),
        ("http://qdrant.example:80", "http://qdrant.example:80"),
    ],
)
def test_an_address_without_a_port_means_qdrants_own(url: str, asked: str) -> None:
    assert with_port(url) == asked


@contextmanager
def _closing_server(answers: int) -> Iterator[tuple[int, list[int]]]:
    """Its port, and how many requests came on each connection. The first connection is closed, without an answer, when
    its second request has come; after `answers` answers every one is."""
    seen: list[int] = []

    def serve(server: socket.socket) -> None:
        left = answers
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            seen.append(0)
            with connection, connection.makefile("rb") as lines:
                while _request(lines):
                    seen[-1] += 1
                    if not left or (len(seen) == 1 and seen[0] == 2):
                        break
                    left -= 1
                    body = b'{"result": {"count": 7, "status": "completed"}, "status": "ok", "time": 0.0}'
                    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                    connection.sendall(head % len(body) + body)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        yield server.getsockname()[1], seen
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def _request(lines: BinaryIO) -> bool:
    """One was read, with its body."""
    length = 0
    if not lines.readline():
        return False
    while (line := lines.readline().strip().lower()) != b"":
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    lines.read(length)
    return True


@pytest.mark.parametrize("kind", [QdrantIndex, QdrantOnDemand])
@pytest.mark.parametrize("call", ["count", "upsert"])
def test_a_connection_that_the_server_closed_is_opened_again(
    call: str, kind: type[QdrantIndex | QdrantOnDemand]
) -> None:
    point = Point(uuid.uuid4(), np.ones(8, np.float32), SparseVector(np.array([1]), np.array([1.0])), {})
    with _closing_server(answers=2) as (port, requests):
        index = kind(f"http://127.0.0.1:{port}", "key")
        for _ in range(2):
            if call == "count":
                assert index.count(GENERATION) == 7
            else:
                index.upsert(GENERATION, [point])
        index.close()
    assert requests == [2, 1]


def test_a_server_that_closes_every_connection_is_not_available() -> None:
    with _closing_server(answers=0) as (port, requests):
        index = QdrantIndex(f"http://127.0.0.1:{port}", "key")
        with pytest.raises(Unavailable, match="qdrant is not available"):
            index.count(GENERATION)
        index.close()
    assert requests == [1, 1]
