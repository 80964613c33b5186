"""The protocol of the pipes between the extractor and its workers: two lengths (big-endian integers), a small JSON
object, and bytes.

JSON instead of pickle: a worker that a document has taken over must not be able to run code in the extractor.
"""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

PREFIX = struct.Struct(">IQ")
MAX_HEADER_BYTES = 1 << 20


def pack(header: dict[str, Any], body: bytes) -> bytes:
    """Returns the frame without the body, which the caller writes after it."""
    encoded = json.dumps(header).encode()
    return PREFIX.pack(len(encoded), len(body)) + encoded


def read(pipe: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """Returns None at the end of the stream."""
    prefix = pipe.read(PREFIX.size)
    if len(prefix) < PREFIX.size:
        return None
    header_bytes, body_bytes = PREFIX.unpack(prefix)
    header, body = pipe.read(header_bytes), pipe.read(body_bytes)
    if len(header) < header_bytes or len(body) < body_bytes:
        return None
    return json.loads(header), body


def write(pipe: BinaryIO, header: dict[str, Any], body: bytes = b"") -> None:
    """Writes one frame and flushes the pipe."""
    pipe.write(pack(header, body))
    pipe.write(body)
    pipe.flush()
