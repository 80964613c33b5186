"""Embeds chunks: dense vectors from the embedder or the cache, sparse ones by BM25. No text is embedded twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sluice.embedding.account import Account
from sluice.embedding.bm25 import sparse
from sluice.errors import Terminal
from sluice.model.chunk import Chunk, ChunkedDocument, EmbeddedChunk, EmbeddedDocument, SparseVector, Vector
from sluice.model.costs import Spent
from sluice.ports.content import Embedder
from sluice.ports.vector_cache import VectorCache

_NORM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class EmbedCounts:
    """Numbers of chunks whose vector was computed, of those whose vector was cached (or equals a computed one), and of
    the embedder's tokens."""

    computed: int
    cached: int
    tokens: int


def embed(
    documents: Sequence[ChunkedDocument],
    *,
    embedder: Embedder,
    dim: int,
    cache: VectorCache,
    index_key: bytes,
    account: Account,
    on_texts: Callable[[int], object] = lambda count: None,
) -> tuple[list[EmbeddedDocument], EmbedCounts]:
    """Returns the documents with all their vectors, in order. Missing vectors are computed in slices, and each slice is
    stored before the next, so a crash loses at most one paid slice. If the budget is exceeded, only the texts of the
    first documents are computed, and documents that lack a vector are left out.

    `on_texts(count)` gets the number of further chunks whose vectors are cached or computed.

    Only unit vectors are stored: others go to the gate, which quarantines their documents. Raises Terminal if the
    embedder returns none, or vectors of another shape."""
    chunks = [chunk for document in documents for chunk in document.chunks]
    texts = {chunk.text_hash: chunk.embedded_text for chunk in chunks}
    known = _cached(cache, embedder.name, list(texts), dim)
    missing = [text_hash for text_hash in texts if text_hash not in known]
    computed = tokens = 0
    on_texts(len(chunks) - len(missing))
    for hashes, vectors, spent in _computed(missing, texts, embedder, dim, account):
        good = unit_length(vectors)
        cache.store(
            embedder.name,
            [text_hash for text_hash, retained in zip(hashes, good, strict=True) if retained],
            vectors[good],
        )
        account.settle(spent)
        known.update(zip(hashes, vectors, strict=True))
        computed, tokens = computed + spent.texts, tokens + spent.tokens
        on_texts(spent.texts)
    documents = [document for document in documents if all(chunk.text_hash in known for chunk in document.chunks)]
    terms = iter(terms_of(documents, index_key))
    embedded = [
        EmbeddedDocument(
            document.document,
            tuple(EmbeddedChunk(chunk, known[chunk.text_hash], next(terms)) for chunk in document.chunks),
        )
        for document in documents
    ]
    return embedded, EmbedCounts(computed, sum(chunk.text_hash in known for chunk in chunks) - computed, tokens)


def _cached(cache: VectorCache, embedder: str, hashes: Sequence[bytes], dim: int) -> dict[bytes, Vector]:
    """Returns cached vectors. Deletes damaged ones, so that they can be stored again."""
    cached = cache.cached(embedder, hashes)
    good = {
        each: vector for each, vector in cached.items() if vector.shape == (dim,) and unit_length(vector[None, :]).all()
    }
    if damaged := [each for each in cached if each not in good]:
        cache.forget(embedder, damaged)
    return good


def unit_length(vectors: Vector) -> NDArray[np.bool_]:
    """Returns (n,) bool for (n, dim) vectors: whether each is finite and of length 1 within 1e-3."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    good: NDArray[np.bool_] = np.abs(np.sqrt(squares) - 1.0) <= _NORM_TOLERANCE  # NaN and infinity compare as False
    return good


def _computed(
    hashes: Sequence[bytes], texts: dict[bytes, str], embedder: Embedder, dim: int, account: Account
) -> Iterator[tuple[Sequence[bytes], Vector, Spent]]:
    """Computes vectors in the order of documents, so that the last slice belongs to few documents. The caller stores
    the vectors before it settles the account: a crash in between loses a line of the account, not an embedding."""
    start = 0
    while start < len(hashes):
        part = [texts[text_hash] for text_hash in hashes[start : start + embedder.at_once]]
        part = part[: account.affordable(part, embedder)]
        if not part:
            return
        started_s = time.perf_counter()
        vectors, tokens = embedder.metered(part)
        spent = Spent(len(part), tokens, time.perf_counter() - started_s)
        if wrong := _wrong(vectors, len(part), dim):
            account.settle(spent)  # paid for, even if the vectors are rejected
            raise Terminal(
                f"The embedder {embedder.name} returned {wrong}. None of them was stored or loaded; vectors computed "
                "before are kept. Check the model's files or endpoint and run the same ingest again."
            )
        yield hashes[start : start + len(part)], vectors, spent
        start += len(part)


def _wrong(vectors: Vector, texts: int, dim: int) -> str | None:
    if vectors.shape != (texts, dim):
        return f"vectors of shape {vectors.shape} for {texts} texts and {dim} components"
    if texts > 1 and not unit_length(vectors).any():  # if only some are wrong, their texts may be the cause
        return f"{texts} vectors that are not finite or not of length 1"
    return None


def terms_of(documents: Sequence[ChunkedDocument], index_key: bytes) -> list[SparseVector]:
    """Returns the sparse vectors of the chunks of all documents, in order."""
    languages = [document.document.language for document in documents for _ in document.chunks]
    return sparse([text for document in documents for text in _sparse_texts(document)], index_key, languages)


def _sparse_texts(document: ChunkedDocument) -> list[str]:
    """Returns the texts for BM25: the title's words count for every chunk, even if its text begins with them."""
    title = document.document.title
    return [_with_title(title, chunk) for chunk in document.chunks]


def _with_title(title: str, chunk: Chunk) -> str:
    return chunk.embedded_text if not title or title in chunk.context else f"{title}\n{chunk.embedded_text}"
