"""Determines the type of a document by its content; its name only decides if the content does not.

Containers (zip, OLE, compressed files) are only recognised here. The worker looks into them (`containers.py`,
`compression.py`), because reading a hostile directory of a container is costly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sluice.compression import kind_of
from sluice.parsing.text import decode, why_no_text

PDF, RTF, HTML, XML, EMAIL = "application/pdf", "application/rtf", "text/html", "application/xml", "message/rfc822"
NOTEBOOK = "application/x-ipynb+json"
RST = "text/x-rst"
ZIP, OLE = "application/zip", "application/x-ole-storage"
DELIMITED = frozenset({"text/csv", "text/tab-separated-values"})

_ARCHIVES = (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07")
# Image types that OCR can read, and others.
_PICTURES = (
    ((b"\x89PNG\r\n",), "image/png"),
    ((b"\xff\xd8\xff",), "image/jpeg"),
    ((b"GIF87a", b"GIF89a"), "image/gif"),
    ((b"II*\0", b"MM\0*"), "image/tiff"),
)
_IMAGES = (b"\0\0\x01\0",)
_OPAQUE = (b"ID3", b"OggS", b"fLaC", b"RIFF", b"\x1aE\xdf\xa3", b"\x7fELF", b"SQLite format 3\0", b"PAR1")
_TEXT_MIMES = {
    "md": "text/markdown",
    "markdown": "text/markdown",
    "mdx": "text/markdown",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "ndjson": "application/x-ndjson",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "toml": "application/toml",
    "vtt": "text/vtt",
    "srt": "application/x-subrip",
    "adoc": "text/asciidoc",
    "asciidoc": "text/asciidoc",
}
_MARKUP = {
    "html": HTML,
    "htm": HTML,
    "xhtml": HTML,
    "xml": XML,
    "svg": XML,
    "rst": RST,
    "org": "text/x-org",
    "tex": "application/x-latex",
    "ipynb": NOTEBOOK,
    "fb2": "application/x-fictionbook+xml",
    "opml": "application/xml+opml",
    "docbook": "application/docbook+xml",
    "dbk": "application/docbook+xml",
}
_JSON = frozenset({"application/json", "application/x-ndjson"})
_ESCAPE = re.compile(r"\\(?:u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})|u([0-9a-f]{4})|.)", re.I | re.S)
_LOOKS = {HTML: re.compile(r"<[A-Za-z!/]"), XML: re.compile(r"<"), NOTEBOOK: re.compile(r"\{")}
_HTML_START = re.compile(
    r"\s*(?:<\?xml[^>]*\?>\s*)?(?:<!--.{0,1000}?-->\s*)?(?:<!doctype\s+html|<html[\s>])", re.I | re.S
)
_JATS = re.compile(r"<article[\s>].{0,2000}(?:jats|nlm\.nih\.gov|article-type=)|JATS-|//NLM//DTD", re.I | re.S)
_EMAIL_START = re.compile(rb"(?:From |[A-Za-z][A-Za-z0-9-]{1,60}:[ \t]).{0,998}\r?\n", re.S)


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of a document. `text` is final if `parse` is False; if both are set, the parser gets it as UTF-8."""

    mime: str = ""
    text: str | None = None
    parse: bool = False
    failure: str | None = None  # code in reasons.REASONS
    detail: str = ""  # added to the reason of the failure code


def sniff(content: bytes, name: str, charset: str | None = None) -> Kind:
    """Determines the type. `name`: any text that ends like the file name. `charset`: declared by a server or a mail."""
    _, dot, extension = name.rpartition(".")
    extension = extension.lower() if dot and len(extension) < 10 else ""
    kind = _by_magic(content, extension)
    if kind is not None:
        return kind
    if extension in ("eml", "mht", "mhtml") and _EMAIL_START.match(content):
        return Kind(EMAIL, parse=True)
    text = decode(content, charset)
    if text is None:
        return Kind(failure="binary", detail=why_no_text(content))
    if "<" in text[:4096]:
        head = text[:4096]
        if _HTML_START.match(head):
            return Kind(HTML, text, parse=True)
        if head.lstrip().startswith("<?xml") and _MARKUP.get(extension, XML) == XML:
            return Kind("application/x-jats+xml" if _JATS.search(head) else XML, text, parse=True)
    markup = _MARKUP.get(extension)
    if markup and (markup not in _LOOKS or _LOOKS[markup].search(text[:65_536])):
        return Kind(markup, text, parse=True)
    mime = _TEXT_MIMES.get(extension, "text/plain")
    if mime in _JSON and "\\u" in text:
        text = _ESCAPE.sub(_letter, text)
    return Kind(mime, text, parse=mime in DELIMITED)


def _letter(escape: re.Match[str]) -> str:
    """What JSON writes as `\\u00fc`, as the letter; ASCII, controls and halves of pairs stay escaped."""
    high, low, code = escape.groups()
    if high:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
    letter = chr(int(code, 16)) if code else ""
    return letter if letter > "\x7f" and letter.isprintable() else escape[0]


def _by_magic(content: bytes, extension: str) -> Kind | None:
    head = content[:16]
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return Kind(ZIP, parse=True)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return Kind(OLE, parse=True)
    if head.lstrip().startswith(b"%PDF-") or (extension == "pdf" and b"%PDF-" in content[:1024]):
        return Kind(PDF, parse=True)
    if head.startswith(b"{\\rtf"):
        return Kind(RTF, parse=True)
    if compressed := kind_of(head):
        return Kind(compressed, parse=True)
    if head.startswith(_ARCHIVES) or content[257:262] == b"ustar":
        return Kind(failure="archive")
    if b"\0" not in content[:4096]:
        return None  # the signatures below are letters, and a text may begin with them
    for signs, mime in _PICTURES:
        if head.startswith(signs):
            return Kind(mime, failure="image")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Kind("image/webp", failure="image")
    if head.startswith(_IMAGES) or head[4:12] == b"ftypheic":
        return Kind(failure="image")
    if head.startswith(_OPAQUE) or head[4:8] == b"ftyp":
        return Kind(failure="unsupported")
    return None
