"""jsonl:///file: one document per line (see `model/records.py`). The file may be compressed (gzip, bzip2, xz, zstd).

A scan streams the file and holds only the ids in memory. A line without a usable `_id` is listed as `#line-<number>`, a
repeated `_id` as `<id>#line-<number>`; both are quarantined when read. Blank lines are skipped. Offsets count
uncompressed bytes. A compressed file is decompressed again from its beginning up to the first line that a batch reads;
the decompressed content is never stored.
"""

from __future__ import annotations

import os
import re
import weakref
from collections.abc import Iterator
from hashlib import blake2b
from typing import BinaryIO
from urllib.parse import quote

from sluice.compression import kind_of, most_bytes, unpacked
from sluice.errors import BadRequest, ExtractionError, Terminal, Transient
from sluice.model.document import FetchedDocument
from sluice.model.names import MAX_ID_CHARS
from sluice.model.reasons import unreadable
from sluice.model.records import RECORD_MIME, parse_record
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import SourceSpec
from sluice.sources.context import SourceContext
from sluice.sources.globs import Globs
from sluice.sources.roots import open_inside
from sluice.sources.schemes import path_scheme
from sluice.sources.uri import check_root

# Reads the id if the line starts with it. The rest is only parsed on reading, which halves the cost of a scan.
_LEADING_ID = re.compile(rb'\s*\{\s*"_id"\s*:\s*"([^"\\\x00-\x1f\x7f-\xff]{1,%d})"\s*[,}]' % MAX_ID_CHARS)
_NOT_LINES = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"PK": "zip"}
_BOM = b"\xef\xbb\xbf"
_HEAD_BYTES = 16
_SKIP_BYTES = 1 << 20
_DAMAGED = {
    "corrupt": "is damaged or truncated, or is still being written",
    "zip_bomb": "unpacks to far more bytes than lines of JSON would",
    "unsupported": "is compressed with zstd, and this system lacks libzstd",
}
SCHEME = path_scheme("jsonl:JsonlReader", "jsonl:///file")


