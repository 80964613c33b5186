"""Vectors that were paid for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sluice.model.chunk import Vector


class VectorCache(Protocol):
    """Embeddings by (embedder, text hash), durable, so that nothing is paid twice."""

    def cached(self, embedder: str, hashes: Sequence[bytes]) -> dict[bytes, Vector]: ...

    def store(self, embedder: str, hashes: Sequence[bytes], vectors: Vector) -> None:
        """vectors (n, dim) float32, rows in the order of `hashes`; committed when this returns."""

    def forget(self, embedder: str, hashes: Sequence[bytes]) -> None:
        """What a gate refused: computed anew when it is asked for again."""
