"""Names and text as every store can hold them, and the one form of a host's name."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from sluice.errors import BadRequest

_COLLECTION = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Whether Postgres and UTF-8 can hold it: no NUL, no lone surrogates."""
    return not _UNSTORABLE.search(text)


def storable(text: str) -> str:
    """Without what neither Postgres nor UTF-8 can hold: NUL goes, lone surrogates become U+FFFD."""
    return text if is_storable(text) else _UNSTORABLE.sub("\ufffd", text.replace("\0", ""))


def check_uri(uri: str) -> None:
    """Raises BadRequest where the URI holds what cannot be stored or looked up. A name of a file that is not UTF-8
    comes from a shell like that."""
    if not is_storable(uri):
        raise BadRequest(
            f"The URI {uri[:200]!r} holds NUL or bytes that are not UTF-8. Nothing was read. Write each such byte as "
            "%XX: the byte FF as %FF."
        )


def check_collection_name(name: str) -> None:
    """Raises BadRequest."""
    if not _COLLECTION.fullmatch(name) or "__g" in name:
        raise BadRequest(
            f"{name[:80]!r} cannot be a collection's name: use 1 to 63 of a-z, 0-9, '_' and '-', beginning with a "
            "letter or digit, without '__g' (which marks generations)."
        )


def ascii_host(host: str) -> str:
    """As DNS has it. Raises ValueError."""
    host = host.lower().rstrip(".")
    return host if host.isascii() else host.encode("idna").decode("ascii")


def uri_parts(uri: str) -> SplitResult:
    """Raises ValueError for all that is wrong with it; `urlsplit` alone is silent on some of it until it is used."""
    parts = urlsplit(uri)
    if not is_storable(uri) or (parts.port is not None and not parts.hostname):  # asking for the port checks it
        raise ValueError("NUL, half of a surrogate pair, or a port without a host")
    return parts
