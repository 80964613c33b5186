"""Near-duplicates by MinHash (Broder 1997) over sequences of words, with banding (Leskovec et al., Mining of Massive
Datasets, 3.4).

Words are first hashed with the tenant's index key, so stored signatures cannot be read and reveal nothing about another
tenant's documents.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from sluice.model.document import Document
from sluice.model.gates import Signature
from sluice.model.words import WordNumbers

MINIMA = 64
BANDS = 16  # of four minima each: documents with similarity 0.9 share one almost certainly, with 0.5 in 64 % of cases
_RUN_WORDS = 4
_FEWEST_WORDS = 20  # shorter texts are similar by chance
_BLOCK = 8192
_MOST_FOUND = 2000
_MAX_KNOWN_WORDS = 200_000
_WORD = re.compile(r"\w+")

FindSimilar = Callable[[Sequence[int]], Sequence[Signature]]  # bands → signatures in the ledger that share one


def signature(document: Document, index_key: bytes, collection_id: UUID) -> Signature | None:
    """Returns the document's signature; None if its text has fewer than 20 words."""
    known = _known(index_key)
    words = np.array([known[word] for word in _WORD.findall(document.text.casefold())], np.uint64)
    if len(words) < _FEWEST_WORDS:
        return None
    runs = np.zeros(len(words) - _RUN_WORDS + 1, np.uint64)
    for offset in range(_RUN_WORDS):
        runs = runs * _STEP + words[offset : offset + len(runs)]
    minima = _minima(np.unique(runs ^ (runs >> np.uint64(29))))
    return Signature(document.document_id, minima, _bands(minima, index_key, collection_id))


def closest(
    documents: Sequence[Document], signatures: Mapping[UUID, Signature], candidates: Sequence[Signature]
) -> dict[UUID, tuple[float, UUID]]:
    """Returns for each document the most similar earlier one, and the similarity (share of equal minima, 0 to 1).

    Ids increase with time, so one of two new documents is the earlier, in whatever order batches or runs process them,
    and the two never exclude each other. An edited document is compared with all served documents.
    """
    of_batch = {document.document_id for document in documents}
    by_band: dict[int, list[Signature]] = defaultdict(list)
    for each in [*signatures.values(), *(known for known in candidates if known.document_id not in of_batch)]:
        for band in each.bands:
            by_band[band].append(each)
    nearest: dict[UUID, tuple[float, UUID]] = {}
    for document in documents:
        own = signatures.get(document.document_id)
        if own is None:
            continue
        edited = document.item.active_hash not in (None, document.raw_hash)
        others = {other.document_id: other for band in own.bands for other in by_band[band][:_MOST_FOUND]}
        alike = [
            (float((own.minima == other.minima).mean()), other.document_id)
            for other in others.values()
            if other.document_id < own.document_id
            or (edited and other.document_id not in of_batch and other.document_id != own.document_id)
        ]
        if alike:
            nearest[document.document_id] = max(alike, key=lambda pair: pair[0])
    return nearest


def _minima(runs: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Returns for each of 64 hash functions (multiply-shift: Dietzfelbinger et al. 1997) the minimum over all runs."""
    least = np.full(MINIMA, 2**32 - 1, np.uint64)
    for start in range(0, len(runs), _BLOCK):
        hashed = (runs[None, start : start + _BLOCK] * _FACTORS[:, None] + _TERMS[:, None]) >> np.uint64(32)
        least = np.minimum(least, hashed.min(axis=1))
    return least.astype(np.uint32)


def _bands(minima: NDArray[np.uint32], index_key: bytes, collection_id: UUID) -> tuple[int, ...]:
    rows = minima.astype("<u4").reshape(BANDS, -1)
    return tuple(
        int.from_bytes(
            hashlib.blake2b(
                collection_id.bytes + bytes([number]) + row.tobytes(), digest_size=8, key=index_key, person=b"band"
            ).digest(),
            "little",
            signed=True,
        )
        for number, row in enumerate(rows)
    )


def _constants(name: str) -> NDArray[np.uint64]:
    """Returns the constants of the hash functions. They must not change between releases: signatures are stored."""
    return np.array(
        [
            int.from_bytes(hashlib.blake2b(f"{name} {number}".encode(), digest_size=8).digest(), "little")
            for number in range(MINIMA)
        ],
        np.uint64,
    )


_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd; 2^64 divided by the golden ratio (Knuth, TAOCP 3, 6.4)
_FACTORS = _constants("factor") | np.uint64(1)
_TERMS = _constants("term")


@lru_cache(maxsize=16)
def _known(index_key: bytes) -> WordNumbers:
    def keyed(word: str) -> int:
        data = word.encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(data, digest_size=8, key=index_key, person=b"shingle").digest(), "little")

    return WordNumbers(keyed, _MAX_KNOWN_WORDS)
