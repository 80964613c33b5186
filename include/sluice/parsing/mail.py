"""An e-mail (RFC 5322, MIME) as text: headers, body, and each attachment under its own heading.

Attached messages are read in the same way. If an attachment cannot be read, the reason stands in its place. Runs in the
worker, under its limits.
"""

from __future__ import annotations

import binascii
import contextlib
import email.policy
import io
import quopri
import re
from collections.abc import Callable, Iterator
from email.generator import BytesGenerator
from email.message import Message
from email.parser import BytesParser
from email.utils import formataddr, getaddresses
from typing import Any

from sluice.errors import ExtractionError
from sluice.model.file_names import printed
from sluice.parsing.coverage import completed, lacks_many_words
from sluice.parsing.embedded import without_blobs
from sluice.parsing.html import html_blocks
from sluice.parsing.sniffing import EMAIL, sniff
from sluice.parsing.text import decode

MAX_DEPTH = 5  # levels of attached messages
MAX_PARTS = 200
_HEADERS = ("Subject", "From", "To", "Cc", "Date")
_HTML = "text/html"
_PAGES = (_HTML, "text/x-amp-html", "text/watch-html")
_MESSAGES = ("message/rfc822", "message/global")
_UNNAMED = {"text/calendar": "calendar", "message/delivery-status": "delivery report"}
_MAX_NAME_CHARS = 200
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")
Read = Callable[[bytes, str, str | None], str]


def mail_text(content: bytes, read: Read) -> tuple[str, dict[str, Any]]:
    """Returns the text and the raw metadata for `facts.py`.

    `read(content, name, charset)` returns the text of an attachment or raises ExtractionError; the charset is the one
    that the mail declares, or None.
    """
    message = _parsed(content)
    raw_metadata = {
        "subject": _header(message, "Subject"),
        "from_email": _header(message, "From"),
        "to_emails": _addresses(message, "To"),
        "cc_emails": _addresses(message, "Cc"),
        "created_at": _header(message, "Date"),
        "attachments": [name for part in _leaves(message) if (name := _file_name(part))],
    }
    return "\n\n".join(_message(message, read, 0, [MAX_PARTS])), raw_metadata


def _message(message: Message, read: Read, depth: int, budget: list[int]) -> Iterator[str]:
    for name in _HEADERS:
        if value := _header(message, name):
            yield f"**{name}**: {value}"
    parts = list(_leaves(message))
    body = _body(parts)
    pages = [part for part in parts if part is not body and part.get_content_type() in _PAGES and not _is_file(part)]
    if body is not None:
        yield from _read_body(body, pages, read)
    pictures = 0
    for part in parts:
        if part is body or part in pages:
            continue
        if _is_picture_of_page(part):
            pictures += 1
        elif _has_content(part):
            budget[0] -= 1
            if budget[0] < 0:
                yield f"(more than {MAX_PARTS} attachments: the rest was left out)"
                return
            yield from _attachment(part, read, depth, budget)
    if pictures:
        yield f"(not read: {pictures} {'picture' if pictures == 1 else 'pictures'} of the page)"


def _attachment(part: Message, read: Read, depth: int, budget: list[int]) -> Iterator[str]:
    inner = _attached_message(part)
    if inner is not None:
        yield f"## Attached message: {_header(inner, 'Subject')}".rstrip(": ")
        if depth >= MAX_DEPTH:
            yield "(not read: messages are attached to each other too deeply)"
            return
        yield from _message(inner, read, depth + 1, budget)
        return
    name = _file_name(part) or _UNNAMED.get(part.get_content_type(), "unnamed")
    yield f"## Attachment: {name}"
    try:
        yield read(_content(part), name, _charset(part))
    except ExtractionError as error:
        yield f"(not read: {error.code})"


def _attached_message(part: Message) -> Message | None:
    """Returns an attached message, whether it is a part or a file. Some programs encode the part, although RFC 2046
    forbids that."""
    if part.get_content_type() not in _MESSAGES:
        name = _file_name(part).lower()
        content = _payload(part) if name.endswith((".eml", ".mht", ".mhtml")) else b""
        is_message = sniff(content, name).mime == EMAIL
    else:
        inner = part.get_payload(0) if part.is_multipart() else None
        encoding = str(part.get("Content-Transfer-Encoding") or "").strip().lower()
        if isinstance(inner, Message) and encoding not in ("base64", "quoted-printable"):
            return inner
        content = _decoded_message(inner, encoding) if isinstance(inner, Message) else _payload(part)
        is_message = True
    return _parsed(content) if is_message else None


