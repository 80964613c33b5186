"""Reads the parts of an Outlook message (MS-OXMSG) that the parser leaves out: HTML and RTF bodies, and attached
messages.

Runs in the worker, under its limits.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from sluice.errors import ExtractionError
from sluice.model.file_names import printed
from sluice.parsing.html import html_blocks
from sluice.parsing.mail import MAX_DEPTH, MAX_PARTS, Read
from sluice.parsing.ole import Storage, read_ole
from sluice.parsing.text import decode

_PROPERTY = "__substg1.0_"
_ATTACHMENT = "__attach_version1.0_"
_TEXT, _HTML, _RTF = "1000", "1013", "1009"
_HEADERS = (("Subject", "0037"), ("From", "0C1A"), ("From", "5D01"), ("To", "0E04"), ("Cc", "0E03"))
_NAMES = ("3707", "3704", "3001")
_DATA, _EMBEDDED = f"{_PROPERTY}37010102", f"{_PROPERTY}3701000D"
_MAX_NAME_CHARS = 200
_RTF_HEAD = (  # initial window of compressed RTF (MS-OXRTFCP 2.1.2.1)
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans Serif"
    rb"SymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    + b"\r\n"
    + rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
_WINDOW = 4096


def msg_parts(content: bytes, read: Read) -> tuple[list[str], list[str]]:
    """Returns (blocks of the body, blocks of the attachments). `read(content, name, charset)` as in `mail.py`.

    Raises ExtractionError (corrupt).
    """
    message = read_ole(content)
    return list(_body(message, read)), list(_attachments(message, read, 0, [MAX_PARTS]))


def _message(message: Storage, read: Read, depth: int, budget: list[int]) -> Iterator[str]:
    for name, number in _HEADERS:
        if value := " ".join(_text(message, number).split()):
            yield f"**{name}**: {value}"
    yield from _body(message, read)
    yield from _attachments(message, read, depth, budget)


def _body(message: Storage, read: Read) -> Iterator[str]:
    """Yields the first form that has text: a message repeats its text in each form."""
    if text := _text(message, _TEXT).replace("\r\n", "\n").strip():
        yield from text.split("\n\n")
    elif page := _text(message, _HTML) or _decoded(message, _HTML):
        yield from _read(page.encode("utf-8"), "body.html", read, html_blocks(page), "utf-8")
    elif packed := message.streams.get(f"{_PROPERTY}{_RTF}0102"):
        yield from _read(_unpacked(packed), "body.rtf", read, [])


def _read(content: bytes, name: str, read: Read, otherwise: list[str], charset: str | None = None) -> list[str]:
    try:
        return read(content, name, charset).split("\n\n")
    except ExtractionError as error:
        return otherwise or [f"(not read: {error.code})"]


def _attachments(message: Storage, read: Read, depth: int, budget: list[int]) -> Iterator[str]:
    for key in sorted(each for each in message.storages if each.startswith(_ATTACHMENT)):
        budget[0] -= 1
        if budget[0] < 0:
            yield f"(more than {MAX_PARTS} attachments: the rest was left out)"
            return
        part = message.storages[key]
        name = next(filter(None, (_name(part, number) for number in _NAMES)), "unnamed")
        inner = part.storages.get(_EMBEDDED)
        if inner is None:
            yield f"## Attachment: {name}"
            yield from _read(part.streams.get(_DATA, b""), name, read, [])
            continue
        yield f"## Attached message: {' '.join(_text(inner, '0037').split()) or name}"
        if depth >= MAX_DEPTH:
            yield "(not read: messages are attached to each other too deeply)"
        elif parts := list(_message(inner, read, depth + 1, budget)):
            yield from parts
        else:
            yield "(not read: unsupported)"  # an embedded object of another program


def _text(storage: Storage, number: str) -> str:
    if content := storage.streams.get(f"{_PROPERTY}{number}001F"):
        return content.decode("utf-16-le", "replace").replace("\0", "")
    return (decode(storage.streams.get(f"{_PROPERTY}{number}001E", b"")) or "").replace("\0", "")


def _decoded(storage: Storage, number: str) -> str:
    return decode(storage.streams.get(f"{_PROPERTY}{number}0102", b"").rstrip(b"\0")) or ""


def _name(storage: Storage, number: str) -> str:
    return printed(_text(storage, number), _MAX_NAME_CHARS)


def _unpacked(packed: bytes) -> bytes:
    """Decompresses RTF (MS-OXRTFCP): literal bytes, and references to the last 4,096 bytes. b"" if it is not compressed
    RTF."""
    if len(packed) < 16:
        return b""
    (raw_bytes,) = struct.unpack_from("<I", packed, 4)
    if packed[8:12] == b"MELA":
        return packed[16 : 16 + raw_bytes]
    output, place = bytearray(_RTF_HEAD), 16
    while place < len(packed):
        flags, place = packed[place], place + 1
        for bit in range(8):
            if not flags >> bit & 1:
                output += packed[place : place + 1]
                place += 1
                continue
            (pair,) = struct.unpack(">H", packed[place : place + 2].ljust(2, b"\0"))
            place += 2
            start, length = pair >> 4, (pair & 15) + 2
            begin = len(output) - (len(output) - start) % _WINDOW
            if begin == len(output) or place > len(packed):
                return bytes(output[len(_RTF_HEAD) :])
            for offset in range(length):
                output.append(output[begin + offset] if begin >= 0 else 0)
    return bytes(output[len(_RTF_HEAD) :])
