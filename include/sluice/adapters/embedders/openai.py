"""Embedder for endpoints with OpenAI's `POST /embeddings`: OpenAI itself, vLLM, TEI, Ollama, LM Studio, …

Of an endpoint's error message only a short code is reported: the message may quote the text that was sent.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any

import httpx
import numpy as np

from sluice.errors import Terminal, Transient, Unavailable
from sluice.model.chunk import Vector
from sluice.model.text import encodable
from sluice.retry import retry_after_s

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT_S = 60.0  # beyond this the error is raised: the caller's scheduler waits without blocking a worker
_FRAME_TOKENS = 4  # special tokens that a model may add to a text
_CODE = re.compile(r"[a-z0-9_.]{1,60}")
_IF_DOWN = "Check SLUICE_OPENAI_BASE_URL and that the server there is running; then try again."
_ADVICE = {
    401: "Set SLUICE_OPENAI_API_KEY to a valid key.",
    403: "The key (SLUICE_OPENAI_API_KEY) may not use this model.",
    404: "Check the model in SLUICE_EMBEDDER and the address in SLUICE_OPENAI_BASE_URL (it usually ends in /v1).",
    413: "The texts are too long: use a smaller SLUICE_CHUNKER for a new collection.",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address, key and time limits of an endpoint. `attempts`: per call, with growing pauses between them."""

    base_url: str = "https://api.openai.com/v1"
    api_key: str = field(default="", repr=False)
    connect_timeout_s: float = 5.0
    timeout_s: float = 60.0
    attempts: int = 5
    pause_s: float = 0.5  # before the second attempt, doubled before each further one


class OpenAiEmbedder:
    """One model behind an endpoint. Threads may share it. The first request is sent on first use."""

    at_once = 64  # texts in one request: at most these are paid for in vain after a crash

    def __init__(self, model: str, endpoint: Endpoint) -> None:
        self.name = f"openai:{model}"
        self._model, self._endpoint = model, endpoint
        self._dim: int | None = None
        self._dim_lock = Lock()

    @property
    def dim(self) -> int:
        """Dimension of the endpoint's vectors. Embeds one word to learn it, unless an earlier answer has shown it."""
        with self._dim_lock:
            return self._dim or self._request(["dimension"])[0].shape[1]

    def embed(self, texts: Sequence[str]) -> Vector:
        return self.metered(texts)[0]

    def metered(self, texts: Sequence[str]) -> tuple[Vector, int]:
        """As `embed`, with the tokens of the answer's `usage`, else their upper bound. Raises Transient (down, slow,
        too many requests) or Terminal (key, model or request refused; an answer of another form)."""
        parts = [self._request(texts[start : start + self.at_once]) for start in range(0, len(texts), self.at_once)]
        if not parts:
            return np.empty((0, self.dim), np.float32), 0
        return np.concatenate([vectors for vectors, _ in parts]), sum(tokens for _, tokens in parts)

    def tokens(self, texts: Sequence[str]) -> list[int]:
        """Returns upper bounds: a text has at most as many tokens as bytes, plus the special ones."""
        return [len(text.encode("utf-8", "replace")) + _FRAME_TOKENS for text in texts]

    @cached_property
    def _client(self) -> httpx.Client:
        key = self._endpoint.api_key
        return httpx.Client(
            base_url=self._endpoint.base_url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(self._endpoint.timeout_s, connect=self._endpoint.connect_timeout_s),
        )

    def _request(self, texts: Sequence[str]) -> tuple[Vector, int]:
        sent = [encodable(text) for text in texts]
        body = self._answer({"model": self._model, "input": sent, "encoding_format": "float"})
        try:
            vectors = _vectors(body, len(texts))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._terminal("did not answer with one vector for each text, all of one dimension") from None
        if self._dim is None:
            self._dim = vectors.shape[1]
        elif vectors.shape[1] != self._dim:
            raise self._terminal(
                f"answered with vectors of {vectors.shape[1]} components; earlier ones had {self._dim}"
            )
        usage = body.get("usage")
        counted = usage.get("total_tokens", usage.get("prompt_tokens")) if isinstance(usage, dict) else None
        return vectors, counted if isinstance(counted, int) else sum(self.tokens(texts))

    def _answer(self, request: dict[str, Any]) -> Any:
        for attempt in range(1, self._endpoint.attempts + 1):
            wait_s = self._endpoint.pause_s * 2 ** (attempt - 1) * random.uniform(1.0, 1.5)
            try:
                response = self._client.post("embeddings", json=request)
            except httpx.TransportError as error:  # time-outs among them
                failure: Transient = Unavailable(self._where, type(error).__name__, _IF_DOWN)
            else:
                if response.is_success:
                    return _json(response)
                failure = self._failure(response)
                wait_s = max(wait_s, retry_after_s(response.headers.get("retry-after", "")))
            if attempt == self._endpoint.attempts or wait_s > _LONGEST_WAIT_S:
                raise failure
            time.sleep(wait_s)
        raise AssertionError("unreachable")

    def _failure(self, response: httpx.Response) -> Transient:
        """Returns the error to raise after the last attempt. Raises Terminal if another attempt would fail too."""
        status, code = response.status_code, _code(response)
        answer = f"{status}{f' {code}' if code else ''}"
        if status not in _PASSING or code == "insufficient_quota":
            raise self._terminal(f"answered {answer}", _ADVICE.get(status, "The endpoint's log has the reason."))
        if status == 429:
            return Transient(
                f"{self._where} limits the rate of requests ({answer}). Vectors computed before are stored; the call "
                "will be retried. To send fewer requests, run fewer tasks at once (pool sluice_embed)."
            )
        return Unavailable(self._where, f"it answered {answer}", _IF_DOWN)

    def _terminal(self, what: str, advice: str = "Check the model's name and what serves it.") -> Terminal:
        return Terminal(f"{self._where} {what}. Vectors computed before are stored; nothing else was changed. {advice}")

    @property
    def _where(self) -> str:
        return f"The embedding endpoint {httpx.URL(self._endpoint.base_url).host} ({self.name})"


def _vectors(body: Any, texts: int) -> Vector:
    """Returns (n, dim), float32, L2-normalised, in the order of the request. A vector of length 0 becomes NaN, which
    the gate rejects. Raises KeyError, TypeError, ValueError or AttributeError on an answer of another form."""
    rows = {int(each["index"]): each["embedding"] for each in body["data"]}
    vectors = np.array([rows[position] for position in range(texts)], dtype=np.float64)
    if vectors.ndim != 2 or len(rows) != texts or not vectors.shape[1]:
        raise ValueError("not one vector for each text")
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    directed = np.isfinite(norms) & (norms > 0)
    if texts > 1 and not directed.any():
        raise ValueError("not finite, or without a direction")
    return np.asarray(np.where(directed, vectors / np.where(directed, norms, 1.0), np.nan), dtype=np.float32)


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _code(response: httpx.Response) -> str:
    """Returns `error.code` or `error.type` if it is a code, else an empty string."""
    body = _json(response)
    error = body.get("error") if isinstance(body, dict) else None
    code = (error.get("code") or error.get("type")) if isinstance(error, dict) else None
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""
