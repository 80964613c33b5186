"""Numeric features of vectors, for the gate after embedding."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sluice.model.chunk import EmbeddedChunk, EmbeddedDocument
from sluice.quality.chunk_features import Place

_FEW, _MANY = 3, 10  # different texts with one vector: acceptable below the first number, impossible from the second on
_NOT_FINITE = 1e9  # in place of a length that is not finite


def vector_features(documents: Sequence[EmbeddedDocument], dim: int) -> tuple[dict[str, list[Any]], list[Place]]:
    """Returns columns of equal length, one row for each chunk. An unknown value is None."""
    places: list[Place] = [
        (number, position) for number, each in enumerate(documents) for position in range(len(each.chunks))
    ]
    chunks = [embedded for each in documents for embedded in each.chunks]
    right = [embedded.dense.shape == (dim,) for embedded in chunks]
    error, spread = _of_dense([embedded.dense for embedded, fits in zip(chunks, right, strict=True) if fits])
    errors, spreads = iter(error), iter(spread)
    texts_of: dict[bytes, set[bytes]] = {}
    for embedded in chunks:
        texts_of.setdefault(embedded.dense.tobytes(), set()).add(embedded.chunk.text_hash)
    shared = _shared(chunks)
    return {
        "wrong_dimension": [int(not fits) for fits in right],
        "length_error": [next(errors) if fits else None for fits in right],
        "spread": [next(spreads) if fits else None for fits in right],
        "wrong_terms": [int(_wrong_terms(embedded)) for embedded in chunks],
        "same_vector": [int(len(texts_of[embedded.dense.tobytes()]) > 1) for embedded in chunks],
        "shared_share": [shared[embedded.dense.tobytes()] for embedded in chunks],
        "no_terms": [int(_no_terms(embedded)) for embedded in chunks],
    }, places


def _shared(chunks: Sequence[EmbeddedChunk]) -> dict[bytes, float]:
    """Returns for each vector the share of the batch's texts that have it; 0 below three texts, 1 from ten on. Texts
    with the same words, in any order and case, count as one: some models do not distinguish them."""
    words_of: dict[bytes, set[bytes]] = defaultdict(set)
    for embedded in chunks:
        words_of[embedded.dense.tobytes()].add(_terms(embedded))
    texts = len({_terms(embedded) for embedded in chunks})
    return {
        vector: 0.0 if len(words) < _FEW else 1.0 if len(words) >= _MANY else len(words) / texts
        for vector, words in words_of.items()
    }


def _terms(embedded: EmbeddedChunk) -> bytes:
    return embedded.sparse.indices.tobytes() + embedded.sparse.values.tobytes()


def _of_dense(vectors: Sequence[Any]) -> tuple[list[float], list[float | None]]:
    """Returns for each vector the deviation of its length from 1, and the range of its components."""
    if not vectors:
        return [], []
    matrix = np.stack(vectors).astype(np.float64)
    finite: NDArray[np.bool_] = np.all(np.isfinite(matrix), axis=1)
    matrix = np.where(finite[:, None], matrix, 0.0)
    errors = np.where(finite, np.abs(np.linalg.norm(matrix, axis=1) - 1.0), _NOT_FINITE)
    spreads = np.where(finite, np.ptp(matrix, axis=1), _NOT_FINITE)
    one = matrix.shape[1] == 1  # a single component is always constant
    return errors.tolist(), [None] * len(vectors) if one else spreads.tolist()


def _wrong_terms(embedded: EmbeddedChunk) -> bool:
    sparse = embedded.sparse
    if len(sparse.indices) != len(sparse.values):
        return True
    return not bool(np.all(np.isfinite(sparse.values) & (sparse.values > 0)))


def _no_terms(embedded: EmbeddedChunk) -> bool:
    return len(embedded.sparse.indices) == 0 and any(map(str.isalpha, embedded.chunk.embedded_text))
