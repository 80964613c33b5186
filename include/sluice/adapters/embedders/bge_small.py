"""bge-small-en-v1.5 (Xiao et al. 2023, MIT licence), quantised, on onnxruntime. Its files come from a jar on Maven
Central (`models.py`).

Its activations are quantised at run time, with one scale for a whole batch. So a text's vector depends on the other
texts of its batch (measured in batches of four: cosine down to .996). Each text is therefore computed alone: a cached
vector equals a newly computed one. In batches of four it was not faster. No prefix is added to queries: without it,
scientific claims were found better (docs/embedders.md).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.adapters.embedders.local import read_tokenizer
from sluice.adapters.embedders.models import BGE_SMALL, TOKENIZER, WEIGHTS, check_installed, content
from sluice.adapters.embedders.onnx import Encoder, OnnxEmbedder, first_token_pooling

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_TOKENS = 512


class BgeSmall(OnnxEmbedder):
    """Embeds a text as the vector of its first token: (n, 384), from at most 512 tokens per text."""

    def __init__(self, models: Path, threads: int | None = None) -> None:
        """`models`: folder of fetched models. Raises Terminal if the model is not there."""
        check_installed(BGE_SMALL, models)
        encoder = Encoder(
            dim=384,
            max_tokens=MAX_TOKENS,
            batch_tokens=0,
            pooling=first_token_pooling,
            tokenizer=partial(_tokenizer, models),
            model=partial(content, BGE_SMALL, WEIGHTS, models),
        )
        super().__init__(BGE_SMALL.embedder, encoder, at_once=32, threads=threads)


def _tokenizer(models: Path) -> Tokenizer:
    return read_tokenizer(content(BGE_SMALL, TOKENIZER, models))
