"""Values as releases up to 0.2 encrypted them: the associated data is the purpose alone."""

from __future__ import annotations

from uuid import UUID

from sluice.encryption import Cipher, wrap_key


class OldCipher(Cipher):
    __slots__ = ("_key",)

    def __init__(self, key: bytes, tenant: str, document_id: UUID) -> None:
        super().__init__(key, tenant, document_id)
        self._key = key

    def encrypt(self, purpose: str, plain: bytes, part: str | UUID = "") -> bytes:
        return wrap_key(self._key, purpose, plain)
