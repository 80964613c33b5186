"""The key database: keys wrapped by the master key. The key of an erased document is deleted from it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from uuid import UUID

from sqlalchemy import Engine, text

from sluice.adapters.postgres.failures import ping
from sluice.adapters.postgres.transactions import Transactions
from sluice.encryption import new_key, unwrap_key, wrap_key
from sluice.errors import Terminal

_INDEX_KEY = text("SELECT wrapped FROM index_keys WHERE tenant = :tenant")
_ADD_INDEX_KEY = text("""
    INSERT INTO index_keys (tenant, wrapped) VALUES (:tenant, :wrapped) ON CONFLICT DO NOTHING
""")
_KEYS = text("SELECT document_id, wrapped FROM document_keys WHERE document_id = ANY(CAST(:ids AS uuid[]))")
_ADD_KEYS = text("""
    INSERT INTO document_keys (document_id, wrapped)
    SELECT k.document_id, k.wrapped FROM unnest(CAST(:ids AS uuid[]), CAST(:wrapped AS bytea[]))
           AS k (document_id, wrapped)
    ORDER BY k.document_id ON CONFLICT DO NOTHING RETURNING document_id
""")
_DESTROY = text("DELETE FROM document_keys WHERE document_id = ANY(CAST(:ids AS uuid[]))")


class PostgresKeyring(Transactions):
    """`sluice.ports.content.Keyring`.

    Caches unwrapped index keys for the life of the process, and at most `keep` document keys for `keep_s` seconds, so
    that an erasure by another process takes effect here soon.
    """

    _database = "PostgreSQL (keys)"

    def __init__(self, engine: Engine, master_key: bytes, *, keep: int = 10_000, keep_s: float = 60.0) -> None:
        super().__init__(engine)
        self._master_key = master_key
        self._index_keys: dict[str, bytes] = {}
        self._recent = _RecentKeys(keep, keep_s)

    def index_key(self, tenant: str) -> bytes:
        known = self.known_index_key(tenant)
        if known is None:
            new = wrap_key(self._master_key, _index_purpose(tenant), new_key())
            self._execute(_ADD_INDEX_KEY, {"tenant": tenant, "wrapped": new})
            # If two processes insert at once, the second insert does nothing, and both read the first key.
            known = self.known_index_key(tenant)
            assert known is not None
        return known

    def known_index_key(self, tenant: str) -> bytes | None:
        if tenant not in self._index_keys:
            wrapped: bytes | None = self._value(_INDEX_KEY, {"tenant": tenant})
            if wrapped is None:
                return None
            self._index_keys[tenant] = self._unwrap(_index_purpose(tenant), wrapped)
        return self._index_keys[tenant]

    def create(self, document_ids: Sequence[UUID]) -> dict[UUID, bytes]:
        stored = self._read(document_ids)  # not from the cache: another process may have destroyed a cached key
        missing = sorted(set(document_ids) - set(stored))
        if not missing:
            return stored
        new_keys = {document_id: new_key() for document_id in missing}
        wrapped = [wrap_key(self._master_key, _document_purpose(each), key) for each, key in new_keys.items()]
        added = set(self._scalars(_ADD_KEYS, {"ids": missing, "wrapped": wrapped}))
        ours = {document_id: key for document_id, key in new_keys.items() if document_id in added}
        self._recent.put(ours)
        # Keys that were not added here were added by another process in between.
        return {**stored, **ours, **self._read([each for each in missing if each not in added])}

    def get(self, document_ids: Sequence[UUID]) -> dict[UUID, bytes]:
        cached = self._recent.get(document_ids)
        return cached | self._read(list(set(document_ids) - set(cached)))

    def _read(self, document_ids: Sequence[UUID]) -> dict[UUID, bytes]:
        if not document_ids:
            return {}
        rows = self._rows(_KEYS, {"ids": list(document_ids)})
        keys = {row.document_id: self._unwrap(_document_purpose(row.document_id), row.wrapped) for row in rows}
        self._recent.put(keys)
        return keys

    def destroy(self, document_ids: Sequence[UUID]) -> int:
        destroyed = self._execute(_DESTROY, {"ids": list(document_ids)})
        self._recent.drop(document_ids)
        return destroyed

    def ping(self) -> str:
        return ping(self._engine, self._database)

    def _unwrap(self, purpose: str, wrapped: bytes) -> bytes:
        try:
            return unwrap_key(self._master_key, purpose, wrapped)
        except Terminal as error:
            raise Terminal(
                f"The {purpose.split('/')[0]} does not open with this master key. Nothing was changed. Set "
                "SLUICE_MASTER_KEY to the master key with which it was created."
            ) from error


def _index_purpose(tenant: str) -> str:
    return f"index-key/{tenant}"


def _document_purpose(document_id: UUID) -> str:
    return f"document-key/{document_id}"


class _RecentKeys:
    """A bounded cache that evicts the least recently used key first, and every key after `keep_s` seconds."""

    def __init__(self, keep: int, keep_s: float) -> None:
        self._keep, self._keep_s = keep, keep_s
        self._lock = Lock()
        self._entries: OrderedDict[UUID, tuple[bytes, float]] = OrderedDict()

    def get(self, document_ids: Sequence[UUID]) -> dict[UUID, bytes]:
        oldest = time.monotonic() - self._keep_s
        fresh = {}
        with self._lock:
            for document_id in document_ids:
                entry = self._entries.get(document_id)
                if entry is None:
                    continue
                if entry[1] < oldest:
                    del self._entries[document_id]
                else:
                    self._entries.move_to_end(document_id)
                    fresh[document_id] = entry[0]
        return fresh

    def drop(self, document_ids: Sequence[UUID]) -> None:
        with self._lock:
            for document_id in document_ids:
                self._entries.pop(document_id, None)

    def put(self, keys: dict[UUID, bytes]) -> None:
        now = time.monotonic()
        with self._lock:
            for document_id, key in keys.items():
                self._entries[document_id] = (key, now)
                self._entries.move_to_end(document_id)
            while len(self._entries) > self._keep:
                self._entries.popitem(last=False)
