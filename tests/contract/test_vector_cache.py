"""Vectors that were paid for, in memory and on PostgreSQL."""

from __future__ import annotations

import pytest

from sluice.ports.vector_cache import VectorCache
from sluice.testing.contracts.embeddings import VectorCacheContract
from sluice.testing.embeddings import MemoryVectorCache
from support.ledger_rows import LedgerDatabase


class TestMemoryVectorCache(VectorCacheContract):
    @pytest.fixture
    def cache(self) -> VectorCache:
        return MemoryVectorCache()


class TestPostgresVectorCache(VectorCacheContract):
    @pytest.fixture
    def cache(self, db: LedgerDatabase) -> VectorCache:
        return db.cache
