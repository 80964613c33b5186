"""Chunks into vectors: dense from the embedder or the cache, sparse by BM25. No text is paid for twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sluice.embed.bm25 import sparse, sparse_query
from sluice.errors import Terminal
from sluice.model import Chunk, ChunkedDocument, EmbeddedChunk, EmbeddedDocument, Vector
from sluice.ports import Embedder, VectorCache

__all__ = ["EmbedCounts", "embed", "sparse", "sparse_query"]

_SLICE_TEXTS = 512
_NORM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class EmbedCounts:
    """Chunks whose vector was computed now, and those whose vector was known (or equal to one computed now)."""

    computed: int
    cached: int


def embed(
    documents: Sequence[ChunkedDocument], *, embedder: Embedder, cache: VectorCache, index_key: bytes
) -> tuple[list[EmbeddedDocument], EmbedCounts]:
    """All chunks with their vectors, in order. Missing texts are computed in slices, each stored before the next one,
    so that a crash pays for one slice at most. Raises Terminal where the embedder returns what is not unit vectors."""
    chunks = [chunk for document in documents for chunk in document.chunks]
    texts = {chunk.text_hash: chunk.embedded_text for chunk in chunks}
    known = {
        text_hash: vector
        for text_hash, vector in cache.cached(embedder.name, list(texts)).items()
        if vector.shape == (embedder.dim,) and unit_length(vector[None, :]).all()
    }
    missing = [text_hash for text_hash in texts if text_hash not in known]
    for hashes, vectors in _computed(missing, texts, embedder):
        cache.store(embedder.name, hashes, vectors)
        known.update(zip(hashes, vectors, strict=True))
    terms = iter(sparse([text for document in documents for text in _sparse_texts(document)], index_key))
    embedded = [
        EmbeddedDocument(
            document.document,
            tuple(EmbeddedChunk(chunk, known[chunk.text_hash], next(terms)) for chunk in document.chunks),
        )
        for document in documents
    ]
    return embedded, EmbedCounts(len(missing), len(chunks) - len(missing))


def unit_length(vectors: Vector) -> NDArray[np.bool_]:
    """(n, dim) → (n,) bool: finite, and as long as a unit vector within 1e-3."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    good: NDArray[np.bool_] = np.abs(np.sqrt(squares) - 1.0) <= _NORM_TOLERANCE  # NaN and infinity compare as False
    return good


def _computed(
    hashes: Sequence[bytes], texts: dict[bytes, str], embedder: Embedder
) -> Iterator[tuple[list[bytes], Vector]]:
    """Texts of like length together: a batch is padded to its longest."""
    ordered = sorted(hashes, key=lambda text_hash: len(texts[text_hash]))
    for start in range(0, len(ordered), _SLICE_TEXTS):
        batch = ordered[start : start + _SLICE_TEXTS]
        vectors = embedder.embed([texts[text_hash] for text_hash in batch])
        _gate(vectors, len(batch), embedder)
        yield batch, vectors


def _gate(vectors: Vector, texts: int, embedder: Embedder) -> None:
    wrong = None
    if vectors.shape != (texts, embedder.dim):
        wrong = f"vectors of shape {vectors.shape} for {texts} texts and {embedder.dim} components"
    elif not (good := unit_length(vectors)).all():
        wrong = f"{int((~good).sum())} of {texts} vectors that are not finite or not of length 1"
    if wrong:
        raise Terminal(
            f"The embedder {embedder.name} returned {wrong}. None of them was stored or loaded; vectors computed "
            "before are kept. Check the model's files or endpoint and run the same ingest again."
        )


def _sparse_texts(document: ChunkedDocument) -> list[str]:
    """The title's words count for every chunk, also where its text begins with them."""
    title = document.document.title
    return [_with_title(title, chunk) for chunk in document.chunks]


def _with_title(title: str, chunk: Chunk) -> str:
    return chunk.embedded_text if not title or title in chunk.context else f"{title}\n{chunk.embedded_text}"