class JsonlReader:
    """SourceReader of one file. The constructor raises BadRequest if the URI or the kind of file is not allowed."""

    def __init__(self, spec: SourceSpec, context: SourceContext) -> None:
        self._path = os.fsencode(check_root(spec.uri, context.roots))
        self._uri = "jsonl://" + quote(self._path)
        self._globs = Globs(spec.include, spec.exclude) if spec.include or spec.exclude else None
        self._max_bytes = context.max_bytes
        self._open_file: _OpenFile | None = None
        with self._open() as file:
            try:
                head = _unpacked(file).read(_HEAD_BYTES)
            except ExtractionError as error:
                raise self._damaged(error) from error
        kind = _NOT_LINES.get(head[:2]) or (kind_of(head) and "compressed twice")
        if kind:
            raise BadRequest(
                f"{spec.uri} is {kind}, not lines of JSON in UTF-8. Unpack or convert it; nothing was read."
            )

    def scan(self) -> Iterator[ListingEntry]:
        """Raises Transient if the file changes meanwhile, and Terminal if it cannot be decompressed to its end; the
        scan is then not complete."""
        with self._open() as file:
            before = os.fstat(file.fileno())
            try:
                yield from self._entries(_unpacked(file))
            except ExtractionError as error:
                self._check_unchanged(file, before)
                raise self._damaged(error) from error
            self._check_unchanged(file, before)

    def read(self, item: WorkItem) -> FetchedDocument:
        """Raises ExtractionError (too_large, bad_line, duplicate_id).

        Raises Terminal if the file changed since the scan: offsets are then wrong, and only a new scan can succeed.
        """
        entry = item.entry
        if entry.size_bytes > self._max_bytes:
            raise unreadable("too_large")
        body = self._body(entry)
        if body is None or _fingerprint(body) != entry.fingerprint:
            raise Terminal(
                f"{self._uri} changed since the scan; start the run again when the file is complete. Nothing was "
                "lost: documents are served as before, and documents that are already loaded cost nothing again."
            )
        try:
            record = parse_record(body)
        except ValueError as error:
            raise unreadable("bad_line") from error
        if record.id != entry.external_id:
            raise unreadable("duplicate_id")
        return FetchedDocument(item, body, RECORD_MIME, record.title, record.metadata)

    def _entries(self, file: BinaryIO) -> Iterator[ListingEntry]:
        seen: set[str] = set()
        offset = 0
        for number, (line, size) in enumerate(_lines(file, self._max_bytes), start=1):
            start, offset = offset, offset + size
            if number == 1 and line.startswith(_BOM):
                start, line = start + len(_BOM), line[len(_BOM) :]
            body = line.strip()
            if not body:
                continue
            name = _id(body) if size <= self._max_bytes else None
            if name is None or name in seen:
                name = f"{name or ''}#line-{number}"
            seen.add(name)
            if self._globs is None or self._globs.admit(name):
                length = len(line) if size <= self._max_bytes else size
                yield ListingEntry(name, f"{self._uri}#{quote(name)}", _fingerprint(body), length, start)

    def _body(self, entry: ListingEntry) -> bytes | None:
        """Returns None if the line cannot be decompressed, although the scan could."""
        if self._open_file is None:
            self._open_file = _OpenFile(self._open())
            weakref.finalize(self, self._open_file.file.close)
        try:
            return self._open_file.at(entry.offset, entry.size_bytes).strip()
        except ExtractionError:
            return None

    def _open(self) -> BinaryIO:
        try:
            descriptor, _ = open_inside(self._path, os.path.dirname(self._path))
        except ExtractionError as error:
            raise BadRequest(f"{self._uri} is not a file that can be read ({error.code}). {error.reason}") from error
        return open(descriptor, "rb", buffering=1 << 20)

    def _check_unchanged(self, file: BinaryIO, before: os.stat_result) -> None:
        after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise Transient(
                f"{self._uri} changed while it was listed. Nothing was changed; the next try lists it anew. Where "
                "this comes again and again, write the file beside it and rename it when it is complete."
            )

    def _damaged(self, error: ExtractionError) -> Terminal:
        return BadRequest(
            f"{self._uri} {_DAMAGED[error.code]} ({error.code}). The scan is not complete, and nothing was changed or "
            "deleted. Put a whole file there, or the file unpacked."
        )


class _OpenFile:
    """A file that stays open and is read at offsets in its decompressed content, best in ascending order."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self._unpacked = _unpacked(file)
        self._position = 0

    def at(self, offset: int, size: int) -> bytes:
        """Raises ExtractionError if the file cannot be decompressed that far."""
        if self._unpacked is self.file:
            return os.pread(self.file.fileno(), size, offset)
        if offset < self._position:
            self._unpacked, self._position = _unpacked(self.file), 0
        while self._position < offset:
            skipped = len(self._unpacked.read(min(_SKIP_BYTES, offset - self._position)))
            if not skipped:
                return b""
            self._position += skipped
        content = self._unpacked.read(size)
        self._position += len(content)
        return content


def _unpacked(file: BinaryIO) -> BinaryIO:
    """Returns the decompressed stream from the beginning, or the file itself if it is not compressed."""
    file.seek(0)
    mime = kind_of(file.read(_HEAD_BYTES))
    file.seek(0)
    return unpacked(file, mime, most_bytes(os.fstat(file.fileno()).st_size)) if mime else file


def _lines(file: BinaryIO, max_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Yields (line, its size in the file). Of a line longer than `max_bytes`, only the beginning is returned."""
    while line := file.readline(max_bytes + 1):
        size = len(line)
        while size > max_bytes and not line.endswith(b"\n"):
            more = file.readline(1 << 20)
            size += len(more)
            if not more or more.endswith(b"\n"):
                break
        yield line, size


def _id(body: bytes) -> str | None:
    match = _LEADING_ID.match(body)
    if match and body.endswith(b"}"):
        return match[1].decode("ascii")
    try:
        return parse_record(body).id
    except ValueError:
        return None


def _fingerprint(body: bytes) -> str:
    return blake2b(body, digest_size=16).hexdigest()
