"""`openai:<model>` against a real HTTP server on the loopback that answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from sluice.adapters.embedders import openai
from sluice.adapters.embedders.factory import make_embedder
from sluice.adapters.embedders.openai import Endpoint, OpenAiEmbedder
from sluice.errors import Terminal, Transient, Unavailable
from support.clock import Clock

TEXTS = ["The barn owl", "hunts voles", "above wet meadows: \N{SNOWMAN}"]
Answer = tuple[int, dict[str, str], Any]


def embeddings(request: dict[str, Any], dim: int = 3) -> Answer:
    """Vectors that are not of length 1, out of order; a token is a word."""
    rows = [
        {"index": n, "embedding": [float(len(text)), float(n)] + [1.0] * (dim - 2)}
        for n, text in enumerate(request["input"])
    ]
    words = sum(len(text.split()) for text in request["input"])
    return 200, {}, {"data": rows[::-1], "usage": {"prompt_tokens": words, "total_tokens": words}}


class Server:
    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.script: list[Callable[[dict[str, Any]], Answer]] = []  # then embeddings
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.requests.append({**request, "path": self.path})
                outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                answer = outer.script.pop(0) if outer.script else embeddings
                status, headers, body = answer(request)
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def handle(self) -> None:
                with suppress(ConnectionError):  # who gave up waiting is not there any more
                    super().handle()

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    built = Server()
    yield built
    built.close()


def embedder(server: Server, **changes: Any) -> OpenAiEmbedder:
    given = {"api_key": "sk-secret", "timeout_s": 5.0, "attempts": 3, "pause_s": 0.01, **changes}
    return OpenAiEmbedder("small-model", Endpoint(server.url, **given))


def failing(status: int, headers: dict[str, str] | None = None, body: Any = None) -> Callable[[dict[str, Any]], Answer]:
    return lambda request: (status, headers or {}, body)


def test_vectors_come_back_in_order_and_of_length_1_with_what_they_cost(server: Server) -> None:
    vectors, tokens = embedder(server).metered(TEXTS)
    assert vectors.dtype == np.float32 and vectors.shape == (3, 3)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    expected = np.array([[len(text), n, 1.0] for n, text in enumerate(TEXTS)])
    np.testing.assert_allclose(vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)
    assert tokens == sum(len(text.split()) for text in TEXTS)
    (request,) = server.requests
    assert request == {"path": "/v1/embeddings", "model": "small-model", "input": TEXTS, "encoding_format": "float"}
    assert server.headers[0]["authorization"] == "Bearer sk-secret"


def test_nothing_is_sent_before_it_is_used_and_no_key_where_there_is_none(server: Server) -> None:
    built = make_embedder("openai:small-model", Endpoint(server.url))
    assert built is make_embedder("openai:small-model", Endpoint(server.url))
    assert built.name == "openai:small-model" and server.requests == []
    assert built.dim == 3 and built.dim == 3
    assert len(server.requests) == 1, "the dimension is asked for once"
    assert "authorization" not in server.headers[0]
    assert built.embed([]).shape == (0, 3)


def test_requests_are_bounded(server: Server) -> None:
    vectors, tokens = embedder(server).metered([f"text {n}" for n in range(150)])
    assert [len(each["input"]) for each in server.requests] == [64, 64, 22]
    assert vectors.shape == (150, 3) and tokens == 300


def test_more_tokens_than_told_before_are_never_counted(server: Server) -> None:
    built = embedder(server)
    assert sum(built.tokens(TEXTS)) >= built.metered(TEXTS)[1]
    server.script = [lambda request: (200, {}, {"data": embeddings(request)[2]["data"]})]
    assert built.metered(TEXTS)[1] == sum(built.tokens(TEXTS)), "an answer without usage counts in full"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_tried_again(server: Server, status: int) -> None:
    server.script = [failing(status), failing(status)]
    assert embedder(server).embed(TEXTS).shape == (3, 3)
    assert len(server.requests) == 3


def test_the_endpoint_says_how_long_to_wait(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    clock.install(monkeypatch, openai)
    server.script = [failing(429, {"retry-after": "7"})]
    embedder(server).embed(TEXTS)
    assert clock.pauses == [7] and len(server.requests) == 2
    server.script = [failing(429, {"retry-after": "3600"})]
    with pytest.raises(Transient, match="limits the rate of requests"):
        embedder(server).embed(TEXTS)
    assert clock.pauses == [7] and len(server.requests) == 3, "an hour is for the scheduler to wait"


def test_what_stays_is_a_passing_error_in_the_end(server: Server) -> None:
    server.script = [failing(500)] * 3
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1 .*answered 500"):
        embedder(server).embed(TEXTS)
    assert len(server.requests) == 3


def test_a_hanging_endpoint_is_given_up(server: Server) -> None:
    given_up = threading.Event()
    answered: list[int] = []

    def hang(request: dict[str, Any]) -> Answer:
        given_up.wait(60)
        answered.append(1)
        return embeddings(request)

    server.script = [hang, hang]
    with pytest.raises(Unavailable, match="ReadTimeout"):
        embedder(server, timeout_s=0.3, attempts=2).embed(TEXTS)
    assert len(server.requests) == 2 and answered == []
    given_up.set()


def test_nobody_at_the_address_is_a_passing_error() -> None:
    with pytest.raises(Unavailable, match="ConnectError"):
        OpenAiEmbedder("m", Endpoint("http://127.0.0.1:9/v1", attempts=2, pause_s=0.01)).embed(["x"])


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, {"error": {"code": "invalid_api_key", "message": "Incorrect key sk-secret"}}, "SLUICE_OPENAI_API_KEY"),
        (404, {"error": {"message": "no such model"}}, "SLUICE_EMBEDDER"),
        (
            400,
            {"error": {"type": "invalid_request_error", "message": "bad text: The barn owl"}},
            "answered 400 invalid",
        ),
        (429, {"error": {"code": "insufficient_quota"}}, "insufficient_quota"),
        (302, b"", "answered 302"),
    ],
)
def test_what_a_retry_would_not_help_fails_at_once_and_quotes_nothing(
    server: Server, status: int, body: Any, said: str
) -> None:
    server.script = [failing(status, {}, body)]
    with pytest.raises(Terminal, match=said) as caught:
        embedder(server).embed(TEXTS)
    assert len(server.requests) == 1
    assert "owl" not in str(caught.value) and "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>a proxy's page</html>",
        {"data": []},
        {"data": [{"index": n, "embedding": [1.0]} for n in range(4)]},
        {"data": [{"index": n, "embedding": [1.0] * (n + 1)} for n in range(3)]},
        {"data": [{"index": n, "embedding": [0.0, 0.0]} for n in range(3)]},
        {"data": [{"index": n, "embedding": ["a"]} for n in range(3)]},
        [1, 2],
    ],
)
def test_an_answer_that_is_none_is_refused(server: Server, body: Any) -> None:
    server.script = [failing(200, {}, body)]
    with pytest.raises(Terminal, match="one vector for each text"):
        embedder(server).embed(TEXTS)


def test_another_dimension_than_before_is_refused(server: Server) -> None:
    built = embedder(server)
    built.embed(TEXTS)
    server.script = [lambda request: embeddings(request, dim=4)]
    with pytest.raises(Terminal, match="4 components; earlier ones had 3"):
        built.embed(TEXTS)


def test_the_key_is_not_shown() -> None:
    assert "sk-secret" not in repr(Endpoint(api_key="sk-secret"))
