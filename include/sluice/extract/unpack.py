"""gzip, unpacked with a limit: what a server sends compressed may be a bomb."""

from __future__ import annotations

import zlib

from sluice.extract.reasons import unreadable

MAGIC = b"\x1f\x8b"
_GZIP = 16 + zlib.MAX_WBITS


def gunzip(content: bytes, max_bytes: int) -> bytes:
    """All members one after another. Raises Unreadable (too_large: more than `max_bytes` unpacked; corrupt)."""
    parts: list[bytes] = []
    left = max_bytes
    while content.startswith(MAGIC):
        member = zlib.decompressobj(_GZIP)
        try:
            part = member.decompress(content, left + 1)
        except zlib.error as error:
            raise unreadable("corrupt") from error
        if len(part) > left:
            raise unreadable("too_large")
        if not member.eof:
            raise unreadable("corrupt")
        parts.append(part)
        left -= len(part)
        content = member.unused_data.lstrip(b"\0")  # padding is allowed between members and after the last
    if not parts or content:
        raise unreadable("corrupt")
    return b"".join(parts)
