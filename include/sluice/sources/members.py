"""Reads the members of a zip as documents of its source, if an include glob names them: `reports.zip!/2024/a.md`.

Listing reads only the zip's directory. Names in it are never used as paths, and the directory is checked before any
member is decompressed. A zip that cannot be opened is listed as one document and quarantined when read; its members of
earlier scans stay if the globs still admit them (`ListingEntry.holds`).
"""

from __future__ import annotations

import errno
import re
import stat
import struct
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, BinaryIO, cast
from urllib.parse import quote

from sluice.compression import most_bytes
from sluice.errors import TRY_AGAIN, ExtractionError, Unavailable
from sluice.model.file_names import hidden, printable
from sluice.model.reasons import unreadable
from sluice.model.scan import MEMBER, ListingEntry
from sluice.sources.globs import Globs, divided
from sluice.sources.ranges import Ranges

_SIGNS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_DIRECTORY_ENTRY = b"PK\x01\x02"
_DOCUMENTS = frozenset({"mimetype", "[Content_Types].xml"})  # EPUB and ODF, Office: containers that are one document
_LOCAL_HEADER_BYTES = 30  # without name and extra fields (PKWARE APPNOTE 4.3.7)
_MAX_MEMBERS = 65_535
_MAX_DIRECTORY_BYTES = 16 << 20
_MAX_NAME_BYTES = 1000
_STEP_BYTES = 1 << 20
_UTF8, _ENCRYPTED = 0x800, 0x1 | 0x40 | 0x2000  # flags (APPNOTE 4.4.4)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # libraries for the other methods have no limit of size
_ABSOLUTE = re.compile(r"/|[A-Za-z]:")


