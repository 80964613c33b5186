"""The port VectorCache in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sluice.model.chunk import Vector


class MemoryVectorCache:
    """Tests may read `vectors`, by embedder and hash."""

    def __init__(self) -> None:
        self.vectors: dict[tuple[str, bytes], Vector] = {}

    def cached(self, embedder: str, hashes: Sequence[bytes]) -> dict[bytes, Vector]:
        return {each: self.vectors[embedder, each] for each in hashes if (embedder, each) in self.vectors}

    def store(self, embedder: str, hashes: Sequence[bytes], vectors: Vector) -> None:
        if vectors.ndim != 2 or len(vectors) != len(hashes):
            raise ValueError(f"{len(hashes)} hashes do not fit vectors of shape {vectors.shape}")
        for text_hash, vector in zip(hashes, vectors, strict=True):
            self.vectors.setdefault((embedder, text_hash), np.array(vector, np.float32))

    def forget(self, embedder: str, hashes: Sequence[bytes]) -> None:
        for text_hash in hashes:
            self.vectors.pop((embedder, text_hash), None)
