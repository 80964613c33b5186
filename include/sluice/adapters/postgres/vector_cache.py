"""The embedding cache on PostgreSQL: vectors by embedder and keyed hash of the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Cursor
from psycopg.rows import namedtuple_row

from sluice.adapters.postgres.bulk_copy import copy_rows, driver
from sluice.adapters.postgres.transactions import Transactions
from sluice.model.chunk import Vector

CACHED = "SELECT text_hash, vector FROM embeddings WHERE embedder = %s AND text_hash = ANY(%b)"
# COPY has no ON CONFLICT, so rows go through a temporary table: a seventh of the time of an INSERT from arrays.
_COLUMNS = "text_hash bytea, vector bytea"
_TABLE = f"CREATE TEMPORARY TABLE arriving ({_COLUMNS}) ON COMMIT DROP"
_STORE = """
    INSERT INTO embeddings (embedder, text_hash, dim, vector)
    SELECT %s, text_hash, %s, vector FROM arriving ON CONFLICT (embedder, text_hash) DO NOTHING
"""
_FORGET = "DELETE FROM embeddings WHERE embedder = %s AND text_hash = ANY(%b)"
_LITTLE = "<f4"


class PostgresVectorCache(Transactions):
    """`sluice.ports.vector_cache.VectorCache`."""

    def cached(self, embedder: str, hashes: Sequence[bytes]) -> dict[bytes, Vector]:
        import numpy as np

        if not hashes:
            return {}
        with self._transaction() as connection:
            cursor: Cursor[Any] = driver(connection).cursor(binary=True, row_factory=namedtuple_row)
            rows = cursor.execute(CACHED, (embedder, list(set(hashes)))).fetchall()
        return {row.text_hash: np.frombuffer(row.vector, _LITTLE).astype(np.float32, copy=False) for row in rows}

    def store(self, embedder: str, hashes: Sequence[bytes], vectors: Vector) -> None:
        if vectors.ndim != 2 or len(vectors) != len(hashes):
            raise ValueError(f"{len(hashes)} hashes do not fit vectors of shape {vectors.shape}")
        if not hashes:
            return
        rows = vectors.astype(_LITTLE, copy=False)
        by_hash = {text_hash: rows[i] for i, text_hash in enumerate(hashes)}
        # In the order of hashes, so that two batches with the same texts never deadlock.
        ordered = ((text_hash, by_hash[text_hash].tobytes()) for text_hash in sorted(by_hash))
        with self._transaction() as connection, driver(connection).cursor() as cursor:
            cursor.execute(_TABLE)
            copy_rows(cursor, "arriving", _COLUMNS, ordered)
            cursor.execute(_STORE, (embedder, vectors.shape[1]))

    def forget(self, embedder: str, hashes: Sequence[bytes]) -> None:
        if not hashes:
            return
        with self._transaction() as connection, driver(connection).cursor() as cursor:
            cursor.execute(_FORGET, (embedder, sorted(set(hashes))))
