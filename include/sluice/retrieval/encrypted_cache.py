"""Entries of a shared cache, in which nothing can be read.

An entry's name and its key come from one keyed hash of everything that the entry depends on. So the store shows only
hashes, and the value of an entry can be decrypted only by who has the secret *and* knows all of that: the question,
the caller and, for a search, the epoch, which the ledger replaces with the next change.
"""

from __future__ import annotations

import hmac
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sluice import __version__
from sluice.encryption import decrypt_at, encrypt_at
from sluice.errors import Terminal
from sluice.ports.byte_cache import ByteCache

_LARGE_BYTES = 1024  # from here on, compression takes less time than it saves in transfer and memory
_PLAIN, _COMPRESSED = b"\x00", b"\x01"


@dataclass(frozen=True, slots=True)
class EntryKey:
    """Where an entry is stored, and the key that it is encrypted under (32 bytes)."""

    name: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class EncryptedCache:
    """A byte cache whose entries are encrypted with AES-GCM and bound to their names.

    `secret`: of all servers that share the entries. `setup`: settings that answers depend on; servers with other
    settings, and other releases, have other entries. All methods but `key` raise Unavailable.
    """

    store: ByteCache
    secret: bytes = field(repr=False)
    setup: str = ""

    def key(self, kind: str, **parts: Any) -> EntryKey:
        """Returns the key of the entry that depends on `parts` and on nothing else: JSON types, dataclasses (by all
        their fields), sets, ids and dates. Raises TypeError for other types."""
        whole = {"kind": kind, "release": __version__, "setup": self.setup, "parts": parts}
        digest = hmac.digest(self.secret, _canonical(whole), "sha512")
        return EntryKey(f"sluice:{kind}:{digest[:32].hex()}", digest[32:])

    def get(self, key: EntryKey) -> bytes | None:
        """Returns the content; None: there is none, or it is damaged or of somebody else."""
        value = self.store.get(key.name)
        if value is None:
            return None
        try:
            plain = decrypt_at(key.secret, key.name, value)
            return zlib.decompress(plain[1:]) if plain[:1] == _COMPRESSED else plain[1:]
        except (Terminal, zlib.error):
            return None

    def put(self, key: EntryKey, content: bytes, ttl_s: float) -> None:
        """Stores the content for at most `ttl_s`."""
        large = len(content) >= _LARGE_BYTES
        plain = _COMPRESSED + zlib.compress(content, 1) if large else _PLAIN + content
        self.store.put(key.name, encrypt_at(key.secret, key.name, plain), ttl_s)

    def lock(self, key: EntryKey, ttl_s: float) -> Callable[[], None] | None:
        """Takes the lock of an entry, as `ByteCache.lock`."""
        return self.store.lock(f"{key.name}:lock", ttl_s)


def _canonical(value: object) -> bytes:
    """Returns one spelling for equal values; different values have different ones, also 1, 1.0, "1" and true."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain).encode()


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    match value:
        case Mapping():
            return dict(value)
        case set() | frozenset():
            return sorted(value)
        case UUID() | date():
            return str(value)
    raise TypeError(f"{type(value).__name__} cannot be a part of a cache key")
