"""Sentence encoders on onnxruntime: texts to token vectors, pooled to one vector per text, L2-normalised."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from sluice.adapters.embedders.local import unit_rows
from sluice.adapters.onnx_session import open_session
from sluice.model.chunk import Vector
from sluice.model.text import encodable

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Encoding, Tokenizer

_BLOCK = 2048  # texts tokenized at once

Pooling: TypeAlias = "Callable[[np.ndarray[Any, Any], np.ndarray[Any, Any]], np.ndarray[Any, Any]]"
"""(token vectors (n, width, dim), mask (n, width) of 0 and 1) → (n, dim), of any length."""


def mean_pooling(tokens: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Returns the sums of the unmasked token vectors, which have the direction of their means."""
    sums: np.ndarray[Any, Any] = np.matmul(mask[:, None, :].astype(np.float32), tokens)[:, 0, :]
    return sums


def first_token_pooling(tokens: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Returns the vectors of the first token ([CLS])."""
    first: np.ndarray[Any, Any] = tokens[:, 0, :].copy()
    return first


@dataclass(frozen=True, slots=True)
class Encoder:
    """What distinguishes one model from another.

    `max_tokens`: of a text, two special ones included; the model ignores the rest. `batch_tokens`: of a batch with its
    padding; 0: each text alone. `model`: returns the ONNX model as bytes, or its path. `tokenizer`: returns one that
    neither truncates nor pads.
    """

    dim: int
    max_tokens: int
    batch_tokens: int
    pooling: Pooling
    tokenizer: Callable[[], Tokenizer]
    model: Callable[[], bytes | str]


class OnnxEmbedder:
    """Embeds texts with one encoder. Loads on first use; threads may share it."""

    def __init__(self, name: str, encoder: Encoder, *, at_once: int, threads: int | None = None) -> None:
        """`threads`: for one matrix multiplication; default: all cores that this process may use."""
        self.name = name
        self.dim = encoder.dim
        self.at_once = at_once
        self._encoder = encoder
        self._threads = threads or _cores()
        self._loading = Lock()
        self._model: tuple[Tokenizer, InferenceSession] | None = None

    def embed(self, texts: Sequence[str]) -> Vector:
        """Returns (n, dim), float32, L2-normalised, in the order of `texts`. Reads the first `max_tokens` of a text.
        Raises Terminal if the model's files are missing or damaged."""
        return self.metered(texts)[0]

    def metered(self, texts: Sequence[str]) -> tuple[Vector, int]:
        """As `embed`, with the number of tokens that the model has read, two special ones per text included."""
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        tokens = 0
        for start in range(0, len(texts), _BLOCK):
            tokens += self._embed_block(texts[start : start + _BLOCK], vectors[start : start + _BLOCK])
        return vectors, tokens

    def tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(encoding) for encoding in self._encodings(texts)]

    def _embed_block(self, texts: Sequence[str], out: Vector) -> int:
        _, session = self._loaded()
        encodings = self._encodings(texts)
        lengths = np.array([len(encoding) for encoding in encodings])
        for batch in batches(lengths, self._encoder.batch_tokens):
            out[batch] = _forward(session, [encodings[position] for position in batch], self._encoder.pooling)
        return int(lengths.sum())

    def _encodings(self, texts: Sequence[str]) -> list[Encoding]:
        tokenizer, _ = self._loaded()
        return list(tokenizer.encode_batch_fast([encodable(text) for text in texts]))

    def _loaded(self) -> tuple[Tokenizer, InferenceSession]:
        with self._loading:
            if self._model is None:
                tokenizer = self._encoder.tokenizer()
                tokenizer.enable_truncation(self._encoder.max_tokens)
                self._model = tokenizer, open_session(self._encoder.model(), self._threads)
            return self._model


def batches(lengths: np.ndarray[Any, Any], most_tokens: int) -> Iterator[np.ndarray[Any, Any]]:
    """Yields positions of texts, shortest first, in batches of at most `most_tokens` with padding, or of one text."""
    order = np.argsort(lengths, kind="stable")
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end + 1 - start) * lengths[order[end]] > most_tokens:
            yield order[start:end]
            start = end


def _forward(session: InferenceSession, encodings: Sequence[Encoding], pooling: Pooling) -> Vector:
    width = max(len(encoding) for encoding in encodings)
    ids = np.zeros((len(encodings), width), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding)] = encoding.ids
        mask[row, : len(encoding)] = 1
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    (tokens,) = session.run(["last_hidden_state"], inputs)
    return unit_rows(pooling(tokens, mask))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
