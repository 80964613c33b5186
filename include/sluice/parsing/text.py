"""Bytes that are text, as exactly that text: only a byte order mark is left out, so that offsets hold."""

from __future__ import annotations

import re

from sluice.parsing.charset import marked, nearly, text_of, without_mark

_CONTROLS = bytes(set(range(32)) - {7, 8, 9, 10, 11, 12, 13, 27})
_CONTROL = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")
_SAMPLE_BYTES = 65_536
_MOST_CONTROLS = 0.02  # of a sample; real text has none, logs with colours and form feeds are not counted
# What is stripped from a title is stripped in code: quantifiers that overlap take time by the square, or the cube.
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
    """The text, or None where the bytes are not text in any charset. Never holds NUL or lone surrogates.

    declared: the charset that a server or a mail names. Where a few bytes do not fit, U+FFFD stands in their place.
    """
    sample = content[:_SAMPLE_BYTES]
    if mark := marked(content):
        rest = content[len(mark[0]) :]
        text = nearly(rest, mark[1]) or (text_of(rest) if b"\0" not in rest else None)
        text = "" if not rest else text
    elif b"\0" in content:
        form = without_mark(content)
        text = nearly(content, form) if form else None
    elif len(sample) - len(sample.translate(None, _CONTROLS)) > _MOST_CONTROLS * len(sample):
        text = None
    else:
        text = text_of(content, declared)
    return None if text is None or "\0" in text else text


def why_no_text(content: bytes) -> str:
    """Which charset was tried, and the first byte that does not fit."""
    mark = marked(content)
    encoding, start = (mark[1], len(mark[0])) if mark else ("utf-8", 0)
    control = _CONTROL.search(content) if not mark else None
    try:
        content[start:].decode(encoding)
        place = control.start() if control else None
    except UnicodeDecodeError as error:
        place = start + error.start
        place = min(place, control.start()) if control else place
    if place is None:
        return ""
    return f"Read as {encoding.upper()}, byte {place:,} (0x{content[place]:02x}) is no part of a text."


def plain_letters(text: str) -> str:
    """What programs set for looks, as it would be typed: ligatures apart, fixed spaces as spaces, no soft hyphens."""
    return text.translate(_TYPESET)


def markdown_title(text: str) -> str | None:
    """The title in the front matter, else the first heading outside of code."""
    head = text[:_TITLE_SEARCH_CHARS]
    if head.startswith("---\n") and (found := _FRONT_TITLE.match(head)):
        return tidy_title(_unquoted(found[1].lstrip(" \t")))
    found = _HEADING.search(_FENCE.sub("", head) if "```" in head or "~~~" in head else head)
    if found is None:
        return None
    return tidy_title(_without_closing(found[1].strip(" \t")) if found[1] else found[2])


def _unquoted(title: str) -> str:
    if len(title) > 1 and title[0] in "\"'":
        title = title[1:]
    title = title.rstrip(" \t")
    return title[:-1] if len(title) > 1 and title[-1] in "\"'" else title


def _without_closing(title: str) -> str:
    """`# Title ##` → `Title`; of a heading of nothing else, one of the signs."""
    return title.rstrip("#").rstrip(" \t") or title[:1]


def tidy_title(title: str | None) -> str | None:
    """One line of at most MAX_TITLE_CHARS; None where nothing is left."""
    return " ".join(title.replace("\0", "").split())[:MAX_TITLE_CHARS] or None if title else None
