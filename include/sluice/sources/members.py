"""The members of a zip as documents of its source, where an include glob names them: `reports.zip!/2024/a.md`.

Only the zip's directory is read to list it. A name in it is never a path, and the directory is judged before a member
is unpacked. A zip that cannot be opened is listed as one document and refused when read; its members of former scans
stay as far as the globs still admit them (`ListingEntry.holds`).
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
from typing import IO, Protocol, cast
from urllib.parse import quote

from sluice.compression import most_bytes
from sluice.errors import TRY_AGAIN, ExtractionError, Unavailable
from sluice.model.file_names import hidden, printable
from sluice.model.reasons import unreadable
from sluice.model.scan import MEMBER, ListingEntry
from sluice.sources.globs import Globs, divided

_SIGNS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_DIRECTORY_ENTRY = b"PK\x01\x02"
_DOCUMENTS = frozenset({"mimetype", "[Content_Types].xml"})  # EPUB and ODF, Office: containers that are one document
_LOCAL_HEADER_BYTES = 30  # without its name and extras (PKWARE APPNOTE 4.3.7)
_MAX_MEMBERS = 65_535
_MAX_DIRECTORY_BYTES = 16 << 20
_MAX_NAME_BYTES = 1000
_STEP_BYTES = 1 << 20
_UTF8, _ENCRYPTED = 0x800, 0x1 | 0x40 | 0x2000  # flags (APPNOTE 4.4.4)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others are unpacked by libraries that know no limit
_ABSOLUTE = re.compile(r"/|[A-Za-z]:")


class NotAnArchive(Exception):
    """It is one document (an Office file, a text that is called .zip), not a zip of documents.

    unfinished: it may be the beginning of a copy, which will be a zip."""

    def __init__(self, *, unfinished: bool = False) -> None:
        self.unfinished = unfinished
        super().__init__()


class Seekable(Protocol):
    """What is needed of a binary file. All may raise OSError, and SluiceError where the file is a server's."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes from the current place; all that follow where it is negative."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """`offset` in bytes, from the beginning (0), the current place (1) or the end (2); the place from the
        beginning. Raises OSError (EINVAL) or ValueError before the beginning."""

    def tell(self) -> int:
        """Bytes from the beginning."""

    def close(self) -> None:
        """Frees what it holds. May be called again."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a zip, as its directory describes it.

    refused: the code in `reasons.REASONS` why it is never read; None: it may be read."""

    info: zipfile.ZipInfo
    refused: str | None


class Archive:
    """A zip that is open for reading. `members`: by their printed names, folders left out."""

    def __init__(self, file: Seekable) -> None:
        """Closes `file` in the end. Raises NotAnArchive, Unreadable (corrupt, zip_bomb), Unavailable where the storage
        fails, and what `file` raises but OSError."""
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
        """The member of that printed name, unpacked. Raises Unreadable (vanished, encrypted, link, too_large, corrupt,
        …), Unavailable where the storage fails, and what the file raises but OSError."""
        member = self.members.get(name)
        if member is None:
            raise unreadable("vanished")
        if member.refused:
            raise unreadable(member.refused)
        size = member.info.file_size
        if size > max_bytes:
            raise unreadable("too_large")
        if size > most_bytes(member.info.compress_size):
            raise unreadable("zip_bomb")
        with _errors_as_corrupt(), self._zip.open(member.info) as file:
            # No more than `size` is unpacked; at its end the checksum is compared.
            content = b"".join(iter(partial(file.read, _STEP_BYTES), b""))
        if len(content) != size:
            raise unreadable("corrupt")
        return content

    def _check_bounds(self, infos: list[zipfile.ZipInfo]) -> None:
        """Against bombs: the whole ratio, and members that share their bytes (Fifield 2019)."""
        if sum(info.file_size for info in infos) > most_bytes(sum(info.compress_size for info in infos)):
            raise unreadable("zip_bomb")
        end = 0
        for info in sorted(infos, key=lambda info: info.header_offset):
            if info.header_offset < end:
                raise unreadable("zip_bomb")
            end = info.header_offset + _LOCAL_HEADER_BYTES + info.compress_size
        if end > self._zip.start_dir:
            raise unreadable("corrupt")


def listed(entry: ListingEntry, globs: Globs, opened: Callable[[], Archive]) -> Iterator[ListingEntry]:
    """The members of the zip `entry` that `globs` admit, each unchanged while the zip is; the entry itself where it is
    no archive or cannot be opened. Raises what is no matter of this zip alone."""
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
                # By the zip's own, never by the checksum alone: a CRC of 32 bits can be chosen.
                fingerprint=f"{entry.fingerprint}-{info.header_offset}-{info.CRC:08x}-{info.file_size}",
                size_bytes=info.file_size,
            )


def read_member(external_id: str, globs: Globs, max_bytes: int, opened: Callable[[str], Archive]) -> bytes | None:
    """The bytes of a member; None where `external_id` is a document by itself. `opened`: the zip of an external id.
    Raises Unreadable (…, changing where a zip can be opened only since it was listed) and what `opened` raises."""
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
    """Whether a member is a document of the source."""
    return globs.admit(external_id) and (globs.hidden or not hidden(divided(external_id)[1]))


class _Bounded:
    """A file as zipfile reads it. The directory is read in one piece: that is where its size and number are known.

    zipfile takes any OSError for damage, so those of the storage are turned to Unavailable before it sees them."""

    def __init__(self, file: Seekable) -> None:
        self._file = file
        self.tell, self.close = file.tell, file.close

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except OSError as error:
            if error.errno == errno.EINVAL:  # a place before the beginning: damage indeed
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
    return Unavailable("the source's storage", error.strerror or "reading failed", TRY_AGAIN)


@contextmanager
def _errors_as_corrupt() -> Iterator[None]:
    """All that zipfile and zlib raise means damage; see `_Bounded` for errors of the storage."""
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
        name, refused = printable(raw), _refused(info, raw)
        if not name or len(name.encode()) > _MAX_NAME_BYTES:
            name, refused = f"#member-{number}", "member_name"
        elif name in members:
            name, refused = f"{name}#member-{number}", "duplicate_member"
        while name in members:  # a member is called like that
            name += "#"
        members[name] = Member(info, refused)
    return members


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    """In UTF-8. Without the flag for it a name may be UTF-8 all the same (Info-ZIP, macOS), else it is CP437."""
    name = info.orig_filename
    if not info.flag_bits & _UTF8:
        raw = name.encode("cp437")
        with suppress(UnicodeDecodeError):
            name = raw.decode("utf-8")
    return name.encode("utf-8").replace(b"\\", b"/")  # as old programs of Windows write it


def _refused(info: zipfile.ZipInfo, raw: bytes) -> str | None:
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
