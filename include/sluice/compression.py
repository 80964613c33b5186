"""Decompresses files, streams and HTTP responses (gzip, bzip2, xz, zstd), with limits on size and memory."""

from __future__ import annotations

import bz2
import ctypes
import io
import lzma
import weakref
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, BinaryIO, Protocol, cast

from sluice.model.reasons import unreadable

GZIP, BZIP2, XZ, ZSTD = "application/gzip", "application/x-bzip2", "application/x-xz", "application/zstd"
COMPRESSED = frozenset({GZIP, BZIP2, XZ, ZSTD})
GZIP_MAGIC = b"\x1f\x8b"
_SUFFIXES = (".gz", ".gzip", ".bz2", ".xz", ".zst", ".zstd")
_MAX_RATIO = 200
_RATIO_FROM_BYTES = 20 << 20
_XZ_MEMORY_BYTES = 256 << 20
_STEP_BYTES = 1 << 20
_PACKED_BYTES = 32 << 10  # small: at the end of each stream the rest of the input is copied


def kind_of(head: bytes) -> str | None:
    """Returns the MIME type that the first bytes of a file show, or None if the file is not compressed."""
    if head.startswith(GZIP_MAGIC):
        return GZIP
    if head[:3] == b"BZh" and head[4:8] in (b"1AY&", b"\x17rE8"):  # the first block, or the end of an empty stream
        return BZIP2
    if head.startswith(b"\xfd7zXZ\0"):
        return XZ
    return ZSTD if head.startswith(b"\x28\xb5\x2f\xfd") else None


def inner_name(name: str) -> str:
    """`page.html.gz` → `page.html`."""
    suffix = next((suffix for suffix in _SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def unpack(content: bytes, mime: str, max_bytes: int) -> bytes:
    """Decompresses all concatenated streams.

    Raises ExtractionError: zip_bomb (more than `max_bytes`, or a ratio that only a bomb has; see `most_bytes`),
    corrupt, unsupported (zstd on a system without libzstd).
    """
    return b"".join(_pieces(io.BytesIO(content), mime, min(max_bytes, most_bytes(len(content)))))


def gunzip(content: bytes, max_bytes: int) -> bytes:
    """Decompresses an HTTP body, all members of the gzip file.

    Raises ExtractionError: too_large (more than `max_bytes` when decompressed), corrupt.
    """
    if not content.startswith(GZIP_MAGIC):
        raise unreadable("corrupt")
    return b"".join(_pieces(io.BytesIO(content), GZIP, max_bytes, "too_large"))


def unpacked(file: BinaryIO, mime: str, max_bytes: int) -> BinaryIO:
    """Returns the decompressed content as a stream, in bounded memory. Its methods raise the errors of `unpack`."""
    return cast(BinaryIO, io.BufferedReader(_Pieces(_pieces(file, mime, max_bytes)), _STEP_BYTES))


def most_bytes(packed_bytes: int) -> int:
    """Returns the largest decompressed size, in bytes, that is not treated as a bomb. Office files reach a ratio of
    about 25; spreadsheets of repeated cells and logs about 100."""
    return max(_RATIO_FROM_BYTES, _MAX_RATIO * packed_bytes)


class _Pieces(io.RawIOBase):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def _pieces(file: BinaryIO, mime: str, max_bytes: int, beyond: str = "zip_bomb") -> Iterator[bytes]:
    """Yields non-empty pieces, so that an empty piece can mean the end. Raises ExtractionError: `beyond` after
    `max_bytes`."""
    remaining = max_bytes
    packed = file.read(_PACKED_BYTES)
    while packed:
        stream = _stream(mime)
        while not stream.eof:
            try:
                piece = stream.decompress(packed, min(remaining, _STEP_BYTES) + 1)
            except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError) as error:
                raise unreadable("corrupt") from error
            packed = getattr(stream, "unconsumed_tail", b"")  # bz2 and lzma keep it themselves
            remaining -= len(piece)
            if remaining < 0:
                raise unreadable(beyond)
            if piece:
                yield piece
            elif not packed and not stream.eof:
                packed = file.read(_PACKED_BYTES)
                if not packed:
                    raise unreadable("corrupt")  # the file is truncated
        packed = stream.unused_data
        # Zero bytes may pad the end of each stream.
        while not (packed := packed.lstrip(b"\0")) and (packed := file.read(_PACKED_BYTES)):
            pass


class _Stream(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _stream(mime: str) -> _Stream:
    if mime == ZSTD:
        return _Zstd()
    if mime == BZIP2:
        return bz2.BZ2Decompressor()
    if mime == XZ:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)
    return zlib.decompressobj(16 + zlib.MAX_WBITS)


class _Buffer(ctypes.Structure):
    """`ZSTD_inBuffer` and `ZSTD_outBuffer` of zstd.h."""

    _fields_ = (("place", ctypes.c_void_p), ("size", ctypes.c_size_t), ("position", ctypes.c_size_t))


@lru_cache(maxsize=1)
def _libzstd() -> ctypes.CDLL:
    """Loads the system's libzstd: Python has none before 3.14. Raises OSError."""
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_createDStream.restype = ctypes.c_void_p
    library.ZSTD_decompressStream.restype = ctypes.c_size_t
    library.ZSTD_freeDStream.argtypes = [ctypes.c_void_p]
    return library


class _Zstd:
    """Decompresses one frame, with the interface of zlib's object. The constructor raises ExtractionError
    (unsupported)."""

    def __init__(self) -> None:
        try:
            self._library = _libzstd()
        except OSError as error:
            raise unreadable("unsupported") from error
        self._stream = ctypes.c_void_p(self._library.ZSTD_createDStream())
        weakref.finalize(self, self._library.ZSTD_freeDStream, self._stream)
        self._target = ctypes.create_string_buffer(_STEP_BYTES)
        self.eof = False
        self.unused_data = self.unconsumed_tail = b""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        source = ctypes.create_string_buffer(data, len(data))
        packed = _Buffer(ctypes.cast(source, ctypes.c_void_p), len(data), 0)
        plain = _Buffer(ctypes.cast(self._target, ctypes.c_void_p), min(max_length, _STEP_BYTES), 0)
        status = self._library.ZSTD_decompressStream(self._stream, ctypes.byref(plain), ctypes.byref(packed))
        if self._library.ZSTD_isError(ctypes.c_size_t(status)):
            raise ValueError("not a frame of zstd")
        self.eof = status == 0
        rest = data[packed.position :]
        self.unused_data, self.unconsumed_tail = (rest, b"") if self.eof else (b"", rest)
        return ctypes.string_at(self._target, plain.position)
