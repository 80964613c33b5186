"""Bytes that are text, as exactly that text: only a byte order mark is left out, so that offsets hold."""

from __future__ import annotations

import codecs
import re
import unicodedata

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROLS = bytes(set(range(32)) - {7, 8, 9, 10, 11, 12, 13, 27})
_SAMPLE_BYTES = 65_536
_MOST_CONTROLS = 0.02  # of a sample; real text has none, logs with colours and form feeds are not counted
_FEWEST_MARKS = 0.005  # of the pairs of a text are spaces, line ends or digits
_LAYOUT = dict.fromkeys(map(ord, "\t\n\r\f\u00ad\u200b\u200c\u200d\u200e\u200f\ufeff"))
_MOST_ACCENTS = 0.2
_WESTERN = frozenset(
    "àâäáãåæçèéêëìíîïñòóôöõøœùúûüÿßÀÂÄÁÃÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÖÕØŒÙÚÛÜŸªº°§€£«»“”„‘’‚…–—•·¡¿´\u00a0\u00ad©®™½¼¾²³±×"
)
_CENTRAL = ("cp1250", "iso8859_2", "cp852", "mac_latin2")
_DECLARED = re.compile(rb"""(?:charset\s*=\s*["']?|encoding\s*=\s*["'])([A-Za-z0-9._:-]{2,40})""")
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*$|^(?![ \t>#|-])(.+)\n=+[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_FRONT_TITLE = re.compile(r"\A---\n(?:(?!---\n|title:).*\n){0,40}?title:[ \t]*[\"']?(.+?)[\"']?[ \t]*\n")
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


def decode(content: bytes) -> str | None:
    """The text, or None where the bytes are not text in any encoding. Never holds NUL or lone surrogates."""
    for bom, encoding in _BOMS:
        if content.startswith(bom):
            return _strictly(content[len(bom) :], encoding)
    sample = content[:_SAMPLE_BYTES]
    if b"\0" in content:
        return _utf16_without_mark(content)
    if len(sample) - len(sample.translate(None, _CONTROLS)) > _MOST_CONTROLS * len(sample):
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return _declared(content) or _guessed(content)


def plain_letters(text: str) -> str:
    """What programs set for looks, as it would be typed: ligatures apart, fixed spaces as spaces, no soft hyphens."""
    return text.translate(_TYPESET)


def markdown_title(text: str) -> str | None:
    """The title in the front matter, else the first heading outside of code."""
    head = text[:_TITLE_SEARCH_CHARS]
    found = _FRONT_TITLE.match(head) if head.startswith("---\n") else None
    if found is None:
        found = _HEADING.search(_FENCE.sub("", head) if "```" in head or "~~~" in head else head)
    return tidy_title(next(filter(None, found.groups()), None)) if found else None


def tidy_title(title: str | None) -> str | None:
    """One line of at most MAX_TITLE_CHARS; None where nothing is left."""
    return " ".join(title.replace("\0", "").split())[:MAX_TITLE_CHARS] or None if title else None


def _strictly(content: bytes, encoding: str) -> str | None:
    try:
        text = content.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None
    return None if "\0" in text else text


def _utf16_without_mark(content: bytes) -> str | None:
    """Western text in UTF-16 has a NUL in every other byte, on one side only."""
    sample = content[:4096]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    half = max(1, len(sample) // 2)
    if odd > 0.4 * half and even < 0.05 * half:
        return _strictly(content, "utf-16-le")
    if even > 0.4 * half and odd < 0.05 * half:
        return _strictly(content, "utf-16-be")
    # Other alphabets: only spaces and signs have a NUL, always on the same side, and no pair is without a meaning.
    for side, other, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if side >= _FEWEST_MARKS * half and other == 0:
            text = _strictly(content, encoding)
            if text and not any(unicodedata.category(char)[0] == "C" for char in text[:2048].translate(_LAYOUT)):
                return text
    return None


def _declared(content: bytes) -> str | None:
    match = _DECLARED.search(content[:2048])
    if match is None:
        return None
    try:
        encoding = codecs.lookup(match[1].decode("ascii"))
        return _strictly(content, encoding.name) if getattr(encoding, "_is_text_encoding", True) else None
    except LookupError:
        return None


def _guessed(content: bytes) -> str | None:
    from charset_normalizer import from_bytes  # 20 ms to import, rarely needed

    sample = content[:_SAMPLE_BYTES]
    best = from_bytes(sample[: sample.rfind(b"\n") + 1] or sample).best()
    guess = best.encoding if best else None
    if guess not in _CENTRAL and _is_western(sample):
        guess = "cp1252"
    for encoding in (guess, "cp1252"):
        text = _strictly(content, encoding) if encoding else None
        if text is not None:
            return text
    return None


def _is_western(sample: bytes) -> bool:
    """Letters of western Europe among many of ASCII: which of a dozen similar code pages it is, guesses go wrong."""
    try:
        text = sample.decode("cp1252")
    except UnicodeDecodeError:
        return False
    high = [char for char in text if char > "\x7f"]
    return len(high) < _MOST_ACCENTS * len(text) and all(char in _WESTERN for char in high)
