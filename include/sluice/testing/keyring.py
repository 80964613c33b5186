"""The port Keyring in memory."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sluice.encryption import new_key


class MemoryKeyring:
    """Keeps the keys for the life of the process."""

    def __init__(self) -> None:
        self._index_keys: dict[str, bytes] = {}
        self._document_keys: dict[UUID, bytes] = {}

    def index_key(self, tenant: str) -> bytes:
        return self._index_keys.setdefault(tenant, new_key())

    def known_index_key(self, tenant: str) -> bytes | None:
        return self._index_keys.get(tenant)

    def create(self, document_ids: Sequence[UUID]) -> dict[UUID, bytes]:
        return {each: self._document_keys.setdefault(each, new_key()) for each in document_ids}

    def get(self, document_ids: Sequence[UUID]) -> dict[UUID, bytes]:
        return {each: self._document_keys[each] for each in document_ids if each in self._document_keys}

    def destroy(self, document_ids: Sequence[UUID]) -> int:
        return sum(1 for each in set(document_ids) if self._document_keys.pop(each, None) is not None)

    def ping(self) -> str:
        return "memory"
