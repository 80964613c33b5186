"""A Qdrant that is not there, or does not answer, costs a bounded time and says so; a connection that it has closed
costs nothing."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import pytest

from sluice.adapters.qdrant import QdrantIndex
from sluice.errors import Unavailable
from sluice.model import Generation, Point, Profile, SparseVector

GENERATION = Generation(uuid.uuid4(), "c", 1, Profile("tokens:256:0", "hash:8", "off", 8), "c__g1")


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("grpc", [False, True])
@pytest.mark.parametrize("silent", [False, True])
def test_every_call_ends_in_time_as_unavailable(silent_port: int, grpc: bool, silent: bool) -> None:
    port = silent_port if silent else _closed_port()
    index = QdrantIndex(f"http://127.0.0.1:{port}", "key", port if grpc else None, call_timeout_s=1.0)
    for call in (lambda: index.ensure(GENERATION), lambda: index.count(GENERATION)):
        start = time.monotonic()
        with pytest.raises(Unavailable, match="qdrant is not available"):
            call()
        assert time.monotonic() - start < 4
    index.close()


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
                    body = b'{"result": {"count": 7}, "status": "ok", "time": 0.0}'
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


@pytest.mark.parametrize("call", ["count", "upsert"])
def test_a_connection_that_the_server_closed_is_opened_again(call: str) -> None:
    point = Point(uuid.uuid4(), np.ones(8, np.float32), SparseVector(np.array([1]), np.array([1.0])), {})
    with _closing_server(answers=2) as (port, requests):
        index = QdrantIndex(f"http://127.0.0.1:{port}", "key")
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
