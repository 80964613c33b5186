"""Rerankers behind HTTP: the rerank endpoints of Cohere, Jina and Text Embeddings Inference (TEI), and of the many
servers that copy one of these forms (vLLM, Infinity, LiteLLM, …).

Of an endpoint's error message only the status is reported: the message may quote the text that was sent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import httpx

from sluice.errors import BadRequest, Slow, Terminal, Transient, Unavailable
from sluice.model.text import encodable

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_MAX_ANSWER_BYTES = 4_000_000
_IF_DOWN = "Check SLUICE_RERANKER_URL and that the server there is running."
_IF_SLOW = "Allow more time (SLUICE_RERANKER_TIMEOUT_S) or rerank fewer passages (SLUICE_RERANKER_CANDIDATES)."
_ADVICE = {
    401: "Set SLUICE_RERANKER_API_KEY to a valid key.",
    403: "The key (SLUICE_RERANKER_API_KEY) may not use this model.",
    404: "Check the model in SLUICE_RERANKER and the address in SLUICE_RERANKER_URL.",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address and key of an endpoint. `base_url`: empty for the provider's own."""

    base_url: str = ""
    api_key: str = field(default="", repr=False)
    connect_timeout_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Dialect:
    """Form of the requests and answers of one provider."""

    base_url: str  # empty: there is no public server
    path: str
    has_model: bool
    at_once: int  # texts in one request
    request: Callable[[str, str, Sequence[str]], Mapping[str, Any]]  # model, question, texts → body
    rows: Callable[[Any], Any]  # answer → rows with `index` and the score
    score: str


def _with_documents(model: str, question: str, texts: Sequence[str]) -> Mapping[str, Any]:
    return {"model": model, "query": question, "documents": list(texts), "top_n": len(texts)}


def _with_documents_not_returned(model: str, question: str, texts: Sequence[str]) -> Mapping[str, Any]:
    return {**_with_documents(model, question, texts), "return_documents": False}


def _with_texts(model: str, question: str, texts: Sequence[str]) -> Mapping[str, Any]:
    return {"query": question, "texts": list(texts), "raw_scores": False, "truncate": True}


def _results(answer: Any) -> Any:
    return answer["results"]


def _itself(answer: Any) -> Any:
    return answer


DIALECTS = {
    "cohere": Dialect("https://api.cohere.com", "v2/rerank", True, 1000, _with_documents, _results, "relevance_score"),
    "jina": Dialect(
        "https://api.jina.ai", "v1/rerank", True, 1000, _with_documents_not_returned, _results, "relevance_score"
    ),
    # TEI rejects requests of more than 32 texts unless it was started with another --max-client-batch-size.
    "tei": Dialect("", "rerank", False, 32, _with_texts, _itself, "score"),
}


class EndpointReranker:
    """One model behind an endpoint. The first request is sent on first use; none is repeated, because callers wait."""

    def __init__(self, dialect: Dialect, model: str, endpoint: Endpoint) -> None:
        """Raises BadRequest if no address is known."""
        self._dialect, self._model, self._endpoint = dialect, model, endpoint
        self._base_url = (endpoint.base_url or dialect.base_url).rstrip("/") + "/"
        if self._base_url == "/":
            raise BadRequest("SLUICE_RERANKER=tei needs the address of the server in SLUICE_RERANKER_URL.")

    def scores(self, question: str, texts: Sequence[str], timeout_s: float) -> list[float]:
        until = time.monotonic() + timeout_s
        scores: list[float] = []
        for start in range(0, len(texts), self._dialect.at_once):
            sent = [encodable(text) for text in texts[start : start + self._dialect.at_once]]
            answer = self._answer(self._dialect.request(self._model, encodable(question), sent), until)
            try:
                scores += _in_order(self._dialect.rows(answer), self._dialect.score, len(sent))
            except (KeyError, TypeError, ValueError, IndexError):
                raise self._terminal("did not answer with one score for each text") from None
        return scores

    @cached_property
    def _client(self) -> httpx.Client:
        key = self._endpoint.api_key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self._base_url, headers=headers)

    def _answer(self, body: Mapping[str, Any], until: float) -> Any:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise self._slow()
        timeout = httpx.Timeout(left_s, connect=min(left_s, self._endpoint.connect_timeout_s))
        try:
            with self._client.stream("POST", self._dialect.path, json=dict(body), timeout=timeout) as response:
                if not response.is_success:
                    raise self._failure(response.status_code)
                content = self._read(response, until)
        except httpx.TimeoutException:
            raise self._slow() from None
        except httpx.HTTPError as error:
            raise Unavailable(self._where, type(error).__name__, _IF_DOWN) from None
        try:
            return httpx.Response(200, content=content).json()
        except ValueError:
            raise self._terminal("did not answer with JSON") from None

    def _read(self, response: httpx.Response, until: float) -> bytes:
        """Reads the answer; the timeout of the client is for each part of it, not for all."""
        content = b""
        for part in response.iter_bytes():
            content += part
            if time.monotonic() > until:
                raise self._slow()
            if len(content) > _MAX_ANSWER_BYTES:
                raise self._terminal(f"answered with more than {_MAX_ANSWER_BYTES // 10**6} MB")
        return content

    def _failure(self, status: int) -> Transient | Terminal:
        if status in _PASSING:
            return Unavailable(self._where, f"it answered {status}", _IF_DOWN)
        return self._terminal(f"answered {status}", _ADVICE.get(status, "Its log has the reason."))

    def _slow(self) -> Slow:
        return Slow(self._where, "the time of a rerank is over", _IF_SLOW)

    def _terminal(self, event: str, advice: str = "Check what serves SLUICE_RERANKER_URL.") -> Terminal:
        return Terminal(f"{self._where} {event}. {advice}")

    @property
    def _where(self) -> str:
        return f"The rerank endpoint {httpx.URL(self._base_url).host}"


def _in_order(rows: Any, name: str, count: int) -> list[float]:
    """Returns the scores in the order of the texts. Raises KeyError, TypeError or ValueError if there is not one finite
    score for each."""
    by_index = {int(row["index"]): float(row[name]) for row in rows}
    scores = [by_index[position] for position in range(count)]
    if len(by_index) != count or not all(map(math.isfinite, scores)):
        raise ValueError("not one finite score for each text")
    return scores
