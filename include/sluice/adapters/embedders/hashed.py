"""An embedder that hashes words into a vector, without a model: deterministic, no semantics. For tests, and to measure
the flow alone."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np

from sluice.adapters.embedders.local import unit_rows
from sluice.model.chunk import Vector
from sluice.model.words import WordNumbers

_WORD = re.compile(r"[a-z0-9]+")
_BLOCK = 2048  # texts; bounds the float64 sums to 2048 × dim × 8 bytes
_MAX_CACHED_WORDS = 500_000


class HashEmbedder:
    """Adds ±1 to component `crc32 mod dim` for each lower-cased word; bit 16 of the CRC is the sign."""

    def __init__(self, dim: int) -> None:
        self.name = f"hash:{dim}"
        self.dim = dim
        self.at_once = 512
        self._slots = WordNumbers(self._slot, _MAX_CACHED_WORDS)

    def embed(self, texts: Sequence[str]) -> Vector:
        """Returns (n, dim), float32, L2-normalised. A text without words gets the first unit vector."""
        return self.metered(texts)[0]

    def metered(self, texts: Sequence[str]) -> tuple[Vector, int]:
        """As `embed`, with the number of tokens; a token is a word."""
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        words = 0
        for start in range(0, len(texts), _BLOCK):
            block = texts[start : start + _BLOCK]
            vectors[start : start + len(block)], counted = self._sums(block)
            words += counted
        return vectors, words

    def tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(_WORD.findall(text.lower())) for text in texts]

    def _slot(self, word: str) -> int:
        """Returns 2 · component + (1 if its sign is negative)."""
        crc = zlib.crc32(word.encode())
        return 2 * (crc % self.dim) + ((crc >> 16) & 1)

    def _sums(self, texts: Sequence[str]) -> tuple[Vector, int]:
        slot_of = self._slots.__getitem__
        slots: list[int] = []
        ends = []
        for text in texts:
            slots.extend(map(slot_of, _WORD.findall(text.lower())))
            ends.append(len(slots))
        codes = np.array(slots, dtype=np.int64)
        rows = np.repeat(np.arange(len(texts)), np.diff(ends, prepend=0))
        cells = rows * self.dim + (codes >> 1)
        sums = np.bincount(cells, weights=1.0 - 2.0 * (codes & 1), minlength=len(texts) * self.dim)
        return unit_rows(sums.reshape(len(texts), self.dim)), len(slots)
