"""Encrypts content with AES-256-GCM under one key per document; keyed hashes let stores compare without reading.

A value is `format (1 byte) ‖ nonce (12) ‖ ciphertext ‖ tag (16)` (AES-GCM: NIST SP 800-38D). The associated data names
the place of the value, so that the value cannot be decrypted at another place:

    0x02    tenant, document, purpose and part (a chunk's id, an object's path)
    0x01    the purpose alone: content written before release 0.3, and keys, whose purpose names their owner
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sluice.errors import Terminal

_BY_PURPOSE, _BY_PLACE = b"\x01", b"\x02"
_NONCE_BYTES = 12
KEY_BYTES = 32
HASH_BYTES = 20
_FINGERPRINT = "k1:"
_HEX = frozenset("0123456789abcdef")


def new_key() -> bytes:
    """Returns 32 random bytes."""
    return os.urandom(KEY_BYTES)


class Cipher:
    """Encrypts and decrypts values of one document of one tenant.

    `purpose` says what a value is for ("title", "chunk"). `part` distinguishes values of one purpose: a chunk's id, an
    object's path. The decrypting methods raise Terminal if the key, the place or the bytes differ from those of the
    encryption.
    """

    __slots__ = ("_aead", "_document_id", "_owner")

    def __init__(self, key: bytes, tenant: str, document_id: UUID) -> None:
        self._aead, self._document_id = AESGCM(key), document_id
        self._owner = _BY_PLACE + tenant.encode() + b"\0" + document_id.bytes

    def encrypt(self, purpose: str, plain: bytes, part: str | UUID = "") -> bytes:
        """Returns the encrypted bytes; each call gives another value."""
        return _encrypt(self._aead, _BY_PLACE, self._place(purpose, part), plain)

    def decrypt(self, purpose: str, value: bytes, part: str | UUID = "") -> bytes:
        """Returns the plain bytes. Raises Terminal."""
        associated = purpose.encode() if value[:1] == _BY_PURPOSE else self._place(purpose, part)
        try:
            return _decrypt(self._aead, associated, value)
        except _DecryptionError as error:
            raise Terminal(f"The encrypted {purpose} of document {self._document_id} {error}") from error

    def encrypt_text(self, purpose: str, text: str, part: str | UUID = "") -> bytes:
        """Encrypts a text as UTF-8. Lone surrogates are kept."""
        return self.encrypt(purpose, text.encode("utf-8", "surrogatepass"), part)

    def decrypt_text(self, purpose: str, value: bytes, part: str | UUID = "") -> str:
        """Decrypts the value of `encrypt_text`. Raises Terminal."""
        return self.decrypt(purpose, value, part).decode("utf-8", "surrogatepass")

    def encrypt_json(self, purpose: str, content: Any, part: str | UUID = "") -> bytes:
        """Encrypts a value as JSON. Types that JSON lacks, such as dates, become strings."""
        return self.encrypt_text(purpose, json.dumps(content, ensure_ascii=False, default=str), part)

    def decrypt_json(self, purpose: str, value: bytes, part: str | UUID = "") -> Any:
        """Decrypts the value of `encrypt_json`. Raises Terminal."""
        return json.loads(self.decrypt(purpose, value, part))

    def _place(self, purpose: str, part: str | UUID) -> bytes:
        # Unambiguous: tenants and purposes contain no NUL, and an id has 16 bytes. The format byte comes first, so that
        # the place never equals the purpose of an old value.
        return self._owner + f"{purpose}\0{part}".encode()


def ciphers(tenant: str, keys: Mapping[UUID, bytes]) -> dict[UUID, Cipher]:
    """Returns one cipher for each document, for documents of one tenant."""
    return {document_id: Cipher(key, tenant, document_id) for document_id, key in keys.items()}


def wrap_key(master_key: bytes, purpose: str, key: bytes) -> bytes:
    """Encrypts a key under the master key. `purpose` names the owner of the key."""
    return _encrypt(AESGCM(master_key), _BY_PURPOSE, purpose.encode(), key)


def unwrap_key(master_key: bytes, purpose: str, wrapped: bytes) -> bytes:
    """Decrypts a key. Raises Terminal if the master key, the owner or the bytes differ from those of the wrapping."""
    try:
        return _decrypt(AESGCM(master_key), purpose.encode(), wrapped)
    except _DecryptionError as error:
        raise Terminal(f"The encrypted {purpose} {error}") from error


class _DecryptionError(Exception):
    """A value cannot be decrypted. The text is the second half of a sentence."""


def _encrypt(aead: AESGCM, form: bytes, associated: bytes, plain: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return form + nonce + aead.encrypt(nonce, plain, associated)


def _decrypt(aead: AESGCM, associated: bytes, value: bytes) -> bytes:
    if value[:1] not in (_BY_PURPOSE, _BY_PLACE):
        raise _DecryptionError("has an unknown format: a newer release wrote it. Upgrade Sluice.")
    nonce, cipher = value[1 : 1 + _NONCE_BYTES], value[1 + _NONCE_BYTES :]
    try:
        return aead.decrypt(nonce, cipher, associated)
    except (InvalidTag, ValueError) as error:  # ValueError: too short for a nonce
        raise _DecryptionError(
            "cannot be decrypted: its bytes or its key were changed, or it was copied from another "
            "place. Nothing was changed. Ingest the document again (mode full) or restore a backup."
        ) from error


def parse_master_key(text: str) -> bytes:
    """Decodes a base64 key of 32 bytes. Raises Terminal with the command that creates a key."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise Terminal(
            "SLUICE_MASTER_KEY must be 32 bytes in base64. devstack creates one; by hand: `openssl rand -base64 32`. "
            "Content that is already encrypted can only be read with its previous key."
        )
    return key