class NotAnArchive(Exception):
    """The file is one document (an Office file, a text named .zip), not a zip of documents.

    `unfinished`: it may be the beginning of a zip that is still being copied.
    """

    def __init__(self, *, unfinished: bool = False) -> None:
        self.unfinished = unfinished
        super().__init__()


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a zip, as the zip's directory describes it.

    `rejection`: the code in `reasons.REASONS` of a member that is never read; None if it may be read.
    """

    info: zipfile.ZipInfo
    rejection: str | None


class Archive:
    """A zip that is open for reading. `members` maps printed names to members; folders are left out."""

    def __init__(self, file: BinaryIO | Ranges) -> None:
        """Takes over `file` and closes it at the end.

        Raises NotAnArchive, ExtractionError (corrupt, zip_bomb), Unavailable if the storage fails, and errors of `file`
        except OSError.
        """
        weakref.finalize(self, file.close)
        bounded = _Bounded(file)
        head = bounded.read(len(_SIGNS[0]))
        if head not in _SIGNS:
            raise NotAnArchive(unfinished=_SIGNS[0].startswith(head) or not head.strip(b"\0"))
        with _errors_as_corrupt():
            self._zip = zipfile.ZipFile(cast("IO[bytes]", bounded))
        infos = self._zip.infolist()
        if any(info.filename in _DOCUMENTS for info in infos):
            raise NotAnArchive
        self._check_bounds(infos)
        self.members = _members(infos)

    def read(self, name: str, max_bytes: int) -> bytes:
        """Decompresses the member with that printed name.

        Raises ExtractionError (vanished, encrypted, link, too_large, corrupt, …), Unavailable if the storage fails, and
        errors of the file except OSError.
        """
        member = self.members.get(name)
        if member is None:
            raise unreadable("vanished")
        if member.rejection:
            raise unreadable(member.rejection)
        size = member.info.file_size
        if size > max_bytes:
            raise unreadable("too_large")
        if size > most_bytes(member.info.compress_size):
            raise unreadable("zip_bomb")
        with _errors_as_corrupt(), self._zip.open(member.info) as file:
            # At most `size` bytes are decompressed; zipfile compares the checksum at the end.
            content = b"".join(iter(partial(file.read, _STEP_BYTES), b""))
        if len(content) != size:
            raise unreadable("corrupt")
        return content

    def _check_bounds(self, infos: list[zipfile.ZipInfo]) -> None:
        """Detects bombs by the total ratio, and by members that share bytes (Fifield 2019)."""
        if sum(info.file_size for info in infos) > most_bytes(sum(info.compress_size for info in infos)):
            raise unreadable("zip_bomb")
        end = 0
        for info in sorted(infos, key=lambda info: info.header_offset):
            if info.header_offset < end:
                raise unreadable("zip_bomb")
            end = info.header_offset + _LOCAL_HEADER_BYTES + info.compress_size
        if end > self._zip.start_dir:
            raise unreadable("corrupt")


def members_of(entry: ListingEntry, globs: Globs, opened: Callable[[], Archive]) -> Iterator[ListingEntry]:
    """Yields the members of the zip `entry` that `globs` admit. A member counts as unchanged while its zip is.

    Yields the entry itself if it is not an archive or cannot be opened. Raises errors that do not concern this zip
    alone.
    """
    try:
        members = opened().members
    except (NotAnArchive, ExtractionError) as error:
        known = isinstance(error, NotAnArchive) and not error.unfinished
        yield entry if known else replace(entry, holds=partial(_admit, globs))
        return
    for name, member in members.items():
        external_id = f"{entry.external_id}{MEMBER}{name}"
        if _admit(globs, external_id):
            info = member.info
            yield ListingEntry(
                external_id=external_id,
                uri=f"{entry.uri}#{quote(name)}",
                # Includes the zip's fingerprint, because content can be made to fit a CRC of 32 bits.
                fingerprint=f"{entry.fingerprint}-{info.header_offset}-{info.CRC:08x}-{info.file_size}",
                size_bytes=info.file_size,
            )


def read_member(external_id: str, globs: Globs, max_bytes: int, opened: Callable[[str], Archive]) -> bytes | None:
    """Returns the bytes of a member, or None if `external_id` is not a member's id. `opened` opens a zip by its
    external id.

    Raises ExtractionError (…, changing if the zip can be opened only since it was listed) and the errors of `opened`.
    """
    container, member = divided(external_id)
    if not globs.opens(container):
        return None
    try:
        archive = opened(container)
        if not member:
            raise unreadable("changing")
        return archive.read(member, max_bytes)
    except NotAnArchive as error:
        if member:
            raise unreadable("changing" if error.unfinished else "vanished") from None
        return None


def _admit(globs: Globs, external_id: str) -> bool:
    """Returns True if a member is a document of the source."""
    return globs.admit(external_id) and (globs.hidden or not hidden(divided(external_id)[1]))


class _Bounded:
    """A file as zipfile reads it. The directory is read in one piece, so its size and number of entries are checked
    there.

    zipfile treats any OSError as damage, so errors of the storage are turned into Unavailable before zipfile sees them.
    """

    def __init__(self, file: BinaryIO | Ranges) -> None:
        self._file = file
        self.tell, self.close = file.tell, file.close

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except OSError as error:
            if error.errno == errno.EINVAL:  # a position before the beginning: the zip is damaged
                raise
            raise storage_failed(error) from error

    def read(self, size: int = -1) -> bytes:
        if size > _MAX_DIRECTORY_BYTES:
            raise unreadable("zip_bomb")
        try:
            content = self._file.read(size)
        except OSError as error:
            raise storage_failed(error) from error
        if content.startswith(_DIRECTORY_ENTRY) and content.count(_DIRECTORY_ENTRY) > _MAX_MEMBERS:
            raise unreadable("zip_bomb")
        return content


def storage_failed(error: OSError) -> Unavailable:
    """Returns the error for a failure of the storage, which a retry may pass."""
    return Unavailable("the source's storage", error.strerror or "reading failed", TRY_AGAIN)


@contextmanager
def _errors_as_corrupt() -> Iterator[None]:
    """Turns all errors of zipfile and zlib into `corrupt`; see `_Bounded` for errors of the storage."""
    try:
        yield
    except (
        zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, NotImplementedError, OverflowError
    ) as error:  # fmt: skip
        raise unreadable("corrupt") from error


def _members(infos: list[zipfile.ZipInfo]) -> dict[str, Member]:
    members: dict[str, Member] = {}
    for number, info in enumerate(infos, start=1):
        raw = _raw_name(info)
        if raw.endswith(b"/") and not info.file_size:
            continue  # a folder
        name, rejection = printable(raw), _rejection(info, raw)
        if not name or len(name.encode()) > _MAX_NAME_BYTES:
            name, rejection = f"#member-{number}", "member_name"
        elif name in members:
            name, rejection = f"{name}#member-{number}", "duplicate_member"
        while name in members:  # another member has that name
            name += "#"
        members[name] = Member(info, rejection)
    return members


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    """Returns the name in UTF-8. Without the UTF-8 flag it may still be UTF-8 (Info-ZIP, macOS), else it is CP437."""
    name = info.orig_filename
    if not info.flag_bits & _UTF8:
        raw = name.encode("cp437")
        with suppress(UnicodeDecodeError):
            name = raw.decode("utf-8")
    return name.encode("utf-8").replace(b"\\", b"/")  # old Windows programs write backslashes


def _rejection(info: zipfile.ZipInfo, raw: bytes) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if _ABSOLUTE.match(raw.decode("utf-8")) or b"\0" in raw or b".." in raw.split(b"/"):
        return "member_name"
    if kind == stat.S_IFLNK:
        return "link"
    if kind not in (0, stat.S_IFREG):
        return "not_a_file"
    if info.flag_bits & _ENCRYPTED:
        return "encrypted"
    return None if info.compress_type in _METHODS else "member_method"
