"""File names as printable text, and back, without loss.

A name is bytes. Printable UTF-8 stays unchanged. Any other byte becomes `%XX`, and a `%` before two hex digits becomes
`%25`, so that every name has exactly one printed form.
"""

from __future__ import annotations

import re
import unicodedata

_PLAIN = re.compile(rb"[ !-$&-~]*\Z")  # printable ASCII without %
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_HIDDEN = re.compile(r"(?:^|/)\.(?!\.?(?:/|$))")  # `.` and `..` mean nothing
_LITERAL = re.compile(r"%(?=[0-9A-Fa-f]{2})")


def printable(name: bytes) -> str:
    """Escapes a name as printable text: `b"caf\\xe9\\n"` → `"caf%E9%0A"`."""
    if _PLAIN.match(name):
        return name.decode("ascii")
    text = _LITERAL.sub("%25", name.decode("utf-8", "surrogateescape"))
    return "".join(char if _shows(char) else _escaped(char) for char in text)


def printed(name: str, max_chars: int) -> str:
    """Returns a name that is already text as printable text on one line."""
    return printable(" ".join(name.split()).encode("utf-8", "replace"))[:max_chars]


def hidden(path: str) -> bool:
    """Returns whether a folder or file in the path begins with a dot."""
    return _HIDDEN.search(path) is not None


def original(text: str) -> bytes:
    """Returns the name that `printable` escaped."""
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), text.encode("utf-8"))


def _shows(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs"


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape"))