def _parsed(content: bytes) -> Message:
    return BytesParser(policy=email.policy.default).parsebytes(_with_utf8_headers(content))


def _decoded_message(inner: Message, encoding: str) -> bytes:
    buffer = io.BytesIO()
    BytesGenerator(buffer, mangle_from_=False, policy=email.policy.compat32).flatten(inner)
    written = buffer.getvalue()
    try:
        return binascii.a2b_base64(written) if encoding == "base64" else quopri.decodestring(written)
    except binascii.Error:
        return written


def _leaves(message: Message) -> Iterator[Message]:
    """Yields parts that hold no other parts, in order; an attached message counts as one. Not recursive: mails can be
    deeply nested."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            waiting.extend(reversed(part.get_payload()))  # type: ignore[arg-type]
        else:
            yield part


def _body(parts: list[Message]) -> Message | None:
    for kind in ("text/plain", _HTML):
        for part in parts:
            if part.get_content_type() == kind and not _is_file(part) and _payload(part).strip():
                return part
    return None


def _is_file(part: Message) -> bool:
    return part.get_content_disposition() == "attachment" or bool(part.get_filename())


def _is_picture_of_page(part: Message) -> bool:
    return part.get_content_maintype() == "image" and part.get_content_disposition() != "attachment"


def _has_content(part: Message) -> bool:
    """Returns True for a file or a message; a part without a name counts if it is not empty."""
    return _is_file(part) or part.get_content_type() in _MESSAGES or bool(_content(part).strip())


def _content(part: Message) -> bytes:
    """Returns the bytes of a part. Also handles delivery reports, which are parsed into header blocks, and empty
    multiparts."""
    payload = part.get_payload()
    if isinstance(payload, list):
        return "\n".join(str(block) for block in payload).encode("utf-8", "replace")
    return _payload(part)


def _read_body(body: Message, pages: list[Message], read: Read) -> Iterator[str]:
    """Yields the body, plus text that only its other forms hold (HTML beside a short plain text)."""
    try:
        text = _read_text(body, read)
    except ExtractionError as error:
        text = f"(not read: {error.code})"
    for page in pages:
        markup = _decoded(page)
        blocks = html_blocks(markup)
        if lacks_many_words(text, blocks):
            with contextlib.suppress(ExtractionError):
                blocks = read(markup.encode("utf-8"), "body.html", "utf-8").split("\n\n")
            text = completed("\n\n".join(blocks), text.split("\n\n")).text
        else:
            text = completed(text, blocks).text
    if text.strip():
        yield text.replace("\r\n", "\n").strip("\n")


def _read_text(part: Message, read: Read) -> str:
    text = _decoded(part)
    return read(text.encode("utf-8"), "body.html", "utf-8") if part.get_content_type() == _HTML else without_blobs(text)


def _decoded(part: Message) -> str:
    content = _payload(part)
    return decode(content, _charset(part)) or content.decode("utf-8", "replace").replace("\0", "")


def _charset(part: Message) -> str | None:
    try:
        return part.get_content_charset()
    except (LookupError, ValueError, AttributeError):  # raised by the standard library for malformed parameters
        return None


def _file_name(part: Message) -> str:
    return printed(part.get_filename() or "", _MAX_NAME_CHARS)


def _addresses(message: Message, name: str) -> list[str]:
    pairs = getaddresses([_header(message, name)])
    return [
        formataddr(pair, charset="utf-8") if pair[0].isascii() else f"{pair[0]} <{pair[1]}>"
        for pair in pairs
        if pair[1]
    ]


def _payload(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _with_utf8_headers(content: bytes) -> bytes:
    """Converts raw headers to UTF-8: old programs write them in the charset of the body, without the encoding of RFC
    2047."""
    end = _END_OF_HEADERS.search(content)
    head = content[: end.start()] if end else content
    text = None if head.isascii() else decode(head)
    return content if text is None else text.encode() + content[len(head) :]


def _header(message: Message, name: str) -> str:
    try:
        return " ".join(str(message.get(name) or "").replace("\0", "").split())[:2000]
    except (ValueError, IndexError, AttributeError, TypeError):  # by the standard library, for malformed addresses
        return ""
