"""The cache of embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sluice.model.chunk import Vector


class VectorCache(Protocol):
    """Durable embeddings by (embedder, text hash), so that no text is embedded twice."""

    def cached(self, embedder: str, hashes: Sequence[bytes]) -> dict[bytes, Vector]:
        """Returns the cached vectors by hash, each an array (dim,), float32. A hash without a vector is absent."""

    def store(self, embedder: str, hashes: Sequence[bytes], vectors: Vector) -> None:
        """Stores `vectors`, an array (n, dim), float32, rows in the order of `hashes`; committed when this returns."""

    def forget(self, embedder: str, hashes: Sequence[bytes]) -> None:
        """Deletes vectors that a gate rejected, so that they are computed again when needed."""
