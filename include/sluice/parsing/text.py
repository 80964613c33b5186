"""Decodes bytes to exactly their text: only a byte order mark is left out, so that offsets are valid."""

from __future__ import annotations

import re

from sluice.parsing.charset import byte_order_mark, encoding_without_bom, nearly, text_of

_CONTROLS = bytes(set(range(32)) - {7, 8, 9, 10, 11, 12, 13, 27})
_CONTROL = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")
_SAMPLE_BYTES = 65_536
_MOST_CONTROLS = 0.02  # share of a sample; real text has none. Form feeds and escape codes for colours are not counted
# Titles are stripped in code, because overlapping quantifiers take quadratic or cubic time.
_HEADING = re.compile(r"^#{1,6}[ \t](.+)$|^(?![ \t>#|-])(.+)\n=+[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_FRONT_TITLE = re.compile(r"\A---\n(?:(?!---\n|title:).*\n){0,40}?title:(.+)\n")
_TYPESET = {
    **{
        ord(sign): letters
        for sign, letters in zip("ﬀﬁﬂﬃﬄﬅﬆ", ("ff", "fi", "fl", "ffi", "ffl", "st", "st"), strict=True)
    },
    **dict.fromkeys(map(ord, "\u00a0\u2007\u202f"), " "),
    **dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff")),
}
_TITLE_SEARCH_CHARS = 20_000
MAX_TITLE_CHARS = 500


def decode(content: bytes, declared: str | None = None) -> str | None:
    """Returns the text, or None if the bytes are not text in any charset. It never holds NUL or lone surrogates.

    declared: the charset that a server or a mail names. A few invalid bytes become U+FFFD.
    """
    sample = content[:_SAMPLE_BYTES]
    if bom := byte_order_mark(content):
        rest = content[len(bom[0]) :]
        text = nearly(rest, bom[1]) or (text_of(rest) if b"\0" not in rest else None)
        text = "" if not rest else text
    elif b"\0" in content:
        form = encoding_without_bom(content)
        text = nearly(content, form) if form else None
    elif len(sample) - len(sample.translate(None, _CONTROLS)) > _MOST_CONTROLS * len(sample):
        text = None
    else:
        text = text_of(content, declared)
    return None if text is None or "\0" in text else text


def why_no_text(content: bytes) -> str:
    """Returns a sentence with the charset that was tried and the first invalid byte."""
    bom = byte_order_mark(content)
    encoding, start = (bom[1], len(bom[0])) if bom else ("utf-8", 0)
    control = _CONTROL.search(content) if not bom else None
    try:
        content[start:].decode(encoding)
        place = control.start() if control else None
    except UnicodeDecodeError as error:
        place = start + error.start
        place = min(place, control.start()) if control else place
    if place is None:
        return ""
    return f"Read as {encoding.upper()}, byte {place:,} (0x{content[place]:02x}) is not part of a text."


def plain_letters(text: str) -> str:
    """Replaces typographic characters: ligatures by letters, fixed spaces by spaces; removes soft hyphens."""
    return text.translate(_TYPESET)


def markdown_title(text: str) -> str | None:
    """Returns the title in the front matter, else the first heading outside code, or None."""
    head = text[:_TITLE_SEARCH_CHARS]
    if head.startswith("---\n") and (match := _FRONT_TITLE.match(head)):
        return tidy_title(_unquoted(match[1].lstrip(" \t")))
    match = _HEADING.search(_FENCE.sub("", head) if "```" in head or "~~~" in head else head)
    if match is None:
        return None
    return tidy_title(_without_closing(match[1].strip(" \t")) if match[1] else match[2])


def _unquoted(title: str) -> str:
    if len(title) > 1 and title[0] in "\"'":
        title = title[1:]
    title = title.rstrip(" \t")
    return title[:-1] if len(title) > 1 and title[-1] in "\"'" else title


def _without_closing(title: str) -> str:
    """`# Title ##` → `Title`; for a heading of signs only, the first sign."""
    return title.rstrip("#").rstrip(" \t") or title[:1]


def tidy_title(title: str | None) -> str | None:
    """Returns one line of at most MAX_TITLE_CHARS, or None if it is empty."""
    return " ".join(title.replace("\0", "").split())[:MAX_TITLE_CHARS] or None if title else None
