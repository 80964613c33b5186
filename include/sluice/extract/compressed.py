"""What was compressed (gzip, bzip2, xz, zstd), unpacked with limits: a file by the worker, an answer of a server."""

from __future__ import annotations

import bz2
import ctypes
import lzma
import zlib
from typing import Protocol

from sluice.extract.reasons import unreadable

GZIP, BZIP2, XZ, ZSTD = "application/gzip", "application/x-bzip2", "application/x-xz", "application/zstd"
COMPRESSED = frozenset({GZIP, BZIP2, XZ, ZSTD})
GZIP_MAGIC = b"\x1f\x8b"
_SUFFIXES = (".gz", ".gzip", ".bz2", ".xz", ".zst", ".zstd")
_MAX_RATIO = 200  # text reaches about 20, logs about 100
_RATIO_FROM_BYTES = 20 << 20
_XZ_MEMORY_BYTES = 256 << 20
_STEP_BYTES = 1 << 20


def kind_of(head: bytes) -> str | None:
    """The MIME type of what begins so; None where it is not compressed."""
    if head.startswith(GZIP_MAGIC):
        return GZIP
    if head[:3] == b"BZh" and head[4:8] in (b"1AY&", b"\x17rE8"):  # a block, or the end of nothing
        return BZIP2
    if head.startswith(b"\xfd7zXZ\0"):
        return XZ
    return ZSTD if head.startswith(b"\x28\xb5\x2f\xfd") else None


def inner_name(name: str) -> str:
    """`page.html.gz` → `page.html`."""
    suffix = next((suffix for suffix in _SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def unpack(content: bytes, mime: str, max_bytes: int) -> bytes:
    """All streams one after another. Raises Unreadable: zip_bomb (more than `max_bytes`, or far more than such a file
    unpacks to), corrupt, unsupported (zstd where the system lacks libzstd)."""
    limit = min(max_bytes, max(_RATIO_FROM_BYTES, _MAX_RATIO * len(content)))
    if mime == ZSTD:
        return _zstd(content, limit)
    return _streams(content, mime, limit, "zip_bomb")


def gunzip(content: bytes, max_bytes: int) -> bytes:
    """What a server sends compressed, all members one after another. Raises Unreadable: too_large (more than
    `max_bytes` unpacked), corrupt."""
    if not content.startswith(GZIP_MAGIC):
        raise unreadable("corrupt")
    return _streams(content, GZIP, max_bytes, "too_large")


def _streams(content: bytes, mime: str, limit: int, beyond: str) -> bytes:
    """Raises Unreadable: `beyond` where more than `limit` bytes come out, corrupt."""
    parts: list[bytes] = []
    left = limit
    while content:
        stream = _stream(mime)
        try:
            while not stream.eof:
                part = stream.decompress(content, min(left, _STEP_BYTES) + 1)
                content = _rest(stream) if not stream.eof else b""
                if not part and not stream.eof and not content:
                    raise unreadable("corrupt")  # cut off
                left -= len(part)
                if left < 0:
                    raise unreadable(beyond)
                parts.append(part)
        except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError) as error:
            raise unreadable("corrupt") from error
        content = stream.unused_data.lstrip(b"\0")  # padding is allowed between streams and after the last
    return b"".join(parts)


class _Stream(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _stream(mime: str) -> _Stream:
    if mime == BZIP2:
        return bz2.BZ2Decompressor()
    if mime == XZ:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)
    return zlib.decompressobj(16 + zlib.MAX_WBITS)


def _rest(stream: _Stream) -> bytes:
    """zlib hands back what it was not let unpack yet; the others keep it."""
    tail: bytes = getattr(stream, "unconsumed_tail", b"")
    return tail


class _Buffer(ctypes.Structure):
    """`ZSTD_inBuffer` and `ZSTD_outBuffer` of zstd.h."""

    _fields_ = (("place", ctypes.c_void_p), ("size", ctypes.c_size_t), ("position", ctypes.c_size_t))


def _zstd(content: bytes, limit: int) -> bytes:
    """By the system's library: Python has none before 3.14."""
    try:
        library = ctypes.CDLL("libzstd.so.1")
    except OSError as error:
        raise unreadable("unsupported") from error
    library.ZSTD_createDStream.restype = ctypes.c_void_p
    library.ZSTD_decompressStream.restype = ctypes.c_size_t
    stream = ctypes.c_void_p(library.ZSTD_createDStream())
    source = ctypes.create_string_buffer(content, len(content))
    target = ctypes.create_string_buffer(_STEP_BYTES)
    given = _Buffer(ctypes.cast(source, ctypes.c_void_p), len(content), 0)
    parts: list[bytes] = []
    left = limit
    try:
        while True:
            made = _Buffer(ctypes.cast(target, ctypes.c_void_p), _STEP_BYTES, 0)
            status = library.ZSTD_decompressStream(stream, ctypes.byref(made), ctypes.byref(given))
            if library.ZSTD_isError(ctypes.c_size_t(status)):
                raise unreadable("corrupt")
            left -= made.position
            if left < 0:
                raise unreadable("zip_bomb")
            parts.append(target.raw[: made.position])
            if given.position == given.size and made.position < _STEP_BYTES:
                if status:
                    raise unreadable("corrupt")  # cut off
                return b"".join(parts)
    finally:
        library.ZSTD_freeDStream(stream)
