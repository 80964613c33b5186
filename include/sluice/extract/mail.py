"""An e-mail (RFC 5322, MIME) as text: its headers, its body, and each attachment under a heading of its own.

Attached messages are read the same way. What an attachment cannot be read for stands in its place. Runs in the
worker, under its limits.
"""

from __future__ import annotations

import email.policy
import re
from collections.abc import Callable, Iterator
from email.message import Message
from email.parser import BytesParser
from email.utils import formataddr, getaddresses
from typing import Any

from sluice.errors import Unreadable
from sluice.extract.names import printable
from sluice.extract.text import decode

MAX_DEPTH = 5  # messages attached to attached messages
MAX_PARTS = 200
_HEADERS = ("Subject", "From", "To", "Cc", "Date")
_HTML = "text/html"
_MAX_NAME_CHARS = 200
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")
Read = Callable[[bytes, str, str | None], str]


def mail_text(content: bytes, read: Read) -> tuple[str, dict[str, Any]]:
    """The text, and what `facts.py` makes the metadata of. `read(content, name, charset)` gives the text of an
    attachment or raises Unreadable; the charset is the one that the mail declares, if it does."""
    message = BytesParser(policy=email.policy.default).parsebytes(_with_utf8_headers(content))
    found = {
        "subject": _header(message, "Subject"),
        "from_email": _header(message, "From"),
        "to_emails": _addresses(message, "To"),
        "cc_emails": _addresses(message, "Cc"),
        "created_at": _header(message, "Date"),
        "attachments": [name for part in _leaves(message) if (name := _file_name(part))],
    }
    return "\n\n".join(_message(message, read, 0, [MAX_PARTS])), found


def _message(message: Message, read: Read, depth: int, budget: list[int]) -> Iterator[str]:
    for name in _HEADERS:
        if value := _header(message, name):
            yield f"**{name}**: {value}"
    parts = list(_leaves(message))
    body = _body(parts)
    if body is not None:
        yield from _read_part(body, read)
    for part in parts:
        if part is not body and _is_attached(part, body):
            budget[0] -= 1
            if budget[0] < 0:
                yield f"(more than {MAX_PARTS} attachments: the rest was left out)"
                return
            yield from _attachment(part, read, depth, budget)


def _attachment(part: Message, read: Read, depth: int, budget: list[int]) -> Iterator[str]:
    if part.get_content_type() == "message/rfc822":
        inner = part.get_payload(0) if part.is_multipart() else None
        yield f"## Attached message: {_header(inner, 'Subject') if isinstance(inner, Message) else ''}".rstrip(": ")
        if not isinstance(inner, Message) or depth >= MAX_DEPTH:
            yield "(not read: messages are attached to each other too deeply)"
            return
        yield from _message(inner, read, depth + 1, budget)
        return
    name = _file_name(part) or "unnamed"
    yield f"## Attachment: {name}"
    try:
        yield read(_payload(part), name, _charset(part))
    except Unreadable as error:
        yield f"(not read: {error.code})"


def _leaves(message: Message) -> Iterator[Message]:
    """Parts that hold no others, in order; an attached message counts as one. Not recursive: a mail can be deep."""
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


def _is_attached(part: Message, body: Message | None) -> bool:
    """Pictures of a page and the other form of the body are not; what stands beside the body is."""
    if part.get_content_type() == "message/rfc822" or _is_file(part):
        return part.get_content_maintype() != "image" or part.get_content_disposition() == "attachment"
    same_kind = body is not None and part.get_content_type() == body.get_content_type()
    return same_kind and bool(_payload(part).strip())


def _read_part(part: Message, read: Read) -> Iterator[str]:
    text = _decoded(part)
    if part.get_content_type() == _HTML:
        try:
            text = read(text.encode("utf-8"), "body.html", "utf-8")
        except Unreadable:
            return
    if text.strip():
        yield text.replace("\r\n", "\n").strip("\n")


def _decoded(part: Message) -> str:
    content = _payload(part)
    return decode(content, _charset(part)) or content.decode("utf-8", "replace").replace("\0", "")


def _charset(part: Message) -> str | None:
    try:
        return part.get_content_charset()
    except (LookupError, ValueError, AttributeError):  # the standard library on malformed parameters
        return None


def _file_name(part: Message) -> str:
    name = part.get_filename() or ""
    return printable(" ".join(name.split()).encode("utf-8", "replace"))[:_MAX_NAME_CHARS]


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
    """Old programs write headers in the charset of the body, without the encoding that RFC 2047 asks for."""
    end = _END_OF_HEADERS.search(content)
    head = content[: end.start()] if end else content
    text = None if head.isascii() else decode(head)
    return content if text is None else text.encode() + content[len(head) :]


def _header(message: Message, name: str) -> str:
    try:
        return " ".join(str(message.get(name) or "").replace("\0", "").split())[:2000]
    except (ValueError, IndexError, AttributeError, TypeError):  # the standard library on malformed addresses
        return ""
