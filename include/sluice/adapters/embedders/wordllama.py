"""WordLlama (Miller 2024; the wheel `wordllama`): a text's vector is the mean of its tokens' vectors from a table. It
needs a two-hundredth of MiniLM's CPU time, and is less exact.

Reads the wheel's files without importing its package: the import would configure logging for the whole process.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from sluice.adapters.embedders.local import packaged, read_tokenizer, unit_rows
from sluice.model.chunk import Vector
from sluice.model.text import encodable

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class WordLlama:
    """Embeds a text as the mean of its token vectors, L2-normalised. Loads on first use; threads may share it."""

    name = "wordllama"
    dim = 256
    at_once = 512

    def __init__(self) -> None:
        self._loading = Lock()
        self._model: tuple[Tokenizer, Vector] | None = None

    def embed(self, texts: Sequence[str]) -> Vector:
        """Returns (n, 256), float32, L2-normalised, in the order of `texts`. Uses the whole of each text; one without
        tokens gets the first unit vector."""
        return self.metered(texts)[0]

    def metered(self, texts: Sequence[str]) -> tuple[Vector, int]:
        _, table = self._loaded()
        ids = self._ids(texts)
        sums = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, tokens in enumerate(ids):
            sums[row] = table[tokens].sum(axis=0)
        return unit_rows(sums), sum(map(len, ids))

    def tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(tokens) for tokens in self._ids(texts)]

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        tokenizer, _ = self._loaded()
        encoded = tokenizer.encode_batch_fast([encodable(text) for text in texts], add_special_tokens=False)
        return [encoding.ids for encoding in encoded]

    def _loaded(self) -> tuple[Tokenizer, Vector]:
        with self._loading:
            if self._model is None:
                from safetensors.numpy import load_file

                tokenizer = read_tokenizer(packaged("wordllama", "tokenizers/l2_supercat_tokenizer_config.json"))
                tensors = load_file(packaged("wordllama", "weights/l2_supercat_256.safetensors"))
                self._model = tokenizer, tensors["embedding.weight"].astype(np.float32)
            return self._model