def derived_key(master_key: bytes, purpose: str) -> bytes:
    """Returns a key of 32 bytes for another purpose than wrapping keys. All processes derive the same one."""
    return hmac.digest(master_key, purpose.encode(), "sha256")


def encrypt_at(key: bytes, place: str, plain: bytes) -> bytes:
    """Encrypts a value that belongs to no document. It can be decrypted only at the same place."""
    return _encrypt(AESGCM(key), _BY_PLACE, place.encode(), plain)


def decrypt_at(key: bytes, place: str, value: bytes) -> bytes:
    """Decrypts the value of `encrypt_at`. Raises Terminal if the key, the place or the bytes differ."""
    try:
        return _decrypt(AESGCM(key), place.encode(), value)
    except _DecryptionError as error:
        raise Terminal(f"The encrypted value at {place} {error}") from error


def keyed_hash(index_key: bytes, purpose: str, data: bytes) -> bytes:
    """Returns 20 bytes of BLAKE2b keyed with the tenant's index key. `purpose` (≤ 16 bytes) separates the uses."""
    return hashlib.blake2b(data, digest_size=HASH_BYTES, key=index_key, person=purpose.encode()).digest()


def text_hash(index_key: bytes, text: str) -> bytes:
    """Returns the keyed hash of an embedded text, 20 bytes: the key of its vector in the cache."""
    return keyed_hash(index_key, "text", text.encode("utf-8", "surrogatepass"))


def content_hash(index_key: bytes, content: bytes) -> bytes:
    """Returns the keyed hash of a document's content, 20 bytes, by which unchanged and renamed documents are found."""
    return keyed_hash(index_key, "content", content)


def keyed_fingerprint(index_key: bytes, fingerprint: str) -> str:
    """Hashes a source's fingerprint of a document. Equal fingerprints stay equal, and the content stays secret."""
    return _FINGERPRINT + keyed_hash(index_key, "fingerprint", fingerprint.encode("utf-8", "surrogatepass")).hex()


def plain_fingerprint(fingerprint: str) -> bool:
    """Returns True unless `keyed_fingerprint` made the value."""
    digest = fingerprint.removeprefix(_FINGERPRINT)
    return len(digest) != 2 * HASH_BYTES or len(digest) == len(fingerprint) or bool(set(digest) - _HEX)


def token_hash(index_key: bytes, token: str) -> int:
    """Returns the uint32 that stands for a token in a sparse vector. Each tenant has other numbers."""
    digest = hashlib.blake2b(token.encode(), digest_size=4, key=index_key, person=b"token").digest()
    return int.from_bytes(digest, "little")
