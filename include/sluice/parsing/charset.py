"""Detects the charset of text: by byte order mark, declaration, form, and else by language.

The guess compares candidates by the letters of each language. A letter that the language does not have, a capital after
a small letter, or a sign inside a word counts against a candidate; a frequent word counts for it. The result depends on
the bytes alone, so equal bytes give equal results.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from sluice.parsing.alphabets import EAST_ASIAN, LANGUAGES, TOP, Language

BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Programs write the superset under the name of the subset (WHATWG Encoding Standard, section 4.2).
_SUPERSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "iso2022_jp": "iso2022_jp_ext",
}
_LABELS = {"x-sjis": "cp932", "x-gbk": "gb18030", "x-euc-jp": "euc_jp", "x-mac-cyrillic": "mac_cyrillic"}
_SEVEN_BITS = ("iso2022_jp_ext", "iso2022_kr", "hz", "utf_7")
_DECLARED = re.compile(rb"""(?:charset\s{0,9}=\s{0,9}["']?|encoding\s{0,9}=\s{0,9}["'])([A-Za-z0-9._:-]{2,40})""")
_ESCAPES = re.compile(rb"\x1b(?:\$[@AB)(]|\([BIJ])")
_HIGH = re.compile(rb"[\x80-\xff]")
_FEWEST_CHARS = 8  # shortest text in which one character may be damaged
_MOST_DAMAGE = 0.02  # share of characters beyond ASCII; more means another charset
_PIECES, _PIECE_BYTES, _CONTEXT_BYTES = 24, 240, 200
_FEWEST_MARKS = 0.005  # least share of spaces, line ends and digits in UTF-16
_LAYOUT = dict.fromkeys(map(ord, "\t\n\r\f\u00ad\u200b\u200c\u200d\u200e\u200f\ufeff"))
_SIGNS = frozenset("\u00a0\u00ad“”„‟‘’‚‹›«»–—…•€£§©®™°·¡¿ªº¹²³½¼¾×±´№†‡¨")
_IN_WORDS = frozenset("\u00ad’‘´·-")
_FOREIGN, _BROKEN_CASE, _MIXED, _SIGN, _ALONE = -2.0, -1.0, -1.0, 0.5, 0.3
_WORD_WEIGHT = 0.3
_WORD = re.compile(r"[^\W\d_]+")


def byte_order_mark(content: bytes) -> tuple[bytes, str] | None:
    """Returns the byte order mark and its encoding, or None."""
    return next(((bom, encoding) for bom, encoding in BOMS if content.startswith(bom)), None)


def encoding_without_bom(content: bytes) -> str | None:
    """Returns the UTF-16 or UTF-32 encoding of bytes that hold NULs, or None.

    Western text has a NUL in every other byte, on one side only. In other alphabets only spaces and punctuation have
    one.
    """
    sample = content[:4096]
    counts = [sample[place::4].count(0) for place in range(4)]
    quads = max(1, len(sample) // 4)
    if len(sample) >= 8:
        if counts[3] >= 0.95 * quads and counts[2] >= 0.9 * quads and counts[0] < 0.1 * quads:
            return "utf-32-le"
        if counts[0] >= 0.95 * quads and counts[1] >= 0.9 * quads and counts[3] < 0.1 * quads:
            return "utf-32-be"
    even, odd, pairs = counts[0] + counts[2], counts[1] + counts[3], max(1, len(sample) // 2)
    for side, other, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        western = side > 0.4 * pairs and other < 0.05 * pairs
        if western or (side >= _FEWEST_MARKS * pairs and other == 0):
            text = sample[: len(sample) & ~1].decode(encoding, "replace")[:2048].translate(_LAYOUT)
            senseless = sum(unicodedata.category(char)[0] == "C" or char == "\ufffd" for char in text)
            if text and senseless <= (_MOST_DAMAGE * len(text) if western else 0):
                return encoding
    return None


def lookup(label: str) -> str | None:
    """Returns the codec for the charset name that a document or a server gives, or None if it is not a text codec."""
    label = label.strip().strip("\"'").lower()
    try:
        codec = codecs.lookup(_LABELS.get(label, label))
    except (LookupError, ValueError):
        return None
    return _SUPERSETS.get(codec.name, codec.name) if getattr(codec, "_is_text_encoding", True) else None


def text_of(content: bytes, declared: str | None = None) -> str | None:
    """Decodes bytes without byte order mark and NUL, or returns None. `declared`: the charset from outside the content.

    Well-formed UTF-8 is always decoded as UTF-8. A few damaged bytes become U+FFFD and do not change the result.
    """
    named = lookup(declared) if declared else None
    inside = _DECLARED.search(content[:4096])
    named = named or (lookup(inside[1].decode("ascii")) if inside else None)
    if named in _SEVEN_BITS or _ESCAPES.search(content):
        for encoding in filter(None, (named, "iso2022_jp_ext", "iso2022_kr", "iso2022_jp_2")):
            if encoding in _SEVEN_BITS and (text := strictly(content, encoding)) is not None and "\x1b" not in text:
                return text
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    text = content.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    if _beyond_ascii(text) - bad >= 2 * bad:
        return text
    if named and named != "utf-8" and (text := nearly(content, named)) is not None:
        return text
    return _guessed(content)


def strictly(content: bytes, encoding: str) -> str | None:
    """Decodes the content; None where a byte does not fit the encoding, or Python does not know the encoding."""
    try:
        return content.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def nearly(content: bytes, encoding: str) -> str | None:
    """Decodes the text with U+FFFD for a few damaged bytes; returns None if there are many."""
    text = strictly(content, encoding)
    if text is None:
        text = content.decode(encoding, "replace")
        bad = text.count("\ufffd")
        if bad > _MOST_DAMAGE * _beyond_ascii(text) and (bad > 1 or len(text) < _FEWEST_CHARS):
            return None
    return text


def _beyond_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))


def _guessed(content: bytes) -> str | None:
    sample = b"\n".join(_pieces(content))
    scores = {
        encoding: _alphabetic(sample.decode(encoding, "replace"), languages)
        for encodings, languages in LANGUAGES
        for encoding in encodings
    }
    scores |= {encoding: _east_asian(sample, encoding) for encoding in EAST_ASIAN}
    for encoding in sorted(scores, key=lambda name: -scores[name]):  # stable: of equals the more common first
        if scores[encoding] > _BROKEN_CASE and (text := nearly(content, encoding)) is not None:
            return text
    return strictly(content, "cp1252")


def _pieces(content: bytes) -> Iterator[bytes]:
    """Yields words with bytes above ASCII and their context, from all parts of the content."""
    end = 0
    for number in range(_PIECES):
        match = _HIGH.search(content, max(end, number * len(content) // _PIECES))
        if match is None:
            return
        place = match.start()
        line = content.rfind(b"\n", end, place) + 1 or end
        if place - line > _CONTEXT_BYTES:
            line = max(content.rfind(b" ", place - _CONTEXT_BYTES, place) + 1, place - _CONTEXT_BYTES)
            line = place if content[line : line + 1] > b"\x7f" else line
        end = place + _PIECE_BYTES
        stop = min(
            filter(lambda at: at >= 0, (content.find(b"\n", end, end + 99), content.find(b" ", end, end + 99))),
            default=end,
        )
        yield content[line:stop]
        end = stop


def _alphabetic(text: str, languages: tuple[Language, ...]) -> float:
    """Returns the score of the best language: about 1 if all letters belong to it."""
    triples = Counter(
        (text[at - 1] if at else " ", char, text[at + 1] if at + 1 < len(text) else " ")
        for at, char in enumerate(text)
        if char > "\x7f"
    )
    total = sum(triples.values())
    if not total:
        return _FOREIGN
    words = Counter(_WORD.findall(text.lower()))
    word_count = max(1, sum(words.values()))
    best = _FOREIGN
    for _, letters, frequent in languages:
        score = sum(count * _weight(triple, letters) for triple, count in triples.items()) / total
        best = max(best, score + _WORD_WEIGHT * sum(words[word] for word in frequent) / word_count)
    return best


def _weight(triple: tuple[str, str, str], letters: dict[str, float]) -> float:
    before, char, after = triple
    if char in letters:
        if _breaks_case(before, char, after) or _misplaced_mark(before, char):
            return _BROKEN_CASE
        if char > "\u036f" and (_is_ascii_letter(before) or _is_ascii_letter(after)):
            return _MIXED  # Latin letters in a word of another script
        if char.isupper() and not before.isalpha() and not after.isalpha():
            return _ALONE
        return letters[char]
    if char in _SIGNS:
        inside = before.isalpha() and after.isalpha() and char not in _IN_WORDS
        return _BROKEN_CASE if inside else _SIGN
    return _FOREIGN


def _breaks_case(before: str, char: str, after: str) -> bool:
    if char.isupper():
        return before.islower() or (before.isalpha() and after.islower())
    return char.islower() and after.isupper()


def _misplaced_mark(before: str, char: str) -> bool:
    """Returns True for a combining mark that follows neither a letter nor another mark.

    In Thai a mark must follow a consonant, and only a tone may follow another mark.
    """
    if unicodedata.category(char) != "Mn":
        return False
    on_mark = unicodedata.category(before) == "Mn"
    if "\u0e00" < char < "\u0e5c":
        return not ("\u0e01" <= before <= "\u0e2e" or (on_mark and char >= "\u0e47"))
    return not (before.isalpha() or on_mark)


def _is_ascii_letter(char: str) -> bool:
    return char.isascii() and char.isalpha()


def _east_asian(sample: bytes, encoding: str) -> float:
    """Scores by frequent characters of the charset; characters of its rarer half count against it."""
    frequent = EAST_ASIAN[encoding]
    text = sample.decode(encoding, "replace")
    high = [char for char in text if char > "\x7f"]
    if not high:
        return _FOREIGN
    score = sum(1.0 if char in frequent else -0.3 if char.isalpha() else _FOREIGN for char in high) / len(high)
    score += _WORD_WEIGHT * sum(char in TOP for char in high) / len(high)
    kana = sum("\u3041" <= char <= "\u30fe" for char in high) / len(high)
    if encoding in ("cp932", "euc_jp"):  # only Japanese has kana, and nearly all Japanese text does
        return score if kana > 0.1 else score - 0.5
    return score - kana
