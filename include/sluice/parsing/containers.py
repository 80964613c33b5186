"""Opens zip containers. Determines the type of a zip or OLE container from its directory, before a parser unpacks it.

Runs in the worker, under its limits: the standard library parses the XML.
"""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree import ElementTree  # under the worker's limits

from sluice.compression import most_bytes
from sluice.errors import ExtractionError
from sluice.model.reasons import unreadable

_OOXML = "application/vnd.openxmlformats-officedocument."
_ZIP_KINDS = {
    "word/": _OOXML + "wordprocessingml.document",
    "ppt/": _OOXML + "presentationml.presentation",
    "xl/": _OOXML + "spreadsheetml.sheet",
}
ODP = "application/vnd.oasis.opendocument.presentation"
ODT = "application/vnd.oasis.opendocument.text"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
EPUB = "application/epub+zip"
XLSX = _ZIP_KINDS["xl/"]
OOXML = tuple(_ZIP_KINDS.values())
_NAMED_KINDS = (EPUB, ODT, ODS, ODP)
MSG = "application/vnd.ms-outlook"
_OLE_KINDS = (
    ("EncryptedPackage", None),
    ("__properties_version1.0", MSG),
    ("WordDocument", "application/msword"),
    ("PowerPoint Document", "application/vnd.ms-powerpoint"),
    ("Workbook", "application/vnd.ms-excel"),
    ("Book", "application/vnd.ms-excel"),
)
BROKEN_ZIP = (
    zipfile.BadZipFile, KeyError, NotImplementedError, EOFError, OSError, ValueError, struct.error, zlib.error,
    lzma.LZMAError,
)  # fmt: skip
"""Raised by zipfile for a damaged or forged zip, or a missing member."""
_MAX_MEMBERS = 20_000
_MAX_DEPTH = 3
_TEXTS = (".xml", ".xhtml", ".html", ".htm")
_NESTED = (".zip", ".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".epub", ".jar")


def opened(content: bytes) -> zipfile.ZipFile:
    """Opens a zip; use `with`. Raises ExtractionError (corrupt). Read its members with `read_member` or `xml_tree`,
    which do, too."""
    with _damage_is_corrupt():
        return zipfile.ZipFile(io.BytesIO(content))


def read_member(archive: zipfile.ZipFile, member: str | zipfile.ZipInfo, max_bytes: int = -1) -> bytes:
    """Returns a member, at most `max_bytes` of it (-1: all, with its checksum compared). Raises ExtractionError
    (corrupt) where it is damaged or missing."""
    with _damage_is_corrupt(), archive.open(member) as file:
        return file.read(max_bytes)


def xml_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Returns a member of an office document. Raises ExtractionError (corrupt), also where it has a document type,
    which is not part of these formats: nested entities can expand without end."""
    markup = read_member(archive, name)
    if b"<!DOCTYPE" in markup[:4096]:
        raise unreadable("corrupt")
    return markup


def xml_tree(archive: zipfile.ZipFile, name: str) -> ElementTree.Element:
    """Parses a member of an office document; see `xml_member`."""
    markup = xml_member(archive, name)
    try:
        return ElementTree.fromstring(markup)  # noqa: S314
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the last two: an encoding that expat lacks
        raise unreadable("corrupt") from error


def kind_of_zip(content: bytes, max_unpacked_bytes: int) -> str:
    """Returns the MIME type. Raises ExtractionError: corrupt, encrypted, zip_bomb, archive, unsupported."""
    _, names = _inspect(content, max_unpacked_bytes, 0)
    if "mimetype" in names:
        declared = _member(content, "mimetype", 200).decode("ascii", "replace").strip().removesuffix("-template")
        if declared in _NAMED_KINDS:
            if "META-INF/rights.xml" in names or _is_sealed_odf(content, names):
                raise unreadable("encrypted")
            return declared
        raise unreadable("unsupported")
    if "[Content_Types].xml" in names:
        for folder, mime in _ZIP_KINDS.items():
            if any(name.startswith(folder) for name in names):
                return mime
        raise unreadable("unsupported")
    if any(name.endswith(".iwa") for name in names) or names & {"index.xml", "index.apxl", "Index.zip"}:
        raise unreadable("unsupported")  # Pages, Numbers, Keynote
    raise unreadable("archive")


def kind_of_ole(content: bytes) -> str:
    """Returns the MIME type. Raises ExtractionError: encrypted, unsupported."""
    for stream, mime in _OLE_KINDS:
        if stream.encode("utf-16-le") in content:
            if mime is None:
                raise unreadable("encrypted")
            return mime
    raise unreadable("unsupported")


def _inspect(content: bytes, max_unpacked_bytes: int, depth: int) -> tuple[int, set[str]]:
    """Returns the unpacked size in bytes, including nested containers, and the names of the members."""
    _check_directory(content)
    with opened(content) as archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        packed = sum(member.compress_size for member in members)
        if total > min(max_unpacked_bytes, most_bytes(max(packed, len(content)))):
            raise unreadable("zip_bomb")
        if any(member.flag_bits & 1 for member in members):
            raise unreadable("encrypted")
        for member in members:
            if member.filename.lower().endswith(_TEXTS):
                _check(archive, member)
            if member.filename.lower().endswith(_NESTED):
                if depth == _MAX_DEPTH:
                    raise unreadable("zip_bomb")
                total += _nested(archive, member, max_unpacked_bytes - total, depth + 1)
    return total, {member.filename for member in members}


def _check(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Compares the checksum: a parser would stop silently at a damaged or forged size. Raises ExtractionError."""
    with _damage_is_corrupt(), archive.open(member) as file:
        while file.read(1 << 20):
            pass


def _nested(archive: zipfile.ZipFile, member: zipfile.ZipInfo, max_unpacked_bytes: int, depth: int) -> int:
    content = read_member(archive, member, member.file_size + 1)
    if not content.startswith(b"PK"):
        return 0
    try:
        return _inspect(content, max_unpacked_bytes, depth)[0]
    except ExtractionError as error:
        if error.code == "zip_bomb":
            raise
        return 0  # a damaged attachment does not make its document unreadable


def _check_directory(content: bytes) -> None:
    """Reads the number of members from the end-of-directory record (PKWARE APPNOTE 4.3.16), before any is read."""
    end = content.rfind(b"PK\x05\x06", max(0, len(content) - 65_557))
    if end < 0 or len(content) < end + 22:
        raise unreadable("corrupt")
    (members,) = struct.unpack_from("<H", content, end + 10)
    if members > _MAX_MEMBERS:
        raise unreadable("zip_bomb")
    if members == 0:
        raise unreadable("empty")


def _member(content: bytes, name: str, max_bytes: int) -> bytes:
    with opened(content) as archive:
        return read_member(archive, name, max_bytes)


def _is_sealed_odf(content: bytes, names: set[str]) -> bool:
    manifest = "META-INF/manifest.xml"
    return manifest in names and b"encryption-data" in _member(content, manifest, 1 << 20)


@contextmanager
def _damage_is_corrupt() -> Iterator[None]:
    """For calls of zipfile only: an error in other code must stay what it is."""
    try:
        yield
    except BROKEN_ZIP as error:
        raise unreadable("corrupt") from error
