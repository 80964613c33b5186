"""A Qdrant that is not there, or does not answer, costs a bounded time and says so."""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from sluice.adapters.qdrant import QdrantIndex
from sluice.adapters.qdrant_on_demand import QdrantOnDemand
from sluice.errors import Terminal, Unavailable
from sluice.model import Generation, Profile

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
        with pytest.raises(Unavailable, match="qdrant is not available"):
            call()
        assert time.monotonic() - start < 4
    index.close()


@dataclass
class _Answers:
    """A server that answers what it is told to; it keeps what it was asked."""

    answers: list[tuple[int, str]]
    asked: list[tuple[str, str, str | None, bytes]] = field(default_factory=list)


@pytest.fixture
def answering() -> Iterator[tuple[str, _Answers]]:
    told = _Answers([])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            told.asked.append((self.command, self.path, self.headers.get("api-key"), body))
            status, text = told.answers.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/below", told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_version_and_count_are_asked_over_http(answering: tuple[str, _Answers]) -> None:
    url, told = answering
    told.answers = [(200, '{"version": "1.15.4"}'), (200, '{"result": {"count": 7}}'), (404, "no such collection")]
    index = QdrantOnDemand(url, "secret")
    assert (index.ping(), index.count(GENERATION), index.count(GENERATION)) == ("1.15.4", 7, 0)
    path = "/below/collections/c__g1/points/count"
    assert [each[:3] for each in told.asked] == [("GET", "/below/", "secret"), *[("POST", path, "secret")] * 2]
    assert json.loads(told.asked[1][3]) == {"exact": True}
    index.close()


@pytest.mark.parametrize(
    ("status", "text", "error", "message"),
    [
        (401, "who are you", Terminal, "refused the API key"),
        (400, "odd", Terminal, "refused the request"),
        (500, "oops", Unavailable, "answered 500: oops"),
        (200, "<html>", Unavailable, "no Qdrant"),
        (200, "[]", Unavailable, "no Qdrant"),
        (200, '{"result": null}', Unavailable, "no Qdrant"),
    ],
)
def test_what_goes_wrong_over_http_is_told_as_ever(
    answering: tuple[str, _Answers], status: int, text: str, error: type[Exception], message: str
) -> None:
    url, told = answering
    told.answers = [(status, text)]
    index = QdrantOnDemand(url)
    with pytest.raises(error, match=message):
        index.count(GENERATION)
    index.close()
