"""Any endpoint that speaks OpenAI's `POST /embeddings`: OpenAI itself, vLLM, TEI, Ollama, LM Studio, …

What an endpoint says of an error is not repeated but for a short code: it may quote the text that was sent.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from threading import Lock
from typing import Any

import httpx
import numpy as np

from sluice.errors import Terminal, Transient, Unavailable
from sluice.model.chunk import Vector
from sluice.model.text import encodable

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT_S = 60.0  # asked to wait for longer, the caller is told: its scheduler waits better
_FRAME_TOKENS = 4  # that a model may add to a text
_CODE = re.compile(r"[a-z0-9_.]{1,60}")
_IF_DOWN = "Check SLUICE_OPENAI_BASE_URL, and that the server there runs; then try again."
_ADVICE = {
    401: "Set SLUICE_OPENAI_API_KEY to a key that it takes.",
    403: "The key (SLUICE_OPENAI_API_KEY) may not use this model.",
    404: "Check the model in SLUICE_EMBEDDER and the address in SLUICE_OPENAI_BASE_URL (it usually ends in /v1).",
    413: "Texts are too long for it: use a smaller SLUICE_CHUNKER for a new collection.",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where it is and how long to wait for it. `attempts`: of one call, with growing pauses between them."""

    base_url: str = "https://api.openai.com/v1"
    api_key: str = field(default="", repr=False)
    connect_timeout_s: float = 5.0
    timeout_s: float = 60.0
    attempts: int = 5
    pause_s: float = 0.5  # before the second attempt, doubled before each further one


class OpenAiEmbedder:
    """One model behind an endpoint. Threads may share it. Nothing is sent before its first use."""

    at_once = 64  # texts in one request: what a crash may have paid for in vain

    def __init__(self, model: str, endpoint: Endpoint) -> None:
        self.name = f"openai:{model}"
        self._model, self._endpoint = model, endpoint
        self._dim: int | None = None
        self._asking = Lock()

    @property
    def dim(self) -> int:
        """As the endpoint answers; it is asked once, with one word, unless it has answered something already."""
        with self._asking:
            return self._dim or self._request(["dimension"])[0].shape[1]

    def embed(self, texts: Sequence[str]) -> Vector:
        return self.metered(texts)[0]

    def metered(self, texts: Sequence[str]) -> tuple[Vector, int]:
        """Tokens as the answer's `usage` says, else as many as there may have been. Raises Transient (down, slow, too
        many requests) or Terminal (key, model, request refused; an answer that is not what was asked for)."""
        parts = [self._request(texts[start : start + self.at_once]) for start in range(0, len(texts), self.at_once)]
        if not parts:
            return np.empty((0, self.dim), np.float32), 0
        return np.concatenate([vectors for vectors, _ in parts]), sum(tokens for _, tokens in parts)

    def tokens(self, texts: Sequence[str]) -> list[int]:
        """At most: no tokenizer makes more tokens of a text than it has bytes, and some that frame it."""
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
            raise self._terminal("answered something that is not one vector a text, all of one length") from None
        if self._dim is None:
            self._dim = vectors.shape[1]
        elif vectors.shape[1] != self._dim:
            raise self._terminal(f"answered vectors of {vectors.shape[1]} components after {self._dim} before")
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
                wait_s = max(wait_s, _retry_after_s(response))
            if attempt == self._endpoint.attempts or wait_s > _LONGEST_WAIT_S:
                raise failure
            time.sleep(wait_s)
        raise AssertionError("unreachable")

    def _failure(self, response: httpx.Response) -> Transient:
        """Raises Terminal where another attempt would fail in the same way."""
        status, code = response.status_code, _code(response)
        told = f"{status}{f' {code}' if code else ''}"
        if status not in _PASSING or code == "insufficient_quota":
            raise self._terminal(f"answered {told}", _ADVICE.get(status, "Look there for the reason."))
        if status == 429:
            return Transient(
                f"{self._where} takes no more requests for now ({told}). What it had computed before is kept; it will "
                "be tried again. Fewer tasks side by side (pool sluice_embed) ask for less."
            )
        return Unavailable(self._where, f"it answered {told}", _IF_DOWN)

    def _terminal(self, what: str, advice: str = "Check the model's name and what serves it.") -> Terminal:
        return Terminal(f"{self._where} {what}. Vectors computed before are kept, nothing else was changed. {advice}")

    @property
    def _where(self) -> str:
        return f"The embedding endpoint {httpx.URL(self._endpoint.base_url).host} ({self.name})"


def _vectors(body: Any, texts: int) -> Vector:
    """(n, dim), float32, in the order of the request, L2-normalised; NaN where the endpoint gave a text no direction,
    which is for the gate to judge. Raises ValueError and its like."""
    rows = {int(each["index"]): each["embedding"] for each in body["data"]}
    vectors = np.array([rows[position] for position in range(texts)], dtype=np.float64)
    if vectors.ndim != 2 or len(rows) != texts or not vectors.shape[1]:
        raise ValueError("not one vector a text")
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
    """`error.code` or `error.type`, where it is a code."""
    body = _json(response)
    error = body.get("error") if isinstance(body, dict) else None
    found = (error.get("code") or error.get("type")) if isinstance(error, dict) else None
    return found if isinstance(found, str) and _CODE.fullmatch(found) else ""


def _retry_after_s(response: httpx.Response) -> float:
    """Seconds or a date (RFC 9110, 10.2.3); 0 where it says nothing that can be understood."""
    given = response.headers.get("retry-after", "")
    if given.isdecimal():
        return float(given)
    try:
        return max(0.0, (parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
