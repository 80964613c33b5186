"""Sealed content: AES-256-GCM under a document's own key, and keyed hashes where stores must compare without reading.

A sealed value is `0x01 ‖ nonce (12) ‖ ciphertext ‖ tag (16)`; its purpose is authenticated with it, so that a sealed
title cannot be passed off as a text. Keys are wrapped by the master key in the same form (AES-GCM: NIST SP 800-38D).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sluice.errors import Terminal

_FORMAT = b"\x01"
_NONCE_BYTES = 12
KEY_BYTES = 32
HASH_BYTES = 20


def new_key() -> bytes:
    return os.urandom(KEY_BYTES)


def seal(key: bytes, purpose: str, plain: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return _FORMAT + nonce + AESGCM(key).encrypt(nonce, plain, purpose.encode())


def unseal(key: bytes, purpose: str, sealed: bytes) -> bytes:
    """Raises Terminal where the key, the purpose or the bytes are not the ones that were sealed."""
    if sealed[:1] != _FORMAT:
        raise Terminal(f"Sealed {purpose} is of an unknown format; it was written by a newer release. Upgrade Sluice.")
    nonce, cipher = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, cipher, purpose.encode())
    except InvalidTag as error:
        raise Terminal(f"Sealed {purpose} does not open with its key: the bytes or the key were altered.") from error


def seal_text(key: bytes, purpose: str, text: str) -> bytes:
    return seal(key, purpose, text.encode("utf-8", "surrogatepass"))


def unseal_text(key: bytes, purpose: str, sealed: bytes) -> str:
    return unseal(key, purpose, sealed).decode("utf-8", "surrogatepass")


def seal_json(key: bytes, purpose: str, value: Any) -> bytes:
    return seal(key, purpose, json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass"))


def unseal_json(key: bytes, purpose: str, sealed: bytes) -> Any:
    return json.loads(unseal(key, purpose, sealed))


def parse_master_key(text: str) -> bytes:
    """Base64 of 32 bytes → the bytes. Raises Terminal that says how to make one."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise Terminal(
            "SLUICE_MASTER_KEY must be 32 bytes in base64. devstack makes one; by hand: `openssl rand -base64 32`. "
            "Without the key that was used before, what is already sealed cannot be read."
        )
    return key


def keyed_hash(index_key: bytes, purpose: str, data: bytes) -> bytes:
    """20 bytes of BLAKE2b keyed with the tenant's index key; `purpose` (≤ 16 bytes) separates the uses."""
    return hashlib.blake2b(data, digest_size=HASH_BYTES, key=index_key, person=purpose.encode()).digest()


def text_hash(index_key: bytes, text: str) -> bytes:
    return keyed_hash(index_key, "text", text.encode("utf-8", "surrogatepass"))


def content_hash(index_key: bytes, content: bytes) -> bytes:
    return keyed_hash(index_key, "content", content)


def token_hash(index_key: bytes, token: str) -> int:
    """A uint32 that stands for a token in a sparse vector; another tenant's is another number."""
    digest = hashlib.blake2b(token.encode(), digest_size=4, key=index_key, person=b"token").digest()
    return int.from_bytes(digest, "little")
