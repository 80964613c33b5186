"""Detection of mojibake: UTF-8 text that was decoded with another charset and saved again (ü as Ã¼, и as Рё)."""

from __future__ import annotations

import re
from functools import cache

_MOST_CHARS = 200_000  # of runs of non-ASCII letters
_RUN = re.compile(r"(?<![^\x00-\x7f])[^\x00-\x7f]{2,}.?", re.DOTALL)
_SEQUENCE = rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|\xf0[\x90-\xbf][\x80-\xbf]{2}"
_ONE = re.compile(rb"(?:%s)+" % _SEQUENCE)
# In correct Cyrillic text a capital before ё or » is such a pair too; two pairs in a row, or one before a Latin letter,
# are not.
_TWO = re.compile(rb"(?:%s){2,}|\xe2(?:\x80[\x80-\xbf]|\x82\xac)|\xc3[\x80-\xbf](?=[A-Za-z])" % _SEQUENCE)
_CHARSETS = {"cp1252": _ONE, "cp1250": _ONE, "cp1251": _TWO}
_CLOSING = frozenset("“”’»›…–—”.,")
# Characters in common use: letters of living scripts, punctuation, emoji. Range ends are exclusive.
_WRITTEN = (
    (0xA0, 0x180), (0x386, 0x3CF), (0x401, 0x460), (0x5D0, 0x5EB), (0x621, 0x64B), (0xE01, 0xE3B), (0x2010, 0x2027),
    (0x20AC, 0x20AD), (0x2122, 0x2123), (0x3001, 0x3100), (0x4E00, 0xA000), (0xAC00, 0xD7A4), (0xFF01, 0xFF5F),
    (0xFFFD, 0xFFFE), (0x1F300, 0x1FAFF),
)  # fmt: skip
_EAST_ASIAN_FROM, _EMOJI_FROM = 0x3000, 0x1F300


def mojibake(text: str) -> int:
    """Counts the places of the text that, encoded in another charset, are well-formed UTF-8 of characters in use."""
    if text.isascii():
        return 0
    places = left = 0
    for match in _RUN.finditer(text):
        left += match.end() - match.start()
        if left > _MOST_CHARS:
            break
        places += any(_is_misread(match[0], charset) for charset in _CHARSETS)
    return places


def _is_misread(run: str, charset: str) -> bool:
    encoded = run.translate(_bytes(charset)).encode("latin-1", "replace")
    for match in _CHARSETS[charset].finditer(encoded):
        if run[match.end() - 1] in _CLOSING and not run[match.end() : match.end() + 1].isalpha():
            continue  # „Ä“ and É» are a letter and the end of a quotation
        read = [code for code in map(ord, match[0].decode("utf-8", "replace")) if _is_written(code)]
        east_asian = [code for code in read if _EAST_ASIAN_FROM <= code < _EMOJI_FROM and code != 0xFFFD]
        if len(read) > len(east_asian) or len(east_asian) > 1:  # “é”—” alone is an ideograph
            return True
    return False


def _is_written(code: int) -> bool:
    return any(first <= code < end for first, end in _WRITTEN)


@cache
def _bytes(charset: str) -> dict[int, str]:
    """Returns the translation of each character of a charset to the character with its byte as code point. Bytes that
    the charset does not define map to themselves."""
    table: dict[int, str] = {}
    for byte in range(0x80, 0x100):
        char = bytes((byte,)).decode(charset, "ignore")
        if char:
            table[ord(char)] = chr(byte)
    # A Latin-1 letter that the charset lacks must not be mistaken for one of its bytes.
    return {**{code: "?" for code in range(0xA0, 0x100)}, **table}
